"""Elements in a document as places that can be set.

https://hl7.org/fhir/R4/fhirpatch.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from itertools import zip_longest
from typing import Any

from fhir_server.errors import BadRequest
from fhir_server.patch.path import Index, Literal, Member, Moment, OfType, Path, Step, Where
from fhir_server.r4.definitions import Definitions, Element

# Of one patch, whatever its operations: paths may look at a long list again and again.
MAX_STEPS = 1_000_000
MAX_SECONDS = 2.0

# A value, and the id and extensions of a primitive.
Pair = tuple[Any, Any]

_ANY_RESOURCE = frozenset(("Resource", "DomainResource"))
_WITH_MINUTES = len("2000-01-01T00:00")


@dataclass(frozen=True, slots=True)
class Place:
    """An element that is there.

    `content` is the object that has its members, for a primitive that of its
    JSON member with `_`; `value` is a primitive's value. `element` and `parent`
    are None for the whole resource; `at` is the place in a list, else 0.
    """

    type: str
    value: Any
    content: dict[str, Any]
    element: Element | None = None
    parent: "Place | None" = None
    at: int = 0


def whole(document: dict[str, Any], type_name: str) -> Place:
    """Return the place of the resource itself."""
    return Place(type_name, document, document)


def named(definitions: Definitions, place: Place, name: str) -> tuple[Element, ...]:
    """Return the element of this FHIRPath name, several for the types of a choice.

    BadRequest when R4 does not know it.
    """
    return _named(definitions, place.type, name)


@lru_cache(maxsize=1024)
def _named(definitions: Definitions, type_name: str, name: str) -> tuple[Element, ...]:
    # A primitive has what every element has: an id and extensions.
    elements = definitions.elements.get(type_name) or definitions.elements["Element"]
    found = tuple(e for e in elements.values() if (e.choice or e.name) == name)
    if not found:
        raise BadRequest("the path names an element that R4 does not have there")
    return found


@dataclass(slots=True)
class Walk:
    """All ways through one document: how many elements may yet be visited, and for how long.

    `seconds` are those that the FHIRPath engine may still take.
    """

    definitions: Definitions
    steps: int = MAX_STEPS
    seconds: float = MAX_SECONDS

    def spend(self, steps: int) -> None:
        """Count visits; BadRequest (code `too-costly`) when there are too many."""
        self.steps -= steps
        if self.steps < 0:
            raise BadRequest("the paths visit too many elements", code="too-costly")

    def spend_time(self, seconds: float) -> None:
        """Count the engine's time; BadRequest (code `too-costly`) when it takes too long."""
        self.seconds -= seconds
        if self.seconds < 0:
            raise BadRequest("the paths take too long", code="too-costly")


def find(walk: Walk, root: Place, path: Path) -> list[Place]:
    """Return what the path leads to; it may begin with the type of `root`."""
    first = path[0]
    if isinstance(first, Member) and is_beginning(root, first.name):
        path = path[1:]
    return _follow(walk, [root], path)


def is_beginning(root: Place, name: str) -> bool:
    """Return whether the name is that of the resource itself, with which a path may begin."""
    return name == root.type or name in _ANY_RESOURCE


def _follow(walk: Walk, places: list[Place], path: Path) -> list[Place]:
    for step in path:
        walk.spend(len(places) + 1)
        places = _step(walk, places, step)
    return places


def _step(walk: Walk, places: list[Place], step: Step) -> list[Place]:
    match step:
        case Member(name):
            return [found for place in places for found in children(walk, place, name)]
        case Index(at):
            return places[at:][:1]
        case OfType(type_name):
            return [place for place in places if place.type == type_name]
        case Where(criteria):
            return [
                place
                for place in places
                if all(_holds(walk, place, *criterion) for criterion in criteria)
            ]


def _holds(walk: Walk, place: Place, path: Path, literal: Literal) -> bool:
    walk.spend(1)
    found = _follow(walk, [place], path)
    return len(found) == 1 and _equal(found[0].value, literal)


def _equal(value: object, literal: Literal) -> bool:
    if isinstance(value, bool) or isinstance(literal, bool):
        return value is literal
    if isinstance(literal, Decimal):
        return isinstance(value, int | Decimal) and value == literal
    if isinstance(literal, Moment):
        return isinstance(value, str) and _instant(value) == _instant(literal.text)
    return value == literal


def _instant(text: str) -> str | datetime:
    """Return the moment where a time zone makes it one, else the text."""
    if len(text) > _WITH_MINUTES:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return text
        return text if moment.tzinfo is None else moment
    return text.strip("T")


def children(walk: Walk, place: Place, name: str) -> list[Place]:
    """Return the members of a place by their FHIRPath name."""
    found = [
        _place(walk.definitions, place, element, at, pair)
        for element in named(walk.definitions, place, name)
        for at, pair in enumerate(pairs(place.content, element))
    ]
    walk.spend(len(found))
    return found


def _place(definitions: Definitions, parent: Place, element: Element, at: int, pair: Pair) -> Place:
    value, note = pair
    if element.type == "Resource" and type(value) is dict:
        return Place(str(value.get("resourceType")), value, value, element, parent, at)
    if element.type in definitions.elements:
        content = value if type(value) is dict else {}
        return Place(element.type, value, content, element, parent, at)
    content = note if type(note) is dict else {}
    return Place(element.type, value, content, element, parent, at)


def pairs(content: Mapping[str, Any], element: Element) -> list[Pair]:
    """Return each value of an element with its id and extensions, as (value, note)."""
    values, notes = content.get(element.name), content.get(f"_{element.name}")
    if element.max == 1:
        return [] if values is None and notes is None else [(values, notes)]
    return list(zip_longest(_list(values), _list(notes)))


def _list(value: object) -> list[Any]:
    return value if type(value) is list else []


def store(content: dict[str, Any], element: Element, new: Sequence[Pair]) -> None:
    """Set an element's values in place of all that it has; none take its members away."""
    values = [value for value, _ in new]
    notes = [note or None for _, note in new]
    for name, items in ((element.name, values), (f"_{element.name}", notes)):
        if all(item is None for item in items):
            content.pop(name, None)
        else:
            content[name] = items[0] if element.max == 1 else items


def attach(place: Place) -> None:
    """Set what a primitive's `content` now holds, as it may have had none."""
    if place.parent is not None and place.element is not None and place.content is not place.value:
        there = pairs(place.parent.content, place.element)
        there[place.at] = (place.value, place.content)
        store(place.parent.content, place.element, there)


def remove(place: Place) -> None:
    """Take an element out, and each one around it that is left empty."""
    parent, element = place.parent, place.element
    if parent is None or element is None:
        raise BadRequest("the path leads to the resource itself")
    there = pairs(parent.content, element)
    del there[place.at]
    store(parent.content, element, there)
    if parent.content or parent.parent is None:
        return
    if parent.value is None or parent.content is parent.value:
        remove(parent)
    else:
        attach(parent)
