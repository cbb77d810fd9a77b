"""The element table: each type's members as they are named in JSON.

https://hl7.org/fhir/R4/elementdefinition.html
"""

from collections.abc import Iterable, Iterator
from typing import Any

from fhir_server.r4.build.package import Json

Row = list[Any]
Table = dict[str, dict[str, Row]]

_SYSTEM = "http://hl7.org/fhirpath/System."
_PROFILES = "http://hl7.org/fhir/StructureDefinition/"
_ANONYMOUS = frozenset(("Element", "BackboneElement"))


def table(definitions: Iterable[Json]) -> Table:
    """Return the rows of `Element`, by type or backbone path, then by JSON member name.

    A backbone has the path of its element as name (`Patient.contact`); a
    contentReference leads to the path that it names.
    """
    found: Table = {}
    for definition in definitions:
        if definition["kind"] == "primitive-type":
            continue
        elements = definition["snapshot"]["element"]
        parents = {element["path"].rpartition(".")[0] for element in elements}
        found[definition["type"]] = {}
        for element in elements[1:]:
            owner = element["path"].rpartition(".")[0]
            is_parent = element["path"] in parents
            for row in _rows(element, definition["kind"] == "resource", is_parent=is_parent):
                found.setdefault(owner, {})[row[0]] = row
    return found


def _rows(element: Json, of_resource: bool, *, is_parent: bool) -> Iterator[Row]:  # noqa: FBT001
    path: str = element["path"]
    name = path.rpartition(".")[2]
    for code, targets in _types(element, of_resource=of_resource, is_parent=is_parent):
        stem = name.removesuffix("[x]")
        choice = stem if stem != name else None
        yield [
            stem + code[0].upper() + code[1:] if choice else name,
            code,
            element["min"],
            None if element["max"] == "*" else int(element["max"]),
            element.get("isSummary", False),
            element.get("isModifier", False),
            _binding(element.get("binding")),
            path,
            targets,
            choice,
        ]


def _types(element: Json, *, of_resource: bool, is_parent: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield each allowed type with the resource types that it may refer to."""
    if "contentReference" in element:
        yield element["contentReference"].removeprefix("#"), []
        return
    for type_ in element["type"]:
        code: str = type_["code"]
        if is_parent and code in _ANONYMOUS:
            code = element["path"]
        elif code.startswith(_SYSTEM):
            code = _system_type(element["path"], of_resource=of_resource)
        targets = [url.removeprefix(_PROFILES) for url in type_.get("targetProfile", ())]
        yield code, targets


def _system_type(path: str, *, of_resource: bool) -> str:
    """Return the FHIR type of what the snapshots give a FHIRPath type.

    They call a resource's id a string, where the type `id` is meant.
    """
    if path == "Extension.url":
        return "uri"
    return "id" if of_resource and path.count(".") == 1 else "string"


def _binding(binding: Json | None) -> list[str] | None:
    if binding is None or "valueSet" not in binding:
        return None
    return [binding["strength"], binding["valueSet"].partition("|")[0]]


def invariants(definitions: Iterable[Json]) -> tuple[dict[str, Row], dict[str, list[str]]]:
    """Return each key's [severity, text, FHIRPath], and the keys of each element path.

    Only keys that an element states itself: what it inherits stands at the
    element of the type where it comes from. A key that another type has used for
    another rule is written `Task/inv-1`.
    """
    rules: dict[str, Row] = {}
    placed: dict[str, list[str]] = {}
    for definition in definitions:
        for element in definition["snapshot"]["element"]:
            for rule in element.get("constraint", ()):
                source = rule.get("source", definition["url"]).removeprefix(_PROFILES)
                if source != definition["type"] or "expression" not in rule:
                    continue
                row = [rule["severity"], rule["human"], rule["expression"]]
                taken = rules.get(rule["key"], row) != row
                key = f"{definition['type']}/{rule['key']}" if taken else rule["key"]
                rules[key] = row
                placed.setdefault(element["path"], []).append(key)
    return rules, placed
