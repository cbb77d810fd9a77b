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

    `member` is the type (or `*`) that is searched in the compartment of type and id.
    """

    shape: str
    type: str = ""
    id: str = ""
    version: str = ""
    member: str = ""


def place(type_ids: Mapping[str, int], segments: tuple[str, ...]) -> Place:
    """Return what the path addresses; NotFound when it addresses nothing here."""
    if not segments:
        return Place("system")
    first, rest = segments[0], segments[1:]
    if not rest and first in _KEYWORDS:
        return Place(_KEYWORDS[first])
    if any(part.startswith("$") for part in segments):
        raise NotFound("There is no such operation", code="not-supported")
    if first not in type_ids:
        raise NotFound("There is no such resource type", code="not-supported")
    if not rest:
        return Place("type", first)
    if rest in {("_search",), ("_history",)}:
        return Place(f"type-{rest[0][1:]}", first)
    return _instance(type_ids, first, rest)


def _instance(type_ids: Mapping[str, int], type_name: str, rest: tuple[str, ...]) -> Place:
    id_, *more = rest
    if not ID.match(id_):
        raise BadRequest("This is no FHIR id", code="value", expression="id")
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
