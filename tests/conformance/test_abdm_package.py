"""The guide for ABDM (NRCeS, ndhm.in 6.5.0) is installed, and its own examples are judged by it.

https://nrces.in/ndhm/fhir/r4
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import BASE, EMPTY

from fhir_server.caller import trusted
from fhir_server.config import Settings
from fhir_server.interactions.judging import judged
from fhir_server.main import wiring
from fhir_server.packages import record
from fhir_server.packages.bring import Wish
from fhir_server.packages.install import install
from fhir_server.r4 import json
from fhir_server.server import Server

GUIDE = "data/ndhm.in-6.5.0"
# Packages that the guide depends on and that nobody has here: THO comes with the server in a
# later version, the extensions are those of later versions of FHIR.
WITHOUT = ("hl7.terminology.r4", "hl7.fhir.uv.extensions.r4")
FLOOR = 143

Found = list[tuple[str, str | None]]
"""Code and place of each error."""

# Examples that break the guide, each with its reason; an addition needs a review.
REVIEWED: dict[str, Found] = {
    # Its section "Follow Up" has the code 736271009 (outpatient care plan) where the profile's
    # slice FollowUp has 390906007 (follow-up encounter), so it belongs to no slice; the slicing
    # is openAtEnd, and the section "Document Reference", which does, comes after it.
    "Bundle-OPConsultNote-example-05.json": [("structure", "Bundle.entry[0].resource.section[7]")],
}


@pytest.fixture(scope="module")
async def guided(
    shared: Path, own_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """A server with the guide; this module alone uses the database meanwhile."""
    with psycopg.connect(own_database, autocommit=True) as connection:
        connection.execute(EMPTY)
    settings = Settings(demo=True, data_dir=tmp_path_factory.mktemp("abdm"))
    async with wiring.running(settings, own_database, BASE) as server:
        wish = Wish(examples=True, without=WITHOUT)
        await install(server, trusted("test", "cli"), shared / GUIDE, wish)
        yield server


async def errors(server: Server, data: dict[str, Any]) -> Found:
    verdict = await judged(server, data["resourceType"], data)
    return [(one.code, one.expression) for one in verdict.issues if one.severity == "error"]


def files(shared: Path, folder: str = "package") -> dict[str, dict[str, Any]]:
    paths = sorted((shared / GUIDE / folder).glob("[A-Z]*.json"))
    return {path.name: json.decode(path.read_bytes()) for path in paths}


async def test_the_guide_is_installed_whole(guided: Server, shared: Path) -> None:
    async with guided.database.connection() as connection:
        (package,) = await record.installed(connection)
        brought = await record.resources(connection, package.id)
    names = guided.definitions.type_names
    every = {**files(shared), **files(shared, "package/example")}
    assert (package.label, package.resources) == ("ndhm.in#6.5.0", 276)
    assert Counter(names[one.type_id] for one in brought) == Counter(
        one["resourceType"] for one in every.values()
    )
    assert package.dependencies == {"hl7.fhir.r4.core": "4.0.1", **dict.fromkeys(WITHOUT)}


async def test_its_definitions_are_valid(guided: Server, shared: Path) -> None:
    found = {name: await errors(guided, data) for name, data in files(shared).items()}
    assert {name: some for name, some in found.items() if some} == {}


async def test_its_examples_are_valid_but_for_a_reviewed_list(guided: Server, shared: Path) -> None:
    examples = files(shared, "package/example")
    found = {name: await errors(guided, data) for name, data in examples.items()}
    valid = sum(not some for some in found.values())
    print(f"\nABDM: {valid} of {len(examples)} examples valid")  # noqa: T201  (the count that ran)
    assert {name: some for name, some in found.items() if some} == REVIEWED
    assert valid >= FLOOR


def without(*path: str | int) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        *above, last = path
        for step in above:
            data = data[step]
        del data[last]

    return change


def having(value: Any, *path: str | int) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        *above, last = path
        for step in above:
            data = data[step]
        data[last] = value

    return change


MUTATIONS: list[tuple[str, Callable[[Any], None], Found]] = [
    ("Patient-example-01", without("identifier"), [("required", "Patient.identifier")]),
    (
        "Patient-example-01",
        without("identifier", 0, "type"),
        [("required", "Patient.identifier[0].type")],
    ),
    ("Organization-example-01", without("name"), [("required", "Organization.name")]),
    (
        "DiagnosticReport-Lab-example-01",
        without("conclusion"),
        [("required", "DiagnosticReport.conclusion")],
    ),
    ("InsurancePlan-example-01", without("period"), [("required", "InsurancePlan.period")]),
    (
        "Immunization-example-01",
        without("vaccineCode", "coding", 0, "display"),
        [("required", "Immunization.vaccineCode.coding[0].display")],
    ),
    (
        "InsurancePlan-example-01",
        having([{"url": "http://nowhere.example/x", "valueCode": "a"}], "modifierExtension"),
        [("extension", "InsurancePlan.modifierExtension[0]")],
    ),
    # BrandName belongs to Immunization, as its context says by the profile there.
    (
        "Patient-example-01",
        having(
            [
                {
                    "url": "https://nrces.in/ndhm/fhir/r4/StructureDefinition/BrandName",
                    "valueString": "x",
                }
            ],
            "extension",
        ),
        [("extension", "Patient.extension[0]")],
    ),
]


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    MUTATIONS,
    ids=[f"{n}-{one[0]}" for n, one in enumerate(MUTATIONS)],
)
async def test_an_example_that_is_spoiled_is_not_valid(
    name: str, change: Callable[[Any], None], expected: Found, guided: Server, shared: Path
) -> None:
    data = json.decode((shared / GUIDE / "package/example" / f"{name}.json").read_bytes())
    change(data)
    assert await errors(guided, data) == expected
