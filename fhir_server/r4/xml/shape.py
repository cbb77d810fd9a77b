"""How each type's members stand in XML.

https://hl7.org/fhir/R4/xml.html
"""

from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from fhir_server.r4.definitions import Definitions, Element
from fhir_server.r4.walk import segment

FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"


class Kind(Enum):
    """What an element holds: a `value`, members, one resource, or XHTML."""

    PRIMITIVE = 1
    COMPLEX = 2
    INLINE = 3
    NARRATIVE = 4


class Member(NamedTuple):
    """A member that is an XML element.

    `segment` is its name in FHIRPath; `rank` is its place in the order, alike in a choice.
    """

    name: str
    segment: str
    kind: Kind
    type: str
    repeats: bool
    rank: int


class Shape(NamedTuple):
    """A type in XML: the members that are attributes, and those that are elements in order."""

    attributes: frozenset[str]
    elements: Mapping[str, Member]


@lru_cache(maxsize=4)
def shapes(definitions: Definitions) -> Mapping[str, Shape]:
    """Return the shape of each type that is no primitive, and of backbones, by name."""
    return {
        name: Shape(
            frozenset(e.name for e in elements.values() if _is_attribute(e)),
            _members(definitions, elements),
        )
        for name, elements in definitions.elements.items()
    }


def _members(definitions: Definitions, elements: Mapping[str, Element]) -> dict[str, Member]:
    ranks: dict[str, int] = {}
    return {
        element.name: Member(
            element.name,
            segment(element),
            _kind(definitions, element),
            element.type,
            element.max != 1,
            ranks.setdefault(element.path, len(ranks)),
        )
        for element in elements.values()
        if not _is_attribute(element)
    }


def _is_attribute(element: Element) -> bool:
    """The id of an element and the url of an extension; a resource's id is of type `id`."""
    is_id = element.name == "id" and element.type == "string"
    return is_id or element.path == "Extension.url"


def _kind(definitions: Definitions, element: Element) -> Kind:
    if element.type == "Resource":
        return Kind.INLINE
    if element.type == "xhtml":
        return Kind.NARRATIVE
    return Kind.COMPLEX if element.type in definitions.elements else Kind.PRIMITIVE
