"""Search: a query string answered with a searchset Bundle.

https://hl7.org/fhir/R4/http.html#search
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import replace
from typing import Any

from psycopg.pq import TransactionStatus

from fhir_server.access import binding, operators
from fhir_server.access.queries import SEARCH, guarded, there
from fhir_server.access.reach import reading
from fhir_server.access.restriction import restriction, unanswered
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Forbidden, Issue, NotFound, Unavailable
from fhir_server.interactions import binary, coded, including, searchset
from fhir_server.interactions.searchset import Asked
from fhir_server.search import compile as compiled
from fhir_server.search.compartment import Compartment
from fhir_server.search.compile import Position
from fhir_server.search.condition import Condition, Keys, is_met_by_few
from fhir_server.search.pagetoken import PARAMETER, Page, Rest, seal, unseal
from fhir_server.search.parse import parse
from fhir_server.search.query import Pair, Query, Rules
from fhir_server.server import Server
from fhir_server.store import find
from fhir_server.store import page as pages
from fhir_server.store.page import Cut, Found, Reach

RETRY = {"Retry-After": "5"}


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
    asked = _resumed(server, caller, Asked(type_name, pairs, compartment, lenient))
    parsed = _parsed(server, asked)
    kept = _is_planned_once(server, caller, parsed)
    async with reading(server, caller, kept=kept) as connection:
        return await _answer(server, connection, caller, asked, parsed)


async def search_on(
    server: Server,
    connection: Connection,
    caller: Caller,
    type_name: str | None,
    pairs: Sequence[Pair],
    *,
    compartment: Compartment | None = None,
) -> bytes:
    """Return the same on an open connection, strictly."""
    asked = _resumed(server, caller, Asked(type_name, pairs, compartment))
    return await _answer(server, connection, caller, asked, _parsed(server, asked))


def _is_planned_once(server: Server, caller: Caller, parsed: Query) -> bool:
    """Return whether the query, with the caller's rights, is for a session that keeps plans."""
    if not caller.rights.walls:
        return compiled.is_planned_once(parsed)
    if len(parsed.type_ids) != 1 or unanswered(server, caller.rights):
        return False
    (type_id,) = parsed.type_ids
    top = there(server, caller.rights, server.definitions.type_names[type_id], SEARCH)
    return compiled.is_planned_once(replace(parsed, top=top))


async def _answer(
    server: Server, connection: Connection, caller: Caller, asked: Asked, parsed: Query
) -> bytes:
    await coded.answer_rights(server, connection, caller)
    query = guarded(server, caller.rights, parsed)
    if asked.compartment is not None:
        await _require_root(server, connection, caller, asked.compartment)
    if isinstance(asked.page, Rest):
        return await including.rest(server, connection, caller, asked, query, asked.page)
    return await _page(server, connection, caller, asked, query, asked.page)


async def _page(
    server: Server,
    connection: Connection,
    caller: Caller,
    asked: Asked,
    query: Query,
    page: Page | None,
) -> bytes:
    query = await _settled(server, connection, caller, query)
    place = page.position if page else None
    told = await _explained(server, connection, caller, query, place)
    matches, counted = await _matches(server, connection, query, place)
    # A page that is full by its size ends early.
    shown = [one for one in matches[: query.count] if one.body]
    more = len(matches) > len(shown)
    total = page.total if page else await _total(server, connection, query, counted)
    keys = [one.key for one in shown]
    added = await including.include(server, connection, caller, asked, query, keys)
    caller.saw([*keys, *(one.key for one in added.found)])
    links = _links(server, asked, query)
    if more and shown:
        token = _token(server, caller, asked, query.applied, shown[-1], total)
        links.append(("next", searchset.url(server, asked, [(PARAMETER, token)])))
    if added.rest:
        links.append(("related", added.rest))
    bodies = await binary.page(server, [one.body for one in (*shown, *added.found)])
    entries = [searchset.outcome(told)] if told else []
    entries += [searchset.match(server, query, body) for body in bodies[: len(shown)]]
    entries += [searchset.include(server, query, body) for body in bodies[len(shown) :]]
    warnings = await _outdated(connection, query, keys)
    if issues := [*query.warnings, *warnings, *added.issues]:
        entries.append(searchset.outcome(issues))
    return searchset.bundle(links, total, entries)


async def _outdated(connection: Connection, query: Query, keys: Sequence[int]) -> list[Issue]:
    """Return the warning that some matches refer to a version, of which the present one counted."""
    if not await find.outdated(connection, query, keys):
        return []
    text = "References to a version were followed to the present version"
    return [Issue("warning", "informational", text)]


async def _settled(server: Server, connection: Connection, caller: Caller, query: Query) -> Query:
    """Return the query with what only the database and the terminology know put in."""
    query = await coded.answered(server, connection, caller, query)
    if query.lists:
        readable = restriction(server, caller.rights, "List", "r")
        query = await find.listed(connection, server.registry.context, query, readable)

    def wall(type_id: int) -> Condition | None:
        return there(server, caller.rights, server.definitions.type_names[type_id], "s")

    return await find.settled(connection, query, wall if caller.rights.walls else None)


async def _explained(
    server: Server,
    connection: Connection,
    caller: Caller,
    query: Query,
    position: Position | None,
) -> list[Issue]:
    """Return how the search is carried out, if that is asked for; Forbidden where it may not be.

    What it tells of rows that are looked at is of those too that are hidden.
    """
    if not query.explain:
        return []
    allowed = server.settings.search.explain
    operators.require(caller.rights, operators.EXPLAIN, expression="_explain")
    if allowed == "off" or (allowed == "demo" and not server.settings.demo):
        raise Forbidden("Only operators may have a search explained", expression="_explain")
    cut = Cut(position, query.count + 1) if query.count else None
    told = await pages.explained(connection, query, cut, _reach(server))
    text = "How the search was carried out"
    return [Issue("information", "informational", text, "_explain", told)]


def _links(server: Server, asked: Asked, query: Query) -> list[tuple[str, str]]:
    here = searchset.url(server, asked, query.applied)
    return [("self", here), ("first", here)] if query.count else [("self", here)]


async def matching_ids(
    server: Server,
    connection: Connection,
    caller: Caller,
    type_name: str,
    pairs: Sequence[Pair],
    most: int = 2,
    letter: str = SEARCH,
) -> list[str]:
    """Return the ids of up to two matches: whether criteria meet none, one or several.

    Or, with `most`, of so many; of what the caller may see by the letter.
    """
    await coded.answer_rights(server, connection, caller)
    query = guarded(server, caller.rights, _parsed(server, Asked(type_name, pairs)), letter)
    query = await _settled(server, connection, caller, query)
    return [id_ for _, id_ in await find.ids(connection, query, most)]


def _resumed(server: Server, caller: Caller, asked: Asked) -> Asked:
    """Return the search that a page link goes on with, or the search itself."""
    tokens = [value for name, value in asked.pairs if name == PARAMETER]
    if not tokens:
        return asked
    if len(asked.pairs) > 1:
        raise BadRequest("A page link takes no other parameter.", expression=PARAMETER)
    page = unseal(server.registry.context.page_key, binding.of(caller), tokens[0])
    if (page.type, page.compartment) != (asked.type, asked.compartment):
        raise BadRequest("The page link is of another search.", expression=PARAMETER)
    return replace(asked, pairs=page.pairs, page=page)


def _parsed(server: Server, asked: Asked) -> Query:
    rules = Rules(server.settings.search, server.settings.limits, asked.lenient)
    return parse(server.registry, asked.type, asked.pairs, rules, asked.compartment)


async def _require_root(
    server: Server, connection: Connection, caller: Caller, root: Compartment
) -> None:
    type_id = server.definitions.type_ids[root.type]
    wall = there(server, caller.rights, root.type, "r") if caller.rights.walls else None
    if not await find.homes(connection, [root.id], [type_id], wall):
        raise NotFound(f"There is no {root.type} with this id")


async def _matches(
    server: Server, connection: Connection, query: Query, position: Position | None
) -> tuple[list[Found], int | None]:
    """Return the matches of the page and one more if there is one; how many there are, if known.

    They are those after the position.
    """
    if not query.count:
        return [], None
    cut = Cut(position, query.count + 1, server.settings.limits.page_bytes)
    reach = _reach(server)
    if await pages.gatherable(connection, query, reach):
        seconds = server.settings.limits.count_seconds
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), _savepoint(connection):
                if found := await pages.gathered(connection, query, cut, reach.matches):
                    return found[0], _told(query, found[1])
    walked = await pages.walked(connection, query, cut)
    return walked, len(walked) if len(walked) <= query.count else None


def _told(query: Query, counted: int) -> int | None:
    """Return the number of matches, if it may be told unasked that it was found on the way.

    Whether it was is for the planner to expect, who knows of what is hidden; so of a
    restricted caller only the query decides, and whether there are more than the page has.
    """
    # Keys stand for what was looked up, be it hidden or not.
    said = (one for one in query.asked if not isinstance(one, Keys))
    plain = query.guard == "open" or any(map(is_met_by_few, said))
    return counted if plain or counted <= query.count else None


def _reach(server: Server) -> Reach:
    search = server.settings.search
    return Reach(search.total_cap, search.total_cost, server.expected)


async def _total(
    server: Server, connection: Connection, query: Query, counted: int | None
) -> int | None:
    """Return the total of a first page, None where it is not known or not wanted.

    Unasked it is given where the matches were counted on the way to the page.
    """
    match query.total:
        case "none" if query.count:
            return None
        case "default" if query.count:
            return counted
        case "estimate" if counted is None and query.guard == "walled":
            return await _counted(server, connection, query)
        case "estimate" if counted is None:
            return await find.estimate(connection, query)
    exact = counted if counted is not None else await _counted(server, connection, query)
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


async def _counted(server: Server, connection: Connection, query: Query) -> int | None:
    """Return the number of matches, None when counting takes longer than it may."""
    try:
        async with asyncio.timeout(server.settings.limits.count_seconds), _savepoint(connection):
            return await find.count(connection, query)
    except TimeoutError:
        return None


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
    return seal(server.registry.context.page_key, binding.of(caller), page)
