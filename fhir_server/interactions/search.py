"""Search: a query string answered with a searchset Bundle.

https://hl7.org/fhir/R4/http.html#search
"""

import asyncio
import re
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from psycopg.pq import TransactionStatus

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Issue, NotFound, Unavailable
from fhir_server.r4.outcome import operation_outcome
from fhir_server.r4.summary import summarised, with_elements
from fhir_server.search.compartment import Compartment
from fhir_server.search.compile import Position
from fhir_server.search.pagetoken import PARAMETER, Page, seal, unseal
from fhir_server.search.parse import Pair, parse
from fhir_server.search.query import Query, Rules
from fhir_server.server import Server
from fhir_server.store import find
from fhir_server.store.find import Found

# A count that the planner expects to pass the cap by so much is not begun.
_FAR_BEYOND = 4
RETRY = {"Retry-After": "5"}

# What store/text.py writes at the head of each text.
_HEAD = re.compile(rb'\{"resourceType":"(\w+)","id":"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client searches: a type (None: all), perhaps inside a compartment."""

    type: str | None
    pairs: Sequence[Pair]
    compartment: Compartment | None = None
    lenient: bool = False
    page: Page | None = None

    @property
    def path(self) -> str:
        """Return the path of the search below the base."""
        inside = f"/{self.compartment.type}/{self.compartment.id}" if self.compartment else ""
        return f"{inside}/{self.type or '*'}" if self.type or inside else ""


async def search(
    server: Server,
    caller: Caller,
    type_name: str | None,
    pairs: Sequence[Pair],
    *,
    lenient: bool = False,
    compartment: Compartment | None = None,
) -> bytes:
    """Return the text of the searchset Bundle for decoded (name, value) pairs.

    Without a type all types are searched, or those of `_type`. BadRequest and
    NotSupported name the parameter at fault; `lenient` ignores unknown parameters
    and says so in the Bundle. NotFound when the compartment's root is not stored.
    """
    asked = Asked(type_name, pairs, compartment, lenient)
    async with server.database.connection() as connection:
        return await _answer(server, connection, caller, asked)


async def search_on(
    server: Server,
    connection: Connection,
    caller: Caller,
    type_name: str | None,
    pairs: Sequence[Pair],
) -> bytes:
    """Return the same on an open connection, strictly."""
    return await _answer(server, connection, caller, Asked(type_name, pairs))


async def _answer(server: Server, connection: Connection, caller: Caller, asked: Asked) -> bytes:
    asked = _resumed(server, caller, asked)
    query = _parsed(server, asked)
    if asked.compartment is not None:
        await _require_root(server, connection, asked.compartment)
    query = await find.settled(connection, query)
    page = asked.page
    matches = await _matches(connection, query, page.position if page else None)
    more, shown = len(matches) > query.count, matches[: query.count]
    total = page.total if page else await _total(server, connection, query, len(matches))
    added, warnings = await _included(server, connection, query, shown)
    here = _url(server, asked, query.applied)
    links = [("self", here), ("first", here)] if query.count else [("self", here)]
    if more and shown:
        token = _token(server, caller, asked, query.applied, shown[-1], total)
        links.append(("next", _url(server, asked, [(PARAMETER, token)])))
    entries = [_entry(server, _part(server, query, one.body), b"match") for one in shown]
    whole = replace(query, elements=())
    entries += [_entry(server, _part(server, whole, one.body), b"include") for one in added]
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
    query = await find.settled(connection, _parsed(server, Asked(type_name, pairs)))
    return [id_ for _, id_ in await find.ids(connection, query, 2)]


def _resumed(server: Server, caller: Caller, asked: Asked) -> Asked:
    """Return the search that a page link goes on with, or the search itself."""
    tokens = [value for name, value in asked.pairs if name == PARAMETER]
    if not tokens:
        return asked
    if len(asked.pairs) > 1:
        raise BadRequest("A page link takes no other parameter.", expression=PARAMETER)
    page = unseal(server.registry.context.secret, caller.name, tokens[0])
    if (page.type, page.compartment) != (asked.type, asked.compartment):
        raise BadRequest("The page link is of another search.", expression=PARAMETER)
    return replace(asked, pairs=page.pairs, page=page)


def _parsed(server: Server, asked: Asked) -> Query:
    rules = Rules(server.settings.search, server.settings.limits, asked.lenient)
    return parse(server.registry, asked.type, asked.pairs, rules, asked.compartment)


async def _require_root(server: Server, connection: Connection, root: Compartment) -> None:
    type_id = server.definitions.type_ids[root.type]
    if not await find.homes(connection, [root.id], [type_id]):
        raise NotFound(f"There is no {root.type} with this id")


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
            counted = await _counted(server, connection, query, cap + 1)
            return counted if counted is not None and counted <= cap else None
    exact = await _counted(server, connection, query, None)
    if exact is None:
        raise Unavailable(
            "Counting took too long", code="timeout", expression="_total", headers=RETRY
        )
    return exact


def _savepoint(connection: Connection) -> AbstractAsyncContextManager[Any]:
    """Keep the caller's transaction usable when a statement is cancelled."""
    if connection.info.transaction_status == TransactionStatus.IDLE:
        return nullcontext()
    return connection.transaction()


async def _counted(
    server: Server, connection: Connection, query: Query, cap: int | None
) -> int | None:
    """Return the number of matches, None when counting takes longer than it may."""
    try:
        async with asyncio.timeout(server.settings.limits.count_seconds), _savepoint(connection):
            return await find.count(connection, query, cap)
    except TimeoutError:
        return None


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
    asked: Asked,
    applied: Sequence[Pair],
    last: Found,
    total: int | None,
) -> str:
    position = last.position
    page = Page(
        type=asked.type,
        compartment=asked.compartment,
        pairs=list(applied),
        values=list(position.values),
        key=position.key,
        snapshot=position.snapshot,
        total=total,
        issued=int(time.time()),
    )
    return seal(server.registry.context.secret, caller.name, page)


def _url(server: Server, asked: Asked, pairs: Sequence[Pair]) -> str:
    query = urlencode(pairs, safe=":/,|$", quote_via=quote)
    path = f"{server.base}{asked.path}"
    return f"{path}?{query}" if query else path


def _part(server: Server, query: Query, body: bytes) -> bytes:
    """Return the part of a resource that the query shows; mostly the whole, untouched."""
    if query.elements:
        types = [server.definitions.type_names[one] for one in query.type_ids]
        return with_elements(server.definitions, body, query.elements, types)
    if query.summary in ("true", "text", "data"):
        return summarised(server.definitions, body, query.summary)
    return body


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
