"""Every row of the HL7 v2-to-FHIR guide is followed, deviates by number, or is another's."""

import re
from collections import Counter
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fhir_server.interactions.judging import judged
from fhir_server.r4 import json
from fhir_server.server import Server
from tests.conformance.hl7v2 import guide, stages, structures
from tests.conformance.hl7v2.asking import STAGE, code_conforms, conforms, part_conforms
from tests.conformance.hl7v2.carriers import CARRIERS
from tests.conformance.hl7v2.coded import CODED
from tests.conformance.hl7v2.deviations import DEVIATIONS, OTHER_MAPS, documented, numbered

# Rows that are followed; these may only rise.
FLOORS = {"segments": 772, "datatypes": 405, "codesystems": 2_238, "messages": 281}
DOCS = Path(__file__).parents[2] / "docs/hl7-mapping.md"

Verdicts = dict[tuple[str, int], str]


@dataclass(frozen=True, slots=True)
class Asked:
    """By folder what becomes of each row with a target, and all resources that were made."""

    verdicts: dict[str, Verdicts]
    resources: dict[bytes, str]


@pytest.fixture(scope="module")
def asked(shared: Path) -> Asked:
    resources: dict[bytes, str] = {}
    became = stages.became

    def noted(sent: str, **said: Any) -> dict[str, Any]:
        found = became(sent, **said)
        for url, one in found.items():
            if url.startswith("urn:uuid:") and "#" not in url:
                # References to what is contained are absolute there.
                raw = json.encode(one).replace(f"{url}#".encode(), b"#")
                resources[raw] = one["resourceType"]
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "became", noted)
        return Asked(
            {
                "segments": dict(_rows(shared, "segments", STAGE, conforms)),
                "datatypes": dict(_rows(shared, "datatypes", CARRIERS, part_conforms)),
                "codesystems": dict(_codes(shared)),
                "messages": dict(_places(shared)),
            },
            resources,
        )


@pytest.fixture
def verdicts(asked: Asked) -> dict[str, Verdicts]:
    return asked.verdicts


def _rows(
    shared: Path, kind: str, known: Container[str], ask: Callable[..., bool]
) -> Iterator[tuple[tuple[str, int], str]]:
    maps = guide.codes(shared)
    for row in guide.rows(shared, kind):
        place = (row.map, row.line)
        if not row.attribute:
            yield place, "no target"
        elif row.map not in known:
            yield place, "other map"
        else:
            yield place, "followed" if ask(row, maps) else "differs"


def _codes(shared: Path) -> Iterator[tuple[tuple[str, int], str]]:
    for name, codes in guide.codes(shared).items():
        for code in codes:
            place = (name, code.line)
            if not code.target:
                yield place, "no target"
            elif name not in CODED:
                yield place, "other map"
            elif not code.code:
                yield place, "no code of HL7 v2"
            else:
                yield place, "followed" if code_conforms(code, CODED[name]) else "differs"


def _places(shared: Path) -> Iterator[tuple[tuple[str, int], str]]:
    for place in guide.places(shared):
        name = (place.structure, place.line)
        if place.map in OTHER_MAPS:
            yield name, "no such map"
        else:
            yield name, "followed" if structures.asked(place) else "differs"


def test_rows_that_differ_are_the_numbered_deviations(verdicts: dict[str, Verdicts]) -> None:
    differs = {
        place for found in verdicts.values() for place, said in found.items() if said == "differs"
    }
    assert differs == numbered().keys()


def test_each_row_deviates_under_one_number() -> None:
    places = [
        (name, line)
        for one in DEVIATIONS.values()
        for name, lines in one.rows.items()
        for line in lines
    ]
    assert len(places) == len(set(places))


def test_maps_that_are_not_asked_have_a_reason(verdicts: dict[str, Verdicts]) -> None:
    others = {
        place[0]
        for found in verdicts.values()
        for place, said in found.items()
        if said == "other map"
    }
    assert others <= OTHER_MAPS.keys()
    assert not OTHER_MAPS.keys() & (STAGE.keys() | CARRIERS.keys() | CODED.keys())


@pytest.mark.parametrize("folder", FLOORS)
def test_rows_that_are_followed_do_not_become_fewer(
    folder: str, verdicts: dict[str, Verdicts]
) -> None:
    counts = Counter(verdicts[folder].values())
    print(folder, dict(counts))  # noqa: T201
    assert counts["followed"] >= FLOORS[folder]


@pytest.mark.anyio
async def test_every_resource_that_a_row_makes_is_judged_valid(
    server: Server, asked: Asked
) -> None:
    wrong = []
    for raw, kind in asked.resources.items():
        verdict = await judged(server, kind, json.decode(raw), raw=raw)
        errors = [one for one in verdict.issues if one.severity in {"error", "fatal"}]
        wrong += [(kind, one.text, one.expression) for one in errors]
    assert wrong == []


def test_documentation_lists_the_deviations() -> None:
    lines = re.findall(r"^\| D\d+ \|[^|\n]*\|[^|\n]*\|$", DOCS.read_text(), re.MULTILINE)
    assert lines == list(documented())
