"""Official definitions, read from an NPM-style package.

https://hl7.org/fhir/R4/packages.html
"""

import hashlib
import json
import tarfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

_DEPTH = 2  # package/NAME.json


@dataclass(frozen=True, slots=True)
class Package:
    """The resources of a package by type, in the order of their file names."""

    name: str
    version: str
    sha256: str
    resources: Mapping[str, list[Json]]


def read(archive: Path) -> Package:
    """Return the package in this tgz file, decimals read as text."""
    resources: defaultdict[str, list[Json]] = defaultdict(list)
    manifest: Json = {}
    files: dict[str, Json] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member)
            parts = member.name.split("/")
            if content is None or len(parts) != _DEPTH or not member.name.endswith(".json"):
                continue
            files[parts[1]] = json.loads(content.read(), parse_float=str)
    for name in sorted(files):
        if name == "package.json":
            manifest = files[name]
        elif "resourceType" in files[name]:
            resources[files[name]["resourceType"]].append(files[name])
    return Package(
        manifest["name"],
        manifest["version"],
        hashlib.sha256(archive.read_bytes()).hexdigest(),
        resources,
    )


def specialisations(package: Package) -> list[Json]:
    """Return the StructureDefinitions that define a type of their own."""
    return [
        definition
        for definition in package.resources["StructureDefinition"]
        if definition.get("derivation") != "constraint" and definition["kind"] != "logical"
    ]
