"""The R4 package as the matcher reads it."""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

Json = dict[str, Any]

SYSTEM_TYPE = "http://hl7.org/fhirpath/System."
FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
UCUM = "http://unitsofmeasure.org"
# They shadow `_id` and `Condition.subject` (specification 4.2).
SKIPPED = {"example", "example-reference", "example-extension"}


@dataclass(frozen=True)
class Member:
    """An element: its name in JSON, its type, where it is defined, the value set it must use."""

    json: str
    type: str
    path: str
    value_set: str | None


@dataclass(frozen=True)
class Parameter:
    """A SearchParameter for one type; a composite's components are such parameters too."""

    base: str
    code: str
    type: str
    expression: str
    target: tuple[str, ...]
    components: tuple["Parameter", ...] = ()


@dataclass
class Package:
    """Elements by owner and name, parameters by type and code, what is known of code systems.

    `systems`: value set of a required binding to system to codes. `exact`: the
    systems that are known to be case-sensitive.
    """

    members: dict[str, dict[str, list[Member]]] = field(default_factory=dict)
    resource_types: set[str] = field(default_factory=set)
    parents: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, dict[str, Parameter]] = field(default_factory=dict)
    systems: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    exact: set[str] = field(default_factory=set)


def _documents(archive: Path, *kinds: str) -> Iterator[Json]:
    with tarfile.open(archive) as package:
        for entry in package:
            folder, _, name = entry.name.rpartition("/")
            file = package.extractfile(entry)
            if folder == "package" and name.startswith(kinds) and file is not None:
                yield json.load(file)


@cache
def package(shared: Path) -> Package:
    """Return what `shared/data/r4` says."""
    found = Package(exact={UCUM})
    definitions = []
    core = shared / "data/r4/hl7.fhir.r4.core-4.0.1.tgz"
    for one in _documents(core, "StructureDefinition-", "SearchParameter-", "CodeSystem-"):
        match one["resourceType"]:
            case "StructureDefinition" if one.get("derivation") != "constraint":
                _structure(found, one)
            case "SearchParameter" if one["id"] not in SKIPPED and one.get("base"):
                definitions.append(one)
            case "CodeSystem" if one.get("caseSensitive"):
                found.exact.add(one["url"])
    _parameters(found, definitions)
    expansions = shared / "data/r4/hl7.fhir.r4.expansions-4.0.1.tgz"
    for one in _documents(expansions, "ValueSet-"):
        systems: dict[str, set[str]] = {}
        _gather(one.get("expansion", {}).get("contains", []), systems)
        found.systems[one["url"]] = systems
    return found


def _structure(found: Package, definition: Json) -> None:
    if definition["kind"] not in ("resource", "complex-type"):
        return
    name = definition["type"]
    found.parents[name] = definition.get("baseDefinition", "").rpartition("/")[2]
    if definition["kind"] == "resource" and not definition["abstract"]:
        found.resource_types.add(name)
    found.members[name] = {}
    for element in definition["snapshot"]["element"][1:]:
        owner, _, last = element["path"].rpartition(".")
        members = found.members.setdefault(owner, {})
        members[last.removesuffix("[x]")] = list(_members(element, last))


def _members(element: Json, last: str) -> Iterator[Member]:
    path = element["path"]
    binding = element.get("binding", {})
    value_set = None
    if binding.get("strength") == "required":
        value_set = binding.get("valueSet", "").partition("|")[0]
    if "contentReference" in element:
        yield Member(last, element["contentReference"].removeprefix("#"), path, value_set)
        return
    for kind in element["type"]:
        code = _type(kind)
        if code in ("BackboneElement", "Element"):
            code = path
        name = last.removesuffix("[x]")
        yield Member(
            name if name == last else name + code[0].upper() + code[1:], code, path, value_set
        )


def _type(kind: Json) -> str:
    if not kind["code"].startswith(SYSTEM_TYPE):
        return str(kind["code"])
    urls = [e["valueUrl"] for e in kind.get("extension", []) if e["url"] == FHIR_TYPE]
    return str(urls[0])


def _parameters(found: Package, definitions: list[Json]) -> None:
    by_url = {one["url"]: one for one in definitions}
    for one in definitions:
        if not one.get("expression") or one["type"] == "special":
            continue
        parts = [(by_url[c["definition"]], c["expression"]) for c in one.get("component", [])]
        if one["id"] == "DocumentReference-relationship":
            # The package gives each of its two components the expression of the other.
            parts = [(parts[0][0], parts[1][1]), (parts[1][0], parts[0][1])]
        for base in one["base"]:
            for name in _bases(found, base):
                components = tuple(_parameter(name, part, path) for part, path in parts)
                own = _parameter(name, one, one["expression"], components)
                found.parameters.setdefault(name, {})[one["code"]] = own


def _parameter(
    base: str, definition: Json, expression: str, components: tuple[Parameter, ...] = ()
) -> Parameter:
    code, kind = definition["code"], definition["type"]
    return Parameter(base, code, kind, expression, tuple(definition.get("target", ())), components)


def _bases(found: Package, base: str) -> list[str]:
    if base == "Resource":
        return sorted(found.resource_types)
    if base == "DomainResource":
        return sorted(t for t in found.resource_types if _is_domain_resource(found, t))
    return [base]


def _is_domain_resource(found: Package, name: str) -> bool:
    while name in found.parents and name != "DomainResource":
        name = found.parents[name]
    return name == "DomainResource"


def _gather(contains: list[Json], systems: dict[str, set[str]]) -> None:
    for one in contains:
        if "code" in one:
            systems.setdefault(one.get("system", ""), set()).add(one["code"])
        _gather(one.get("contains", []), systems)
