"""Included resources of a page, and the link to those that it has no room for.

https://hl7.org/fhir/R4/search.html#include
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from fhir_server.access import binding
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Issue
from fhir_server.interactions import binary, searchset
from fhir_server.interactions.searchset import Asked
from fhir_server.search.guard import require_guard
from fhir_server.search.pagetoken import PARAMETER, Rest, pack, seal, unpack
from fhir_server.search.query import Query
from fhir_server.server import Server
from fhir_server.store.included import START, Stage, included
from fhir_server.store.page import Found

# What of a search the includes depend on, beside its matches.
_CODES = frozenset({"_include", "_revinclude", "_summary", "_type"})


@dataclass(frozen=True, slots=True)
class Including:
    """What a page includes, what is to be said of it, and the URL of the rest."""

    found: list[Found]
    issues: list[Issue]
    rest: str | None = None


async def include(
    server: Server,
    connection: Connection,
    caller: Caller,
    asked: Asked,
    query: Query,
    matches: Sequence[int],
    start: Stage = START,
) -> Including:
    """Return what the query includes for the matches with these keys, from `start` on."""
    if not query.includes or not matches:
        return Including([], [])
    require_guard(query)
    limits = server.settings.limits
    page = await included(
        connection,
        query.includes,
        matches,
        limit=server.settings.search.max_includes,
        rounds=limits.include_rounds,
        start=start,
        most_bytes=limits.page_bytes,
    )
    issues = [_beyond(limits.include_rounds)] if page.beyond else []
    if page.rest is None:
        return Including(page.found, issues)
    url = _url(server, caller, asked, query, matches, page.rest)
    text = f"More than these {len(page.found)} resources would be included"
    if len(url) > limits.url_bytes:
        said = _incomplete(f"{text}; ask for fewer matches a page.")
        return Including(page.found, [*issues, said])
    text = f"{text}; the link 'related' leads to the rest."
    return Including(page.found, [*issues, _incomplete(text)], url)


async def rest(
    server: Server, connection: Connection, caller: Caller, asked: Asked, query: Query, left: Rest
) -> bytes:
    """Return the Bundle of further includes of a page whose matches were shown."""
    matches, start = unpack(left.matches), Stage(left.round, left.after)
    page = await include(server, connection, caller, asked, query, matches, start)
    caller.saw(one.key for one in page.found)
    links = [("self", _url(server, caller, asked, query, matches, start))]
    if page.rest:
        # As of any page, and under the name by which a client came here.
        links += [("next", page.rest), ("related", page.rest)]
    bodies = await binary.page(server, [one.body for one in page.found])
    entries = [searchset.include(server, query, body) for body in bodies]
    if page.issues:
        entries.append(searchset.outcome(page.issues))
    return searchset.bundle(links, None, entries)


def _url(
    server: Server,
    caller: Caller,
    asked: Asked,
    query: Query,
    matches: Sequence[int],
    stage: Stage,
) -> str:
    kept = [pair for pair in query.applied if pair[0].partition(":")[0] in _CODES]
    left = Rest(
        type=asked.type,
        compartment=asked.compartment,
        pairs=kept,
        matches=pack(matches),
        round=stage.round,
        after=stage.after,
        issued=int(time.time()),
    )
    token = seal(server.registry.context.page_key, binding.of(caller), left)
    return searchset.url(server, asked, [(PARAMETER, token)])


def _incomplete(text: str) -> Issue:
    return Issue("warning", "incomplete", text, "_include")


def _beyond(rounds: int) -> Issue:
    text = f"Includes are followed {rounds} times; there is more behind what they brought."
    return Issue("warning", "incomplete", text, "_include")
