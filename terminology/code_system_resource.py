"""CodeSystem resources read into code systems.

https://hl7.org/fhir/R4/codesystem.html
"""

from collections.abc import Iterator

from terminology.code_system import Head, PropertyDefinition
from terminology.concepts import (
    INACTIVE_STATUS,
    STRUCTURE_DEFINITION,
    Concept,
    Designation,
    Json,
    Property,
    extension_value,
    standards_status,
)
from terminology.issues import bad_request
from terminology.memory import MemoryCodeSystem
from terminology.shapes import require

VERSION_ALGORITHM = (
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-CanonicalResource.versionAlgorithm"
)
MAX_DEPTH = 100

# Extensions that the expansion shows as properties (valueset.html, expansion.property).
EXTENSION_PROPERTIES = {
    STRUCTURE_DEFINITION + "itemWeight": "weight",
    STRUCTURE_DEFINITION + "codesystem-label": "label",
    STRUCTURE_DEFINITION + "valueset-label": "label",
    STRUCTURE_DEFINITION + "codesystem-conceptOrder": "order",
    STRUCTURE_DEFINITION + "valueset-conceptOrder": "order",
}


def read_code_system(resource: Json) -> MemoryCodeSystem:
    """The code system of an R4 CodeSystem; Refusal 400 for what is none, or too deep."""
    require("CodeSystem", resource)
    flat = list(_walk(resource.get("concept", ()), None, 0))
    head = read_head(resource, nested=any(parent for parent, _ in flat))
    roles = {one.code: one.role for one in head.properties}
    concepts = [_concept(source, roles) for _, source in flat]
    edges = [(parent, source["code"]) for parent, source in flat if parent]
    edges += list(_property_edges(concepts, roles))
    return MemoryCodeSystem(head, concepts, edges)


def _walk(
    concepts: list[Json], parent: str | None, depth: int
) -> Iterator[tuple[str | None, Json]]:
    if depth > MAX_DEPTH:
        raise bad_request("concepts are nested too deep")
    for concept in concepts:
        yield parent, concept
        yield from _walk(concept.get("concept", []), concept["code"], depth + 1)


def read_head(resource: Json, *, nested: bool) -> Head:
    """Everything that a CodeSystem says but its concepts; `nested` when some have a parent."""
    extensions = resource.get("extension", [])
    algorithm = extension_value(extensions, VERSION_ALGORITHM)
    properties = tuple(
        PropertyDefinition(p["code"], p.get("type", "string"), p.get("uri"), p.get("description"))
        for p in resource.get("property", ())
    )
    return Head(
        url=resource["url"],
        version=resource.get("version"),
        name=resource.get("name"),
        title=resource.get("title"),
        content=resource.get("content", "complete"),
        case_sensitive=resource.get("caseSensitive", True),
        hierarchy_meaning=resource.get("hierarchyMeaning"),
        language=resource.get("language"),
        version_algorithm=_code(algorithm),
        version_needed=resource.get("versionNeeded", False),
        supplements=resource.get("supplements"),
        value_set=resource.get("valueSet"),
        properties=properties,
        status=resource.get("status"),
        standards_status=standards_status(extensions),
        experimental=resource.get("experimental", False),
        hierarchical=nested or any(one.role in {"parent", "child"} for one in properties),
        grammar=resource.get("compositional", False),
    )


def _code(value: object) -> str | None:
    """The code of a Coding, or the text itself."""
    code = value.get("code") if isinstance(value, dict) else value
    return code if isinstance(code, str) else None


def _concept(source: Json, roles: dict[str, str]) -> Concept:
    extensions = tuple(source.get("extension", ()))
    properties = tuple(_property(one) for one in source.get("property", ()))
    by_role = {roles.get(one.code, one.code): one.value for one in properties}
    standards = standards_status(extensions)
    stated = by_role.get("status")
    status = stated if isinstance(stated, str) else None
    return Concept(
        code=source["code"],
        display=source.get("display"),
        definition=source.get("definition"),
        designations=tuple(designation(one) for one in source.get("designation", ())),
        properties=properties,
        status=status or standards,
        inactive=status in INACTIVE_STATUS
        or by_role.get("inactive") is True
        or (status is None and standards == "withdrawn"),
        abstract=by_role.get("notSelectable") is True,
        extensions=extensions,
    )


def designation(source: Json) -> Designation:
    """A designation of a CodeSystem or of a ValueSet's compose."""
    extensions = tuple(source.get("extension", ()))
    return Designation(
        value=source.get("value", ""),
        language=source.get("language"),
        use=source.get("use"),
        status=standards_status(extensions),
        extensions=extensions,
    )


def _property(source: Json) -> Property:
    kind = next((key for key in source if key.startswith("value")), "valueString")
    return Property(source.get("code", ""), kind, source.get(kind))


def _property_edges(concepts: list[Concept], roles: dict[str, str]) -> Iterator[tuple[str, str]]:
    for concept in concepts:
        for one in concept.properties:
            role = roles.get(one.code, one.code)
            if role == "parent":
                yield str(one.value), concept.code
            elif role == "child":
                yield concept.code, str(one.value)
