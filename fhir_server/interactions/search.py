"""Search: a query string answered with a searchset Bundle.

https://hl7.org/fhir/R4/http.html#search
"""

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote, urlencode

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Issue, NotSupported
from fhir_server.r4.outcome import operation_outcome
from fhir_server.search.compile import Position
from fhir_server.search.condition import Both, Condition, Either, Named, Not, Terms
from fhir_server.search.pagetoken import PARAMETER, Page, seal, unseal
from fhir_server.search.parse import Pair, Rules, parse
from fhir_server.search.query import Query
from fhir_server.server import Server
from fhir_server.store import find
from fhir_server.store.find import Found

# A count that the planner expects to pass the cap by so much is not begun.
_FAR_BEYOND = 4

# What store/text.py writes at the head of each text.
_HEAD = re.compile(rb'\{"resourceType":"(\w+)","id":"([^"]+)"')


async def search(
    server: Server,
    caller: Caller,
    type_name: str | None,
    pairs: Sequence[Pair],
    *,
    lenient: bool = False,
) -> bytes:
    """Return the text of the searchset Bundle for decoded (name, value) pairs.

    BadRequest and NotSupported name the parameter at fault; `lenient` ignores
    unknown parameters and says so in the Bundle.
    """
    async with server.database.connection() as connection:
        return await search_on(server, connection, caller, type_name, pairs, lenient=lenient)


async def search_on(
    server: Server,
    connection: Connection,
    caller: Caller,
    type_name: str | None,
    pairs: Sequence[Pair],
    *,
    lenient: bool = False,
) -> bytes:
    """Return the same on an open connection."""
    page = _page(server, caller, type_name, pairs)
    if page is not None:
        type_name, pairs = page.type, page.pairs
    if type_name is None:
        raise NotSupported("Search over all types is not offered yet.")
    query = _parsed(server, type_name, pairs, lenient=lenient)
    query = await _told_apart(connection, query)
    position = page.position if page else None
    matches = await _matches(connection, query, position)
    more, shown = len(matches) > query.count, matches[: query.count]
    total = page.total if page else await _total(server, connection, query, len(matches))
    added, warnings = await _included(server, connection, query, shown)
    links = [("self", _url(server, type_name, query.applied))]
    if query.count:
        links.append(("first", _url(server, type_name, query.applied)))
    if more and shown:
        token = _token(server, caller, type_name, query, shown[-1], total)
        links.append(("next", _url(server, type_name, [(PARAMETER, token)])))
    entries = [_entry(server, one.body, b"match") for one in shown]
    entries += [_entry(server, one.body, b"include") for one in added]
    if issues := [*query.warnings, *warnings]:
        entries.append(_outcome(issues))
    return _bundle(links, total, entries)


async def matching_ids(
    server: Server,
    connection: Connection,
    caller: Caller,  # noqa: ARG001  (rights come with the security issue)
    type_name: str,
    pairs: Sequence[Pair],
) -> list[str]:
    """Return the ids of up to two matches: whether criteria meet none, one or several."""
    query = await _told_apart(connection, _parsed(server, type_name, pairs, lenient=False))
    return [id_ for _, id_ in await find.ids(connection, query, 2)]


def _page(
    server: Server, caller: Caller, type_name: str | None, pairs: Sequence[Pair]
) -> Page | None:
    """Return the page that a page link asks for."""
    tokens = [value for name, value in pairs if name == PARAMETER]
    if not tokens:
        return None
    if len(pairs) > 1:
        raise BadRequest("A page link takes no other parameter.", expression=PARAMETER)
    page = unseal(server.registry.context.secret, caller.name, tokens[0])
    if page.type != type_name:
        raise BadRequest("The page link is of another type.", expression=PARAMETER)
    return page


def _parsed(server: Server, type_name: str, pairs: Sequence[Pair], *, lenient: bool) -> Query:
    rules = Rules(server.settings.search, server.settings.limits, lenient)
    query = parse(server.registry, type_name, pairs, rules)
    if query.elements or query.summary not in ("false", "count"):
        name = "_elements" if query.elements else "_summary"
        raise NotSupported("Parts of resources are not offered yet.", expression=name)
    return query


async def _told_apart(connection: Connection, query: Query) -> Query:
    """Return the query with each bare id given the type in which it exists.

    BadRequest when that id exists in several types that the parameter allows.
    """
    types: dict[Named, int] = {}
    for named in (one for condition in query.conditions for one in _named(condition)):
        found = await find.homes(connection, named.id, [t for t, _ in named.candidates])
        if len(found) > 1:
            text = "The id exists in several types; write Type/id."
            raise BadRequest(text, code="value", expression=named.name)
        types.update(dict.fromkeys([named], found[0]) if found else {})
    if not types:
        return query
    return replace(query, conditions=tuple(_narrowed(c, types) for c in query.conditions))


def _named(condition: Condition) -> list[Named]:
    match condition:
        case Named():
            return [condition]
        case Not(inner):
            return _named(inner)
        case Either(parts) | Both(parts):
            return [named for part in parts for named in _named(part)]
        case _:
            return []


def _narrowed(condition: Condition, types: dict[Named, int]) -> Condition:
    match condition:
        case Named(candidates=candidates) if condition in types:
            return Terms((dict(candidates)[types[condition]],))
        case Not(inner):
            return Not(_narrowed(inner, types))
        case Either(parts):
            return Either(tuple(_narrowed(part, types) for part in parts))
        case Both(parts):
            return Both(tuple(_narrowed(part, types) for part in parts))
        case _:
            return condition


async def _matches(connection: Connection, query: Query, position: Position | None) -> list[Found]:
    """Return the matches of the page, and one more if there is one."""
    if not query.count:
        return []
    return await find.matches(connection, query, position, query.count + 1)


async def _total(server: Server, connection: Connection, query: Query, fetched: int) -> int | None:
    """Return the total of a first page, None where it is not known or not wanted.

    Unasked it is given if counting up to the cap finds it.
    """
    if query.count and fetched <= query.count and query.total != "none":
        return fetched
    match query.total:
        case "none" if query.count:
            return None
        case "estimate":
            return await find.estimate(connection, query)
        case "default" if query.count:
            cap = server.settings.search.total_cap
            if await find.estimate(connection, query) > cap * _FAR_BEYOND:
                return None
            counted = await find.count(connection, query, cap + 1)
            return counted if counted <= cap else None
    return await find.count(connection, query, None)


async def _included(
    server: Server, connection: Connection, query: Query, shown: Sequence[Found]
) -> tuple[list[Found], list[Issue]]:
    """Return the included resources; with a warning when there are more than are allowed."""
    if not query.includes:
        return [], []
    limit = server.settings.search.max_includes
    keys = [one.key for one in shown]
    added = await find.included(connection, query.includes, keys, limit + 1)
    if len(added) <= limit:
        return added, []
    text = f"More than {limit} resources would be included; the rest is left out."
    return added[:limit], [Issue("warning", "incomplete", text, "_include")]


def _token(
    server: Server,
    caller: Caller,
    type_name: str,
    query: Query,
    last: Found,
    total: int | None,
) -> str:
    position = last.position
    page = Page(
        type=type_name,
        pairs=list(query.applied),
        values=list(position.values),
        key=position.key,
        snapshot=position.snapshot,
        total=total,
        issued=int(time.time()),
    )
    return seal(server.registry.context.secret, caller.name, page)


def _url(server: Server, type_name: str, pairs: Sequence[Pair]) -> str:
    query = urlencode(pairs, safe=":/,|$", quote_via=quote)
    return f"{server.base}/{type_name}?{query}" if query else f"{server.base}/{type_name}"


def _entry(server: Server, body: bytes, mode: bytes) -> bytes:
    head = _HEAD.match(body)
    assert head is not None
    return b'{"fullUrl":"%b/%b/%b","resource":%b,"search":{"mode":"%b"}}' % (
        server.base.encode(),
        head[1],
        head[2],
        body,
        mode,
    )


def _outcome(issues: Sequence[Issue]) -> bytes:
    return b'{"resource":%b,"search":{"mode":"outcome"}}' % operation_outcome(issues)


def _bundle(links: Sequence[tuple[str, str]], total: int | None, entries: list[bytes]) -> bytes:
    link = ",".join(f'{{"relation":"{relation}","url":"{url}"}}' for relation, url in links)
    return b'{"resourceType":"Bundle","type":"searchset"%b,"link":[%b]%b}' % (
        b"" if total is None else b',"total":%d' % total,
        link.encode(),
        b',"entry":[%b]' % b",".join(entries) if entries else b"",
    )
