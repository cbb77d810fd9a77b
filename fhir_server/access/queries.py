"""Rights put into every place of a query that stands for resources.

https://hl7.org/fhir/R4/search.html
"""

from collections.abc import Sequence
from dataclasses import replace

from fhir_server.access import masking
from fhir_server.access.restriction import required, restriction, unions
from fhir_server.errors import Forbidden
from fhir_server.rights import Rights
from fhir_server.search.condition import (
    ALWAYS,
    NEVER,
    Both,
    Condition,
    Either,
    Linked,
    Not,
    Referred,
    Typed,
    Within,
    either,
    implies_type,
)
from fhir_server.search.query import Include, Query
from fhir_server.server import Server

SEARCH, READ = "s", "r"


def guarded(server: Server, rights: Rights, query: Query, letter: str = SEARCH) -> Query:
    """Return the query that finds what these rights let through with the letter.

    As if nothing else were stored: behind each reference, in each hierarchy, and, of what may
    be read, among what is included. Forbidden where none of the types searched may be.
    """
    if not rights.walls:
        return replace(query, guard="open")
    masking.refuse_hidden(server, rights, query)
    searched = [server.definitions.type_names[one] for one in query.type_ids]
    top = union(server, rights, searched, letter)
    conditions = tuple(walled(server, rights, one) for one in query.conditions)
    includes = [_included(server, rights, one) for one in query.includes]
    return replace(
        query,
        conditions=conditions,
        top=top,
        includes=tuple(one for one in includes if one.wall != NEVER),
        guard="walled",
    )


def union(server: Server, rights: Rights, types: Sequence[str], letter: str) -> Condition | None:
    """Return what resources of some of these types must meet; no types are all, None is nothing.

    Types of which nothing may be seen are left out; Forbidden where that leaves none.
    """
    if not rights.walls:
        return None
    if len(types) == 1:
        return required(server, rights, types[0], letter)
    everything = _union(server, rights, types or server.definitions.resource_types, letter)
    if everything == NEVER:
        raise Forbidden(f"This is not among your rights: {letter} of any of the types")
    return everything


class Walls:
    """What resources of several types must meet, for statements about all of them.

    `any` is the union, None where nothing is asked; `each` has the wall of each type of
    which something is asked, by type id; `open` are the types of which nothing is.
    """

    def __init__(self, server: Server, rights: Rights, types: Sequence[str], letter: str) -> None:
        self.any: Condition | None = None
        self.each: dict[int, Condition] = {}
        self.open: tuple[int, ...] = ()
        if not rights.walls:
            return
        ids = server.definitions.type_ids
        found = {ids[one]: there(server, rights, one, letter) for one in types}
        self.each = {number: one for number, one in found.items() if one != ALWAYS}
        self.open = tuple(number for number, one in found.items() if one == ALWAYS)
        self.any = _union(server, rights, types, letter)


def _union(server: Server, rights: Rights, types: Sequence[str], letter: str) -> Condition:
    """Return the union over the types, one node for those that must meet the same."""
    known, asked = unions(server, rights), (tuple(types), letter)
    if asked not in known:
        known[asked] = _made(server, rights, types, letter)
    return known[asked]


def _made(server: Server, rights: Rights, types: Sequence[str], letter: str) -> Condition:
    alike: dict[Condition, list[int]] = {}
    for name in types:
        condition = there(server, rights, name, letter)
        if condition != NEVER:
            alike.setdefault(condition, []).append(server.definitions.type_ids[name])
    return either([_of_types(one, numbers) for one, numbers in alike.items()])


def _of_types(condition: Condition, types: Sequence[int]) -> Condition:
    if condition == ALWAYS:
        return Typed(tuple(types))
    return condition if implies_type(condition) else Both((Typed(tuple(types)), condition))


def there(server: Server, rights: Rights, type_name: str, letter: str) -> Condition:
    """Return what a resource of the type must meet to be there: `ALWAYS`, `NEVER`, or between.

    What cannot be decided is not there.
    """
    try:
        found = restriction(server, rights, type_name, letter)
    except Forbidden:
        return NEVER
    return ALWAYS if found is None else found


def walled(server: Server, rights: Rights, condition: Condition) -> Condition:
    """Return the condition with what each resource behind a reference must meet to be there."""
    match condition:
        case Linked(target=type_id, condition=inner) | Referred(source=type_id, condition=inner):
            name = server.definitions.type_names[type_id]
            wall = there(server, rights, name, SEARCH)
            found = replace(condition, condition=walled(server, rights, inner), wall=wall)
            # Of what is contained as little is shown to these (masking.py), so nothing is left.
            return NEVER if wall == NEVER and masking.parts(rights) else found
        case Within(type_id=type_id):
            name = server.definitions.type_names[type_id]
            return replace(condition, wall=there(server, rights, name, SEARCH))
        case Not(inner):
            return Not(walled(server, rights, inner))
        case Either(parts):
            return Either(tuple(walled(server, rights, one) for one in parts))
        case Both(parts):
            return Both(tuple(walled(server, rights, one) for one in parts))
        case _:
            return condition


def _included(server: Server, rights: Rights, include: Include) -> Include:
    names = server.definitions.type_names
    types = [names[one] for one in include.types] or server.definitions.resource_types
    return replace(include, wall=_union(server, rights, types, READ))
