"""Concepts of a code system with their designations and properties.

https://hl7.org/fhir/R4/codesystem-definitions.html#CodeSystem.concept
"""

from dataclasses import dataclass, replace
from typing import Any

Json = dict[str, Any]

CONCEPT_PROPERTIES = "http://hl7.org/fhir/concept-properties#"
STRUCTURE_DEFINITION = "http://hl7.org/fhir/StructureDefinition/"
STANDARDS_STATUS = STRUCTURE_DEFINITION + "structuredefinition-standards-status"

INACTIVE_STATUS = frozenset({"retired", "inactive", "withdrawn"})


@dataclass(frozen=True, slots=True)
class Designation:
    """Another text of a concept; `source` names the supplement that adds it."""

    value: str
    language: str | None = None
    use: Json | None = None
    status: str | None = None
    """Standards status: `deprecated` and `withdrawn` make the text a wrong display."""
    source: str | None = None
    extensions: tuple[Json, ...] = ()
    dialects: tuple[tuple[str, bool], ...] = ()
    """Further language tags that ask for it, and whether it is the preferred text there."""


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a concept: `kind` is the FHIR member, such as `valueCode`."""

    code: str
    kind: str
    value: Any
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept without its place in the hierarchy, which the code system answers."""

    code: str
    display: str | None = None
    definition: str | None = None
    designations: tuple[Designation, ...] = ()
    properties: tuple[Property, ...] = ()
    status: str | None = None
    inactive: bool = False
    abstract: bool = False
    extensions: tuple[Json, ...] = ()

    def value(self, code: str) -> object | None:
        """The first value of a property, or None."""
        return next((p.value for p in self.properties if p.code == code), None)


def extended(concept: Concept, extra: Concept, source: str) -> Concept:
    """The concept with a supplement's designations, properties and extensions added."""
    sourced = tuple(replace(designation, source=source) for designation in extra.designations)
    return replace(
        concept,
        designations=concept.designations + sourced,
        properties=concept.properties + extra.properties,
        extensions=concept.extensions + extra.extensions,
    )


def standards_status(extensions: tuple[Json, ...] | list[Json]) -> str | None:
    """The standards status, such as `draft`, `normative`, `deprecated` or `withdrawn`."""
    value = extension_value(extensions, STANDARDS_STATUS)
    return value if isinstance(value, str) else None


def extension_value(extensions: tuple[Json, ...] | list[Json], url: str) -> Any | None:  # noqa: ANN401 - any FHIR value
    """The value of the first extension of that url, or None."""
    for extension in extensions:
        if extension.get("url") == url:
            return next((v for k, v in extension.items() if k.startswith("value")), None)
    return None
