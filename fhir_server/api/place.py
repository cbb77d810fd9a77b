"""What a path below the FHIR base addresses.

https://hl7.org/fhir/R4/http.html#3.1.0
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fhir_server.errors import BadRequest, NotFound
from fhir_server.interactions.draft import ID

_VERSION_DEPTH = 3

_KEYWORDS = {
    "metadata": "metadata",
    "_history": "system-history",
    "_search": "system-search",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A shape of URL, with what it names: resource type, id, version.

    `member` is the type (or `*`) that is searched in the compartment of type and id;
    `operation` is the name of one, without `$`.
    """

    shape: str
    type: str = ""
    id: str = ""
    version: str = ""
    member: str = ""
    operation: str = ""


def place(type_ids: Mapping[str, int], segments: tuple[str, ...]) -> Place:
    """Return what the path addresses; NotFound when it addresses nothing here."""
    found = _of_the_whole(segments)
    if found is not None:
        return found
    first, rest = segments[0], segments[1:]
    if first not in type_ids:
        raise NotFound("There is no such resource type", code="not-supported")
    if len(rest) in (1, 2) and rest[-1].startswith("$"):
        return Place("operation", first, _id(rest[0]) if rest[1:] else "", operation=rest[-1][1:])
    if not rest:
        return Place("type", first)
    if rest in {("_search",), ("_history",)}:
        return Place(f"type-{rest[0][1:]}", first)
    return _instance(type_ids, first, rest)


def _of_the_whole(segments: tuple[str, ...]) -> Place | None:
    """Return what a path without a resource type addresses."""
    if not segments:
        return Place("system")
    first, rest = segments[0], segments[1:]
    if not rest and first in _KEYWORDS:
        return Place(_KEYWORDS[first])
    if not rest and first.startswith("$"):
        return Place("operation", operation=first[1:])
    if first == "_async" and len(rest) == 1:
        return Place("asynchronous", id=rest[0])
    return None


def _instance(type_ids: Mapping[str, int], type_name: str, rest: tuple[str, ...]) -> Place:
    id_, *more = _id(rest[0]), *rest[1:]
    if not more:
        return Place("instance", type_name, id_)
    if more[0] == "_history" and len(more) == 1:
        return Place("instance-history", type_name, id_)
    if more[0] == "_history" and len(rest) == _VERSION_DEPTH:
        return Place("version", type_name, id_, more[1])
    if (more[0] == "*" or more[0] in type_ids) and more[1:] in ([], ["_search"]):
        shape = "compartment-search" if more[1:] else "compartment"
        return Place(shape, type_name, id_, member=more[0])
    raise NotFound("There is nothing at this path", code="not-supported")


def _id(segment: str) -> str:
    if not ID.match(segment):
        raise BadRequest("This is no FHIR id", code="value", expression="id")
    return segment
