"""Reindex: stored resources get the index rows that the search parameters ask for.

A job walks the resources of one type after another in batches, each a transaction of
its own, while others read and write. A new search parameter is indexed by all writes
that begin after it was stored; the walk begins when all earlier ones have ended, so that
between them no resource is missed.

https://hl7.org/fhir/R4/searchparameter.html
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from fhir_server.database import Connection, plan_for_values
from fhir_server.errors import SangamError, TooLarge
from fhir_server.interactions.draft import Draft, indexed, most_rows
from fhir_server.interactions.references import literal_references, local_references
from fhir_server.jobs import Job, enqueue
from fhir_server.r4 import json
from fhir_server.search.delta import Delta, applied, union
from fhir_server.search.expression import Write, alone
from fhir_server.search.extract import written
from fhir_server.search.rows import IndexRows
from fhir_server.server import Server
from fhir_server.store import coverage, reindex, walks
from fhir_server.store.attempts import atomically, changed_meanwhile
from fhir_server.store.coverage import Coverage
from fhir_server.store.reindex import Body, Part

KIND = "search.reindex"
JOB = Job(KIND, {}, "walk")
"""Brings the index up to date with the search parameters, whatever that needs."""

GRACE_SECONDS = 60.0
"""So long at least is a parameter written after it was last searchable.

A process may search by what it knew a second ago, for as long as a search may last.
"""
_POLL_SECONDS = 0.2

Errors: TypeAlias = list[tuple[int, int, str]]
"""What could not be indexed: coverage (0: all), key, and why."""


async def run(server: Server, payload: Mapping[str, Any]) -> None:
    """Walk until nothing is left to do; one that is to `help`, until no part is free."""

    async def batch(connection: Connection) -> bool:
        return await _batch(server, connection)

    pause: float | None = 0.0
    while pause is not None:
        while await atomically(server.database, batch):
            pass
        pause = None if payload.get("help") else await _next(server)
        await asyncio.sleep(pause or 0.0)


def grace(server: Server) -> float:
    """Return for how many seconds a parameter is written after it was last searchable."""
    limits = server.settings.limits
    return GRACE_SECONDS + limits.search_seconds + limits.write_seconds


async def _next(server: Server) -> float | None:
    """End the walks that are done and begin the next; return when to look for its parts.

    None when there is nothing to do any more.
    """
    async with server.database.transaction() as connection:
        await coverage.lock(connection)
        if await walks.running(connection):
            return _POLL_SECONDS  # others have the parts that are left
        due = await walks.due(connection, grace(server))
        if due is None:
            delay = await walks.later(connection, grace(server))
            if delay is not None:
                await enqueue(connection, [Job(KIND, {}, JOB.dedupe_key, delay)])
            return None
    await _settled(server)

    async def begin(connection: Connection) -> None:
        await coverage.lock(connection)
        if not await walks.running(connection):
            parts = await walks.begin(connection, due)
            helpers = min(parts, server.settings.search.reindex_workers)
            jobs = [Job(KIND, {"help": n}, f"help {n}") for n in range(1, helpers)]
            await enqueue(connection, jobs)

    await atomically(server.database, begin)
    return 0.0


async def _settled(server: Server) -> None:
    """Wait until the writes have ended that began before now, maybe by an older registry."""
    async with server.database.statement() as connection:
        left = await reindex.writers(connection)
        while left:
            await asyncio.sleep(_POLL_SECONDS / 10)
            left = await reindex.writers(connection, left)


async def _batch(server: Server, connection: Connection) -> bool:
    """Index the next resources of a part; False when no part is free."""
    part = await reindex.take(connection)
    if part is None:
        return False
    await plan_for_values(connection)
    size = server.settings.search.reindex_batch
    found = await reindex.bodies(connection, part, size)
    errors: Errors = []
    if part.whole:
        await _renew(server, connection, part, found, errors)
    else:
        await _extend(server, connection, part, found, errors)
    await reindex.note(connection, part.walk, errors)
    ended = len(found) < size
    cursor = found[-1].key if found else part.last
    await reindex.advance(connection, part, cursor=cursor, done=len(found), finished=ended)
    return True


async def _renew(
    server: Server, connection: Connection, part: Part, found: Sequence[Body], errors: Errors
) -> None:
    """Make all index rows of the resources anew, by the registry in force."""
    registry = await coverage.refresh(server, connection, after=0)
    type_name = server.definitions.type_names[part.type_id]

    made = {}
    for body, data in _decoded(found):
        draft = Draft(type_name, data, b"", literal_references(server, type_name, data))
        with _noting(errors, coverage.EVERYTHING, body):
            references = local_references(server, draft.references)
            made[body.key, body.version] = indexed(server, draft, references, data["id"])
    await server.codings.note(made.values())
    held = await reindex.hold(connection, list(made))
    new = [(key, one) for (key, _), one in made.items() if key in held]
    if not await reindex.replace(connection, new, registry=registry.version):
        raise changed_meanwhile()


async def _extend(
    server: Server, connection: Connection, part: Part, found: Sequence[Body], errors: Errors
) -> None:
    """Add or take away the rows of the walk's search parameters."""
    asked = await _writers(server, connection, part.walk)
    deltas = {}
    for body, data in _decoded(found):
        delta = _delta(server, asked, body, data, errors)
        if not delta.empty:
            deltas[body.key, body.version] = delta
    if not deltas:
        return
    held = await reindex.hold(connection, list(deltas))
    sorts = any(delta.sorts for delta in deltas.values())
    new = []
    scopes: set[int] = set()
    for (key, _), delta in deltas.items():
        rows = applied(held[key], delta, sorts=sorts) if key in held else None
        if rows is not None:
            new.append((key, rows))
            scopes |= delta.scopes
    await server.codings.note(rows for _, rows in new)
    await reindex.replace(connection, new, scopes=sorted(scopes), sorts=sorts)


@dataclass(frozen=True, slots=True)
class _Writer:
    """What writes the rows of one parameter, to be added or to be removed."""

    coverage: int
    adds: bool
    write: Write


async def _writers(server: Server, connection: Connection, walk: int) -> list[_Writer]:
    def writer(one: Coverage) -> _Writer:
        write, _ = alone(server.definitions, one.definition)
        return _Writer(one.id, one.state != coverage.DROPPING, write)

    return [writer(one) for one in await coverage.walked(connection, walk)]


def _delta(
    server: Server, asked: Sequence[_Writer], body: Body, data: dict[str, Any], errors: Errors
) -> Delta:
    added: list[IndexRows] = []
    removed: list[IndexRows] = []
    for one in asked:
        with _noting(errors, one.coverage, body):
            rows = written(server.registry.context, one.write, data)
            if rows.count > most_rows(server, data["resourceType"]):
                raise TooLarge("More index values than one resource may have")
            (added if one.adds else removed).append(rows)
    return Delta(union(added), union(removed))


def _decoded(found: Sequence[Body]) -> Iterator[tuple[Body, dict[str, Any]]]:
    for body in found:
        if body.json:
            yield body, json.decode(body.json)


@contextmanager
def _noting(errors: Errors, of: int, body: Body) -> Iterator[None]:
    """Note why a resource cannot be indexed, without its values; the others go on."""
    try:
        yield
    except SangamError as error:
        errors.append((of, body.key, error.text))
    except Exception as error:  # noqa: BLE001  (whatever it is, it is told)
        errors.append((of, body.key, type(error).__name__))


async def ask(server: Server, type_names: Sequence[str], parameter: int | None = None) -> None:
    """Have the index of these types made anew, and what failed for a SearchParameter retried.

    `parameter` is its key; without one, all that failed is.
    """
    type_ids = [server.definitions.type_ids[name] for name in type_names]
    async with server.database.transaction() as connection:
        await coverage.lock(connection)
        if await walks.retry(connection, parameter):
            await coverage.changed(connection)
        await walks.ask(connection, type_ids)
        await enqueue(connection, [JOB])


async def cancel(server: Server, parameter: int | None = None) -> None:
    """Stop what goes on, or what goes on for the SearchParameter with this key."""
    async with server.database.transaction() as connection:
        await coverage.lock(connection)
        await walks.cancel(connection, parameter)
        await coverage.changed(connection)
        await enqueue(connection, [JOB])
