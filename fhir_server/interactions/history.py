"""history: the versions of one resource, of a type, or of everything.

https://hl7.org/fhir/R4/http.html#history
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import TypeAlias
from urllib.parse import quote, urlencode

from fhir_server.access import binding
from fhir_server.access.queries import Walls, union
from fhir_server.access.reach import reading
from fhir_server.caller import Caller
from fhir_server.config import SearchSettings
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, NotFound, NotSupported
from fhir_server.interactions import binary, coded, past
from fhir_server.interactions.cursor import PARAMETER, Cursor, seal, unseal
from fhir_server.interactions.past import Past
from fhir_server.r4.summary import Mode, summarised, with_elements
from fhir_server.search.date import interval
from fhir_server.server import Server
from fhir_server.store import history as store
from fhir_server.store.history import Bounds, Version
from fhir_server.store.text import instant
from fhir_server.store.transact import Method

PARAMETERS = ("_count", "_since", "_at", "_summary", "_elements")
_MODES: Mapping[str, Mode | None] = {
    "true": "true",
    "text": "text",
    "data": "data",
    "count": None,
    "false": None,
}
_SHOWN = {
    Method.POST: b"POST",
    Method.PUT: b"PUT",
    Method.DELETE: b"DELETE",
    Method.PATCH: b"PATCH",
}
_LONGEST_NUMBER = 9
# Versions of one resource that are judged one by one to be counted.
_MOST_JUDGED = 1000
_GENERAL = frozenset(("_format", "_pretty"))  # of an entry in a batch, where they mean nothing

Pairs: TypeAlias = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A history: of what, in which bounds, which part of each version, where to go on.

    `applied` are the parameters as the self link lists them.
    """

    type: str | None
    id: str | None
    since: datetime | None
    at: tuple[datetime, datetime] | None
    count: int
    mode: Mode | None
    elements: tuple[str, ...]
    before: tuple[int, int] | None
    applied: Pairs


async def history(
    server: Server, caller: Caller, type_name: str | None, id_: str | None, pairs: Pairs
) -> bytes:
    """Return the text of a history Bundle, newest version first.

    Of a resource it has a total: counting the versions of all would let a client keep
    the server busy. NotFound when the resource was never stored.
    """
    async with reading(server, caller) as connection:
        return await history_on(server, connection, caller, type_name, id_, pairs)


async def history_on(
    server: Server,
    connection: Connection,
    caller: Caller,
    type_name: str | None,
    id_: str | None,
    pairs: Pairs,
) -> bytes:
    """Return the same on an open connection."""
    asked = _asked(server, caller, type_name, id_, pairs)
    await coded.answer_rights(server, connection, caller)
    walls = _walls(server, caller, asked)
    bounds = await _bounds(server, connection, asked, walls)
    total = await _total(server, connection, bounds, walls)
    found, more = await _page(server, connection, asked, bounds, walls)
    names = server.definitions.type_names
    for one in found:
        caller.read(names[one.type_id], one.id, one.version)
    bodies = await binary.page(server, [one.body for one in found])
    entries = [
        _entry(server, one, _part(server, asked, body))
        for one, body in zip(found, bodies, strict=True)
    ]
    path = "/".join(part for part in (server.base, type_name, id_, "_history") if part)
    links = [_link("self", path, asked.applied)]
    if more and found:
        cursor = Cursor(type_name, id_, list(asked.applied), *found[-1].cursor, int(time.time()))
        token = seal(server.registry.context.page_key, binding.of(caller), cursor)
        links.append(_link("next", path, [(PARAMETER, token)]))
    return _bundle(total, links, entries)


def _walls(server: Server, caller: Caller, asked: Asked) -> Walls:
    """Return what resources must meet; Forbidden where nothing of the type may be seen."""
    letter = "s" if asked.id is None else "r"
    types = (asked.type,) if asked.type else server.definitions.resource_types
    union(server, caller.rights, types, letter)
    return Walls(server, caller.rights, types, letter)


async def _bounds(server: Server, connection: Connection, asked: Asked, walls: Walls) -> Bounds:
    type_id = server.definitions.type_ids[asked.type] if asked.type else None
    wall = walls.any if walls.each else None
    key = None
    if type_id is not None and asked.id is not None:
        key = await store.key_of(connection, type_id, asked.id, wall)
        if key is None:
            raise NotFound(f"There is no {asked.type} with this id")
    return Bounds(key, type_id, asked.since, asked.at, wall, walls.open)


async def _total(
    server: Server, connection: Connection, bounds: Bounds, walls: Walls
) -> int | None:
    """Return how many versions of one resource there are, None of several or of too many to see."""
    if bounds.key is None:
        return None
    number = await store.count(connection, bounds)
    if bounds.wall is None:
        return number
    if number > _MOST_JUDGED:
        return None
    found, _ = await _seen(server, connection, bounds, walls, number, None)
    return len(found)


async def _page(
    server: Server, connection: Connection, asked: Asked, bounds: Bounds, walls: Walls
) -> tuple[list[Version], bool]:
    """Return the versions of the page, and whether there are more that may be seen."""
    if bounds.wall is not None:
        found, more = await _seen(server, connection, bounds, walls, asked.count, asked.before)
        fitting = _fitting(found, server.settings.limits.page_bytes)
        return fitting, more or len(fitting) < len(found)
    return await store.versions(
        connection,
        bounds,
        limit=asked.count,
        most_bytes=server.settings.limits.page_bytes,
        before=asked.before,
    )


async def _seen(
    server: Server,
    connection: Connection,
    bounds: Bounds,
    walls: Walls,
    most: int,
    before: tuple[int, int] | None,
) -> tuple[list[Version], bool]:
    """Return up to `most` versions whose own content may be seen, and whether more may be."""
    found: list[Version] = []
    size, more = server.settings.limits.page_bytes, True
    while more and len(found) <= most:
        limit = most + 1 - len(found)
        page, more = await store.versions(
            connection, bounds, limit=limit, most_bytes=size, before=before
        )
        if not page:
            break
        before = page[-1].cursor
        places = [Past(one.type_id, one.id, one.body) for one in page]
        may = await past.seen(server, connection, walls.each, places)
        found += [one for one, seen in zip(page, may, strict=True) if seen]
    return found[:most], len(found) > most


def _fitting(found: list[Version], most_bytes: int) -> list[Version]:
    """Return the versions up to the one that passes the size of a page."""
    before = accumulate((len(one.body) for one in found), initial=0)
    return [one for one, size in zip(found, before, strict=False) if size < most_bytes]


def _asked(
    server: Server, caller: Caller, type_name: str | None, id_: str | None, pairs: Pairs
) -> Asked:
    before = None
    tokens = [value for name, value in pairs if name == PARAMETER]
    if tokens:
        if len(pairs) > 1:
            raise BadRequest("A page link takes no other parameter", expression=PARAMETER)
        cursor = unseal(server.registry.context.page_key, binding.of(caller), tokens[0])
        if (cursor.type, cursor.id) != (type_name, id_):
            raise BadRequest("The page link is of another history", expression=PARAMETER)
        pairs, before = cursor.pairs, (cursor.xid, cursor.position)
    given = _given(pairs)
    settings = server.settings.search
    count = _count(given, settings, of_one=id_ is not None)
    mode, elements = _shown(type_name, given)
    told = [(name, value) for name, value in given.items() if name != "_count"]
    return Asked(
        type=type_name,
        id=id_,
        since=_interval(given, "_since", settings)[0] if "_since" in given else None,
        at=_interval(given, "_at", settings) if "_at" in given else None,
        count=count,
        mode=mode,
        elements=elements,
        before=before,
        applied=[*told, ("_count", str(count))],
    )


def _given(pairs: Pairs) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in _GENERAL:
            continue
        if name not in PARAMETERS:
            known = ", ".join(PARAMETERS)
            raise BadRequest(f"Unknown parameter; a history takes {known}", expression=name)
        if name in given:
            raise BadRequest("The parameter may be given once", expression=name)
        given[name] = value
    for one, other in (("_since", "_at"), ("_summary", "_elements")):
        if one in given and other in given:
            raise BadRequest(f"{one} and {other} exclude one another", expression=other)
    return given


def _interval(
    given: Mapping[str, str], name: str, settings: SearchSettings
) -> tuple[datetime, datetime]:
    try:
        return interval(given[name], settings.timezone)
    except BadRequest as error:
        raise BadRequest(error.text, code="value", expression=name) from None


def _count(given: Mapping[str, str], settings: SearchSettings, *, of_one: bool) -> int:
    """Return the size of a page; 0 where only the total is asked for, which only one has."""
    if given.get("_summary") == "count":
        if not of_one:
            text = "Only the versions of one resource are counted"
            raise NotSupported(text, expression="_summary")
        return 0
    text = given.get("_count", str(settings.default_count))
    if not (text.isascii() and text.isdecimal()) or len(text) > _LONGEST_NUMBER:
        raise BadRequest("_count must be a whole number", code="value", expression="_count")
    return min(int(text), settings.max_count)


def _shown(type_name: str | None, given: Mapping[str, str]) -> tuple[Mode | None, tuple[str, ...]]:
    """Return which part of each version is shown."""
    summary = given.get("_summary", "false")
    if summary not in _MODES:
        raise BadRequest(f"_summary is one of {', '.join(_MODES)}", expression="_summary")
    elements = tuple(filter(None, given.get("_elements", "").split(",")))
    if "_elements" in given and not elements:
        raise BadRequest("_elements names no element", code="value", expression="_elements")
    if elements and type_name is None:
        text = "The elements of a history of all types are not chosen"
        raise NotSupported(text, expression="_elements")
    return _MODES[summary], elements


def _part(server: Server, asked: Asked, body: bytes) -> bytes:
    if not body or not (asked.mode or asked.elements):
        return body
    if asked.mode:
        return summarised(server.definitions, body, asked.mode)
    return with_elements(server.definitions, body, asked.elements)


def _bundle(total: int | None, links: Sequence[bytes], entries: Sequence[bytes]) -> bytes:
    return b'{"resourceType":"Bundle","type":"history"%b,"link":[%b]%b}' % (
        b"" if total is None else b',"total":%d' % total,
        b",".join(links),
        b',"entry":[%b]' % b",".join(entries) if entries else b"",
    )


def _link(relation: str, path: str, pairs: Pairs) -> bytes:
    query = urlencode(pairs, quote_via=quote)
    return f'{{"relation":"{relation}","url":"{path}?{query}"}}'.encode()


def _entry(server: Server, one: Version, body: bytes) -> bytes:
    """Return an entry; bdl-3 and bdl-4 want request and response on each."""
    type_name = server.definitions.type_names[one.type_id]
    literal = f"{type_name}/{one.id}"
    url = type_name if one.method is Method.POST else literal
    if one.method is Method.DELETE:
        status = b"204 No Content"
    else:
        status = b"201 Created" if one.version == 1 else b"200 OK"
    return (
        f'{{"fullUrl":"{server.base}/{literal}",'.encode()
        + (b'"resource":%b,' % body if body else b"")
        + b'"request":{"method":"%b","url":"%b"},' % (_SHOWN[one.method], url.encode())
        + b'"response":{"status":"%b","etag":"W/\\"%d\\"","lastModified":"%b"}}'
        % (status, one.version, instant(one.last_updated).encode())
    )
