"""The command that builds the artefact: `python -m fhir_server.vocabulary.build [FOLDER]`.

R4's own terminology, then HL7's (THO), both CC0: https://terminology.hl7.org
"""

import json
import sys
import tarfile
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import TZPATH, available_timezones

import msgspec

from fhir_server.vocabulary import artefact
from fhir_server.vocabulary.artefact import Entry

Json = dict[str, Any]

PACKAGES = ("hl7.fhir.r4.core-4.0.1", "hl7.terminology.r4-7.0.1")
"""The later one has the better edition of what is in both."""

EXPANSIONS = "hl7.fhir.r4.expansions-4.0.1"
CURRENCIES = "http://hl7.org/fhir/ValueSet/currencies"

_SHARED = Path(__file__).parents[3] / "shared" / "data" / "r4"
_KINDS = ("CodeSystem-", "ValueSet-", "ConceptMap-")
# Left out of each resource: what no operation answers with.
_DROPPED = ("text", "meta", "contact", "identifier", "useContext", "jurisdiction", "purpose")
_DROPPED_EXTENSIONS = frozenset(
    f"http://hl7.org/fhir/StructureDefinition/{name}"
    for name in (
        "structuredefinition-wg",
        "structuredefinition-fmm",
        "valueset-warning",
        "package-source",
        "artifact-versionPolicy",
    )
)
# SNOMED International's Global Patient Set: its licence is not HL7's.
_LICENSED = frozenset({"http://terminology.hl7.org/ValueSet/snomed-intl-gps"})

_ENCODER = msgspec.json.Encoder(decimal_format="number")


def main() -> None:
    """Write the artefact from the packages in FOLDER (default `../shared/data/r4`)."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else _SHARED
    found = [
        (_entry(resource, number), _ENCODER.encode(resource))
        for number, package in enumerate(PACKAGES)
        for resource in (*_resources(folder / f"{package}.tgz"), *_of_its_own(package, folder))
    ]
    content = artefact.pack(PACKAGES, found)
    target = Path(__file__).parent / "data" / artefact.NAME
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(content)
    sys.stdout.write(f"{target}: {len(found)} resources, {len(content)} bytes\n")


def _resources(package: Path) -> Iterator[Json]:
    """Yield the terminology of a package in the order of its file names, in brief."""
    with tarfile.open(package) as archive:
        files = {member.name: member for member in archive.getmembers()}
        for path in sorted(files):
            folder, _, name = path.rpartition("/")
            if folder != "package" or not name.startswith(_KINDS):
                continue
            content = archive.extractfile(files[path])
            assert content is not None
            resource: Json = json.load(content, parse_float=Decimal)
            if resource["url"] not in _LICENSED:
                yield _brief(resource)


def _of_its_own(package: str, folder: Path) -> list[Json]:
    """Return with R4 the code lists that its value sets name and it does not define."""
    if package != PACKAGES[0]:
        return []
    expansions = _resources(folder / f"{EXPANSIONS}.tgz")
    published = next(one for one in expansions if one["url"] == CURRENCIES and "expansion" in one)
    currencies = [(one["code"], one["display"]) for one in published["expansion"]["contains"]]
    return [
        _code_list("urn:iso:std:iso:4217", "Currencies", "complete", currencies),
        # R4 takes codes of three letters and of digits from the same system.
        _code_list("urn:iso:std:iso:3166", "Countries", "fragment", _countries()),
        _code_list("https://www.iana.org/time-zones", "TimeZones", "complete", _time_zones()),
    ]


def _time_zones() -> list[tuple[str, str]]:
    """Return the names of the time zone database (public domain)."""
    return [(name, name) for name in sorted(available_timezones()) if name != "localtime"]


def _countries() -> list[tuple[str, str]]:
    """Return codes of two letters with names, of the time zone database (public domain)."""
    table = next(p for p in (Path(one) / "iso3166.tab" for one in TZPATH) if p.exists())
    rows = table.read_text(encoding="utf-8").splitlines()
    return [(row[:2], row[3:]) for row in rows if not row.startswith("#")]


def _code_list(url: str, name: str, content: str, codes: Sequence[tuple[str, str]]) -> Json:
    return {
        "resourceType": "CodeSystem",
        "url": url,
        "name": name,
        "status": "active",
        "caseSensitive": True,
        "content": content,
        "concept": [{"code": code, "display": display} for code, display in codes],
    }


def _brief(resource: Json) -> Json:
    short = {name: value for name, value in resource.items() if name not in _DROPPED}
    extensions = [e for e in resource.get("extension", ()) if e["url"] not in _DROPPED_EXTENSIONS]
    short.pop("extension", None)
    return {**short, "extension": extensions} if extensions else short


def _entry(resource: Json, package: int) -> Entry:
    groups = resource.get("group", ()) if resource["resourceType"] == "ConceptMap" else ()
    systems = {group.get(side) for group in groups for side in ("source", "target")}
    return Entry(
        type=resource["resourceType"],
        url=resource["url"],
        version=resource.get("version"),
        package=package,
        start=0,
        length=0,
        size=0,
        content=resource.get("content"),
        value_set=resource.get("valueSet"),
        systems=tuple(sorted(systems - {None})),
    )


if __name__ == "__main__":
    main()
