"""What a caller may reach at all, as the second wall is told it.

It is made of the rights alone and not of their conditions, so that a fault in how these are
compiled is none here. It says less than the first wall: types, and compartments where every
grant has one; what else limits a grant (care, labels, consents) is the first wall's alone.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fhir_server.access import binary, inside
from fhir_server.access.unanswerable import UnanswerableError
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.rights import ANY, BEFORE, Grant, Inside, Rights, Wall
from fhir_server.search.condition import ALWAYS, NEVER, Condition, Either, Ids, Terms
from fhir_server.search.registry import Registry
from fhir_server.second_wall import Reach
from fhir_server.server import Server

_READS = frozenset("rs")
# What a writer finds lying there: he may be shown, or may change, what it becomes.
_CHANGES = _READS | {"u", BEFORE, "d"}
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_MOST = 2048


@dataclass(slots=True)
class _Bounds:
    """Compartments, as terms of their members and as ids of their roots."""

    keys: set[int] = field(default_factory=set)
    roots: set[str] = field(default_factory=set)


_kept: OrderedDict[tuple[int, int, bool], tuple[Registry, Rights, Reach]] = OrderedDict()


@asynccontextmanager
async def reading(
    server: Server, caller: Caller, *, kept: bool = False
) -> AsyncIterator[Connection]:
    """Lend a connection for what a caller reads: of a restricted one behind the second wall.

    With `kept` plans of what rights add are made once, which are long to plan.
    """
    if not caller.rights.walls:
        async with server.database.connection(kept=kept) as connection:
            yield connection
        return
    async with server.database.restricted(reach(server, caller.rights), kept=kept) as connection:
        yield connection


@asynccontextmanager
async def within(
    server: Server, connection: Connection, caller: Caller, *, changing: bool = False
) -> AsyncIterator[None]:
    """Put what a transaction reads for a restricted caller behind the second wall meanwhile.

    With `changing` it may also fetch what the caller may change without reading it.
    """
    if not caller.rights.walls:
        yield
        return
    async with server.database.behind(connection, reach(server, caller.rights, changing=changing)):
        yield


def reach(server: Server, rights: Rights, *, changing: bool = False) -> Reach:
    """Return what may be read with these rights at most, or be found by who is `changing` it."""
    registry = server.registry
    # By identity, as restrictions are: to hash what a role grants takes longer.
    key = (id(registry), id(rights), changing)
    known = _kept.get(key)
    if known is not None:
        return known[2]
    found = _reach(server, rights, _CHANGES if changing else _READS)
    _kept[key] = (registry, rights, found)
    if len(_kept) > _MOST:
        _kept.popitem(last=False)
    return found


def _reach(server: Server, rights: Rights, letters: frozenset[str]) -> Reach:
    free: list[int] = []
    bound: list[int] = []
    whole = _Bounds()
    walls = [_by_type(wall, letters) for wall in rights.walls]
    for name in server.definitions.resource_types:
        limits = [_limits(server, wall, name) for wall in walls]
        if any(one is False for one in limits):
            continue
        number = server.definitions.type_ids[name]
        bounds = [one for one in limits if isinstance(one, _Bounds)]
        if not bounds:
            free.append(number)
            continue
        bound.append(number)
        # Of several walls with compartments one will do.
        whole.keys |= bounds[0].keys
        whole.roots |= bounds[0].roots
    return Reach(_array(free), _array(bound), _array(sorted(whole.keys)), _array(whole.roots))


def _array(values: Iterable[object]) -> str:
    """Return the text of an array of numbers, or of `number/id`, which needs no quotes."""
    return f"{{{','.join(map(str, values))}}}"


def _by_type(wall: Wall, letters: frozenset[str]) -> Mapping[str, list[Grant]]:
    found: dict[str, list[Grant]] = {}
    for grant in wall:
        if letters & set(grant.letters):
            found.setdefault(grant.type, []).append(grant)
    return found


def _limits(server: Server, wall: Mapping[str, Sequence[Grant]], type_name: str) -> _Bounds | bool:
    """Return in which compartments a wall grants the type: True in none, False not at all."""
    grants = (*wall.get(type_name, ()), *wall.get(ANY, ()))
    if type_name == binary.TYPE:
        # It is in no compartment; its context is.
        return bool(grants)
    found = _Bounds()
    for grant in grants:
        granted = _granted(server, grant, type_name)
        if granted is True:
            return True
        if isinstance(granted, _Bounds):
            found.keys |= granted.keys
            found.roots |= granted.roots
    return found if found.keys or found.roots else False


def _granted(server: Server, grant: Grant, type_name: str) -> _Bounds | bool:
    """Return the compartment of a grant: True for none, False where it grants nothing."""
    found: _Bounds | bool = True
    for limit in grant.limits:
        if not isinstance(limit, Inside):
            continue
        try:
            condition = inside.compiled(server, limit, type_name)
        except UnanswerableError:
            return False
        if condition == NEVER:
            return False
        if condition != ALWAYS:
            found = _bounds(condition)
    return found


def _bounds(condition: Condition) -> _Bounds | bool:
    """Return the terms and roots that the condition names; True where it says more."""
    match condition:
        case Terms(alternatives=terms):
            return _Bounds(keys=set(terms))
        case Ids(ids=ids, types=types):
            named = [id_ for id_ in ids if _ID.fullmatch(id_)]
            return _Bounds(roots={f"{one}/{id_}" for one in types for id_ in named})
        case Either(parts):
            every = [_bounds(one) for one in parts]
            whole = _Bounds()
            for one in every:
                if not isinstance(one, _Bounds):
                    return True
                whole.keys |= one.keys
                whole.roots |= one.roots
            return whole
        case _:
            return True
