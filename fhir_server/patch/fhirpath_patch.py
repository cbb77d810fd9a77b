"""FHIRPath Patch.

https://hl7.org/fhir/R4/fhirpatch.html
"""

from collections.abc import Callable, Mapping
from typing import Any

from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.patch.document import copied, require_few, require_shallow
from fhir_server.patch.expression import led, split
from fhir_server.patch.place import (
    Pair,
    Place,
    Walk,
    attach,
    named,
    pairs,
    remove,
    store,
    whole,
)
from fhir_server.patch.value import add, value
from fhir_server.r4.definitions import Definitions, Element

_Parts = Mapping[str, dict[str, Any]]

_TEXTS = ("valueString", "valueCode")
_INTEGERS = ("valueInteger", "valueUnsignedInt", "valuePositiveInt")


def apply(
    definitions: Definitions, type_name: str, document: dict[str, Any], parameters: dict[str, Any]
) -> dict[str, Any]:
    """Return the resource after all operations of a Parameters; `document` is not changed.

    A primitive's id and extensions go with its value. What a deletion leaves
    empty goes, too. BadRequest at `Parameters.parameter[i]` for what is no
    operation, over 500 of them, a path that gives nothing or too much, an index
    out of range, a value of another type; code `too-costly` for over a million visits
    to elements. Unprocessable for an expression over the limits of FHIRPath.
    """
    operations = _operations(parameters)
    try:
        root = whole(copied(document), type_name)
        walk = Walk(definitions)
        for index, operation in enumerate(operations):
            _apply(walk, root, operation, index)
        require_shallow(root.content)
    except RecursionError:
        raise BadRequest("The patch is nested too deeply", code="structure") from None
    return root.content


def _operations(parameters: dict[str, Any]) -> list[Any]:
    if parameters.get("resourceType") != "Parameters":
        raise BadRequest("A FHIRPath Patch is a Parameters resource", code="structure")
    operations = parameters.get("parameter", [])
    if not isinstance(operations, list):
        raise BadRequest("A FHIRPath Patch is a list of operations", code="structure")
    require_few(operations)
    return operations


def _apply(walk: Walk, root: Place, operation: object, index: int) -> None:
    try:
        _act(walk, root, operation)
    except (BadRequest, Unprocessable) as error:
        raise type(error)(
            f"Operation {index}: {error.text}",
            code=error.issues[0].code,
            expression=f"Parameters.parameter[{index}]",
        ) from None


def _act(walk: Walk, root: Place, operation: object) -> None:
    parts = _parts(operation)
    kind = _text(parts, "type")
    if kind not in _KINDS:
        raise BadRequest("the type is not add, insert, delete, replace or move")
    needed, act = _KINDS[kind]
    if parts.keys() - {"type"} != needed:
        raise BadRequest(f"{kind} has the parts {', '.join(sorted(needed))}")
    act(walk, root, copied(parts))


def _parts(operation: object) -> _Parts:
    """Return the parts of an operation by name."""
    if not isinstance(operation, dict) or operation.get("name") != "operation":
        raise BadRequest("the parameter is not named operation")
    listed = operation.get("part")
    if not isinstance(listed, list):
        raise BadRequest("the operation has no parts")
    parts: dict[str, dict[str, Any]] = {}
    for part in listed:
        if not isinstance(part, dict) or not isinstance(part.get("name"), str):
            raise BadRequest("a part has no name")
        if part["name"] in parts:
            raise BadRequest("a part comes twice")
        parts[part["name"]] = part
    return parts


def _text(parts: _Parts, name: str) -> str:
    part = parts.get(name, {})
    found = next((part[key] for key in _TEXTS if key in part), None)
    if not isinstance(found, str):
        raise BadRequest(f"{name} is a string")
    return found


def _integer(parts: _Parts, name: str) -> int:
    found = next((parts[name][key] for key in _INTEGERS if key in parts[name]), None)
    if type(found) is not int:
        raise BadRequest(f"{name} is an integer")
    return found


def _single(walk: Walk, root: Place, parts: _Parts) -> Place:
    """Return the one element that the path leads to."""
    return _one(led(walk, root, _text(parts, "path")))


def _one(found: list[Place]) -> Place:
    if not found:
        raise BadRequest("there is nothing at the path")
    if len(found) > 1:
        raise BadRequest("there is more than one element at the path")
    return found[0]


def _list(walk: Walk, root: Place, parts: _Parts) -> tuple[Place, Element]:
    """Return the list that the path names: the element around it, and its definition."""
    around, name = split(walk, root, _text(parts, "path"))
    parent = _one(around)
    element = named(walk.definitions, parent, name)[0]
    if element.max == 1:
        raise BadRequest("the path does not lead to a list")
    return parent, element


def _add(walk: Walk, root: Place, parts: _Parts) -> None:
    place = _single(walk, root, parts)
    candidates = named(walk.definitions, place, _text(parts, "name"))
    add(walk.definitions, place, value(walk.definitions, candidates, parts["value"]))
    attach(place)


def _insert(walk: Walk, root: Place, parts: _Parts) -> None:
    place, element = _list(walk, root, parts)
    there, at = pairs(place.content, element), _integer(parts, "index")
    if not 0 <= at <= len(there):
        raise BadRequest("the index is out of range")
    there.insert(at, value(walk.definitions, [element], parts["value"]).pair)
    store(place.content, element, there)
    attach(place)


def _delete(walk: Walk, root: Place, parts: _Parts) -> None:
    found = led(walk, root, _text(parts, "path"))
    if found:
        remove(_one(found))


def _replace(walk: Walk, root: Place, parts: _Parts) -> None:
    place = _single(walk, root, parts)
    parent, element = place.parent, place.element
    if parent is None or element is None:
        raise BadRequest("the path leads to the resource itself")
    alike = named(walk.definitions, parent, element.choice or element.name)
    new = value(walk.definitions, alike, parts["value"])
    there: list[Pair] = pairs(parent.content, element)
    if new.element is not element:
        store(parent.content, element, [])
        there = [new.pair]
    there[place.at] = new.pair
    store(parent.content, new.element, there)


def _move(walk: Walk, root: Place, parts: _Parts) -> None:
    place, element = _list(walk, root, parts)
    there = pairs(place.content, element)
    source, destination = _integer(parts, "source"), _integer(parts, "destination")
    if not (0 <= source < len(there) and 0 <= destination < len(there)):
        raise BadRequest("an index is out of range")
    there.insert(destination, there.pop(source))
    store(place.content, element, there)


_KINDS: dict[str, tuple[set[str], Callable[[Walk, Place, _Parts], None]]] = {
    "add": ({"path", "name", "value"}, _add),
    "insert": ({"path", "index", "value"}, _insert),
    "delete": ({"path"}, _delete),
    "replace": ({"path", "value"}, _replace),
    "move": ({"path", "source", "destination"}, _move),
}
