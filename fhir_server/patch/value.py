"""The value that a patch operation brings, in the type of its place.

https://hl7.org/fhir/R4/fhirpatch.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fhir_server.errors import BadRequest
from fhir_server.patch.place import Pair, Place, named, pairs, store
from fhir_server.r4.definitions import Definitions, Element

_PARAMETER = "Parameters.parameter"
# A type stands for those that specialise it, and the other way round; XHTML is a text in JSON.
_FAMILIES = (
    frozenset(("string", "code", "id", "markdown", "xhtml")),
    frozenset(("uri", "url", "canonical", "oid", "uuid")),
    frozenset(("integer", "positiveInt", "unsignedInt")),
)


@dataclass(frozen=True, slots=True)
class Value:
    """A value with the element that it is one of."""

    element: Element
    pair: Pair


def value(
    definitions: Definitions, candidates: Sequence[Element], part: Mapping[str, Any]
) -> Value:
    """Return the value of a parameter as one of an element's types.

    Anonymous types come as parts that name their members. BadRequest when the
    value is of none of these types.
    """
    if "part" in part:
        return _composed(definitions, candidates, part["part"])
    if "resource" in part:
        return Value(_one_of(candidates, "Resource"), (part["resource"], None))
    given = {name.removeprefix("_") for name in part} & _values(definitions)
    if len(given) != 1:
        raise BadRequest("the operation needs one value")
    element = definitions.elements[_PARAMETER][given.pop()]
    return Value(_one_of(candidates, element.type), pairs(part, element)[0])


@lru_cache(maxsize=4)
def _values(definitions: Definitions) -> frozenset[str]:
    elements = definitions.elements[_PARAMETER].values()
    return frozenset(element.name for element in elements if element.choice == "value")


def _one_of(candidates: Sequence[Element], type_name: str) -> Element:
    exact = [element for element in candidates if element.type == type_name]
    if exact:
        return exact[0]
    if len(candidates) == 1 and any(
        {type_name, candidates[0].type} <= family for family in _FAMILIES
    ):
        return candidates[0]
    raise BadRequest("the value is not of the element's type")


def _composed(definitions: Definitions, candidates: Sequence[Element], parts: object) -> Value:
    """Return an object made of parts, one for each of its members."""
    complex_ = [element for element in candidates if element.type in definitions.elements]
    if len(complex_) != 1 or type(parts) is not list:
        raise BadRequest("the value is not of the element's type")
    element = complex_[0]
    content: dict[str, Any] = {}
    place = Place(element.type, content, content)
    for part in parts:
        if type(part) is not dict or type(part.get("name")) is not str:
            raise BadRequest("a part of the value has no name")
        add(definitions, place, value(definitions, named(definitions, place, part["name"]), part))
    return Value(element, (content, None))


def add(definitions: Definitions, place: Place, new: Value) -> None:
    """Add a value to an object, at the end of a list; BadRequest where there is one already."""
    element = new.element
    there = pairs(place.content, element)
    if element.max == 1 and any(
        pairs(place.content, alike)
        for alike in named(definitions, place, element.choice or element.name)
    ):
        raise BadRequest("the element is there already and does not repeat")
    store(place.content, element, [*there, new.pair])
