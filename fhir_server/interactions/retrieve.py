"""The reads of a batch or transaction, by an entry's URL.

Read, vread, history of instance, type and system, search of type, system and
compartment, and the capabilities.

https://hl7.org/fhir/R4/http.html#trules
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeAlias
from urllib.parse import parse_qsl

from fhir_server.caller import Caller
from fhir_server.database import Connection, plan_for_values
from fhir_server.errors import BadRequest, NotFound
from fhir_server.interactions.binary import whole
from fhir_server.interactions.entry import Entry, Outcome, Target
from fhir_server.interactions.history import history_on
from fhir_server.interactions.precondition import has_current
from fhir_server.interactions.read import present, read_on
from fhir_server.interactions.search import search_on
from fhir_server.interactions.vread import vread_on
from fhir_server.r4.summary import Mode, summarised, with_elements
from fhir_server.search.compartment import Compartment
from fhir_server.server import Server
from fhir_server.store.read import Stored

Metadata: TypeAlias = Callable[[str], Awaitable[tuple[bytes, str]]]
"""From a mode (`full`, `terminology`...) to the statement's text and entity tag."""

Pairs: TypeAlias = Sequence[tuple[str, str]]

Called: TypeAlias = Callable[[Entry, Sequence[str], Pairs], Awaitable[Outcome]]
"""From an entry that calls an operation, with its path and query, to what that answers."""

_HISTORY = "_history"
_MODES: dict[str, Mode] = {"true": "true", "text": "text", "data": "data"}


def is_plain_read(where: Target) -> bool:
    """Whether the URL is `Type/id` alone."""
    return where.id is not None and not where.rest and not where.query


async def plain_read(
    server: Server,
    caller: Caller,
    entry: Entry,
    where: Target,
    stored: Stored | None,
) -> Outcome:
    """Return the outcome of a plain read that found this; NotFound or Gone where nothing is."""
    found = present(stored, where.type)
    caller.read(where.type, where.id or "", found.version)
    return await _version(server, entry, where, found)


async def retrieve(
    server: Server,
    connection: Connection,
    caller: Caller,
    entry: Entry,
    where: Target,
    metadata: Metadata | None,
) -> Outcome:
    """Return what the entry's GET or HEAD finds inside the open transaction."""
    pairs = query_pairs(where)
    if where.id is None and where.rest == ("metadata",) and metadata is not None:
        return await _capabilities(entry, pairs, metadata)
    if where.rest == (_HISTORY,):
        type_name = where.type or None
        body = await history_on(server, connection, caller, type_name, where.id, pairs)
    elif where.id is None and not where.rest:
        await plan_for_values(connection)
        body = await search_on(server, connection, caller, where.type or None, pairs)
    elif where.id is not None and _is_member(server, where.rest):
        await plan_for_values(connection)
        inside = Compartment(where.type, where.id)
        (member,) = where.rest
        type_name = None if member == "*" else member
        body = await search_on(server, connection, caller, type_name, pairs, compartment=inside)
    else:
        return await _resource(server, connection, caller, entry, where)
    return Outcome(200, "", "", 0, None, body)


def _is_member(server: Server, rest: tuple[str, ...]) -> bool:
    return len(rest) == 1 and (rest[0] == "*" or rest[0] in server.definitions.type_ids)


def _is_version(rest: tuple[str, ...]) -> bool:
    return rest[0] == _HISTORY and len(rest) == len((_HISTORY, "version"))


async def _resource(
    server: Server, connection: Connection, caller: Caller, entry: Entry, where: Target
) -> Outcome:
    """Return one version, or the part of it that `_summary` or `_elements` asks for."""
    if where.id is None or (where.rest and not _is_version(where.rest)):
        raise NotFound("There is nothing at this path", code="not-supported")
    mode, elements = _part(query_pairs(where))
    if where.rest:
        found = await vread_on(server, connection, caller, where.type, where.id, where.rest[1])
    else:
        found = await read_on(server, connection, caller, where.type, where.id)
    caller.read(where.type, where.id, found.version)
    outcome = await _version(server, entry, where, found)
    if outcome.body is None or not (mode or elements):
        return outcome
    body = outcome.body
    cut = (
        summarised(server.definitions, body, mode)
        if mode
        else with_elements(server.definitions, body, elements)
    )
    return Outcome(200, where.type, where.id, found.version, found.last_updated, cut)


async def _version(server: Server, entry: Entry, where: Target, found: Stored) -> Outcome:
    known = has_current(
        found.version,
        found.last_updated,
        if_none_match=entry.if_none_match,
        modified_since=_instant(entry.if_modified_since),
    )
    status, body = (304, None) if known else (200, await whole(server, found.body))
    return Outcome(status, where.type, where.id or "", found.version, found.last_updated, body)


async def _capabilities(entry: Entry, pairs: Pairs, metadata: Metadata) -> Outcome:
    for name, _ in pairs:
        if name != "mode":
            raise BadRequest("This interaction has no such parameter", expression=name)
    body, etag = await metadata(dict(pairs).get("mode", "full"))
    if entry.if_none_match is not None and etag in entry.if_none_match:
        return Outcome(304, "", "", 0, None, None)
    return Outcome(200, "", "", 0, None, body)


def _part(pairs: Pairs) -> tuple[Mode | None, tuple[str, ...]]:
    """Return `_summary` and `_elements`; BadRequest for any other parameter."""
    given = dict(pairs)
    for name in given:
        if name not in {"_summary", "_elements"}:
            raise BadRequest("This interaction has no such parameter", expression=name)
    if len(given) > 1:
        raise BadRequest("_summary and _elements exclude one another", expression="_elements")
    summary = given.get("_summary", "false")
    if summary not in {*_MODES, "false"}:
        known = ", ".join((*_MODES, "false"))
        raise BadRequest(f"_summary is one of {known}", code="value", expression="_summary")
    elements = given.get("_elements")
    return _MODES.get(summary), tuple(elements.split(",")) if elements else ()


def query_pairs(where: Target) -> Pairs:
    """Return the pairs of the URL's query."""
    try:
        return parse_qsl(where.query or "", keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise BadRequest("The URL cannot be read", code="value") from error


def _instant(text: str | None) -> datetime | None:
    """Return the instant of an entry's ifModifiedSince, which is FHIR's, not HTTP's."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequest("ifModifiedSince is not an instant", code="value") from error
    if moment.tzinfo is None:
        raise BadRequest("ifModifiedSince is not an instant", code="value")
    return moment
