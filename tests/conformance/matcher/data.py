"""The official examples and the Synthea patients."""

import json
import tarfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from .definitions import Json


def examples(shared: Path) -> Iterator[bytes]:
    """Yield the examples of the R4 package as they are published."""
    with tarfile.open(shared / "data/r4/hl7.fhir.r4.examples-4.0.1.tgz") as package:
        for member in package:
            name = member.name.removeprefix("package/")
            file = package.extractfile(member)
            if file and name.endswith(".json") and "/" not in name and name[0].isupper():
                yield file.read()


def exact(raw: bytes) -> Json:
    """Return a resource with its numbers as they are written."""
    data: Json = json.loads(raw, parse_float=Decimal)
    return data


def synthea(shared: Path) -> Iterator[Json]:
    """Yield the resources of the Synthea bundles, their references made `Type/id`."""
    entries: list[Json] = []
    with tarfile.open(shared / "data/synthea/synthea-r4-transactions.tgz") as package:
        for member in package:
            file = package.extractfile(member)
            if file:
                entries += json.load(file, parse_float=Decimal)["entry"]
    places: dict[str, str] = {}
    for entry in entries:
        resource = entry["resource"]
        place = f"{resource['resourceType']}/{resource['id']}"
        places[entry["fullUrl"]] = place
        for one in resource.get("identifier", ()) if "identifier" in resource else ():
            if isinstance(one, dict):
                criteria = (
                    f"{resource['resourceType']}?identifier={one.get('system')}|{one['value']}"
                )
                places[criteria] = place
    for entry in entries:
        _rewrite(entry["resource"], places)
        yield entry["resource"]


def _rewrite(value: Any, places: dict[str, str]) -> None:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            value["reference"] = places.get(value["reference"], value["reference"])
        for one in value.values():
            _rewrite(one, places)
    elif isinstance(value, list):
        for one in value:
            _rewrite(one, places)
