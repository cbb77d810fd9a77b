"""A new data key, and the job that seals everything under it until nothing needs the old ones.

Files of before, which are not sealed, are sealed by the same job, of itself.

The job walks through all files again and again, going on behind the last folder that it has
noted. Once a pass that began when every process knew the new key has found nothing to do, no
other key is needed, and those are removed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fhir_server import installation
from fhir_server.at_rest import keyring
from fhir_server.at_rest.keyring import STALE_SECONDS, Keyring
from fhir_server.at_rest.progress import progress
from fhir_server.blobs import Blobs
from fhir_server.database import Connection
from fhir_server.errors import Conflict
from fhir_server.interactions.sealing_anew import Tally, arriving_under, folders, local, renew
from fhir_server.jobs import Job, enqueue
from fhir_server.server import Server

KIND: Final = "data_key.rotate"
JOB: Final = Job(KIND, {}, KIND)

SETTLED_SECONDS: Final = 2 * STALE_SECONDS
"""Nothing is sealed any more under a key that was replaced so long ago."""

_BATCH_SECONDS: Final = 5.0
# What could not be opened is tried again at a start after so long: somebody may have mended it.
_AGAIN_AFTER: Final = timedelta(days=1)
_PLACE: Final = "{}:{}"

_BEGIN: Final = """
INSERT INTO data_key_rotation (id, plain, pass, began_at, pass_at)
VALUES (1, true, 1, clock_timestamp(), clock_timestamp())
ON CONFLICT (id) DO UPDATE SET place = '', pass = 1, seen = 0, renewed = 0, failed = 0,
  sealed = 0, began_at = clock_timestamp(), pass_at = clock_timestamp(), ended_at = NULL
"""
_NOTE: Final = """
UPDATE data_key_rotation SET place = %(place)s, seen = seen + %(seen)s,
  renewed = renewed + %(renewed)s, failed = failed + %(failed)s,
  sealed = sealed + %(renewed)s, stores = %(stores)s WHERE id = 1
"""
_AGAIN: Final = """
UPDATE data_key_rotation SET place = '', pass = pass + 1, seen = 0, renewed = 0, failed = 0,
  pass_at = clock_timestamp() + make_interval(secs => %s) WHERE id = 1
"""
_END: Final = """
UPDATE data_key_rotation SET ended_at = clock_timestamp(), plain = plain AND failed > 0
WHERE id = 1
"""
_OLD: Final = 'SELECT id FROM data_key WHERE NOT "current"'


@dataclass(frozen=True, slots=True)
class Store:
    """A directory of blobs, and what tells of those that it keeps elsewhere.

    `next_away` returns the number of the next folder, from one on, of which blobs may be kept
    elsewhere; `away` their digests.
    """

    blobs: Blobs
    next_away: Callable[[Connection, int], Awaitable[int | None]] | None = None
    away: Callable[[Connection, int], Awaitable[Sequence[str]]] | None = None


Stores = Sequence[Callable[[Server], Store]]
Resealer = Callable[[Server], Awaitable[int]]
"""Seals secrets in columns under the present key; returns how many were not."""


async def begin(server: Server) -> str:
    """Make a new data key the present one, and have everything sealed under it; return its id.

    Conflict while a rotation is under way.
    """
    ring = _keyring(server)
    async with server.database.transaction() as connection:
        before = await progress(connection)
        if before and before.under_way and before.replaced:
            raise Conflict("A rotation is under way; `sangam keys data` shows how far it is")
        made = await ring.rotate(connection)
        await _begun(connection)
    return made


async def again(server: Server) -> None:
    """Have everything that is not sealed under the present key sealed under it."""
    async with server.database.transaction() as connection:
        await _begun(connection)


async def of_itself(server: Server) -> None:
    """Have files of before sealed, if there may be any, and that was not tried within a day."""
    async with server.database.transaction() as connection:
        state = await progress(connection)
        if state is None or not state.plain or state.under_way:
            return
        if state.ended is None or datetime.now(UTC) - state.ended > _AGAIN_AFTER:
            await _begun(connection)


async def _begun(connection: Connection) -> None:
    await connection.execute(_BEGIN)
    await enqueue(connection, [JOB])


def job(
    stores: Stores, resealers: Sequence[Resealer]
) -> Callable[[Server, dict[str, Any]], Awaitable[None]]:
    """Return the job that seals what is in these stores and columns under the present key."""

    async def run(server: Server, _: dict[str, Any]) -> None:
        await asyncio.to_thread(_keyring(server).look)
        every = [Store(server.blobs), *(make(server) for make in stores)]
        begun = time.monotonic()
        async with server.database.statement() as connection:
            state = await progress(connection)
            if state is None or state.ended or not state.began:
                return
            async for number, folder in _walk(connection, every, state.place):
                await _folder(connection, every, number, folder)
                spent = time.monotonic() - begun
                if spent > _BATCH_SECONDS:
                    pause = spent / server.settings.security.at_rest.sealing_share - spent
                    await enqueue(connection, [Job(KIND, {}, KIND, pause)])
                    return
        async with server.database.statement() as connection:
            moved = await installation.reseal(connection, server.data_keys)
        moved += sum([await reseal(server) for reseal in resealers])
        await _passed(server, [one.blobs for one in every], moved)

    return run


async def _walk(
    connection: Connection, stores: Sequence[Store], place: str
) -> AsyncIterator[tuple[int, int]]:
    """Yield stores and folders by their numbers, those behind `place`."""
    first, _, after = place.partition(":")
    begin, start = (int(first), int(after) + 1) if place else (0, 0)
    for number in range(begin, len(stores)):
        while (found := await _next(connection, stores[number], start)) is not None:
            yield number, found
            start = found + 1
        start = 0


async def _next(connection: Connection, store: Store, start: int) -> int | None:
    here = await asyncio.to_thread(lambda: next(folders(store.blobs, start), None))
    away = await store.next_away(connection, start) if store.next_away else None
    return min((one for one in (here, away) if one is not None), default=None)


async def _folder(
    connection: Connection, stores: Sequence[Store], number: int, folder: int
) -> None:
    store, tally = stores[number], Tally()
    digests = set(await store.away(connection, folder)) if store.away else set()
    digests |= set(await asyncio.to_thread(lambda: list(local(store.blobs, folder))))
    await asyncio.to_thread(renew, store.blobs, sorted(digests), tally)
    counted = {"seen": tally.seen, "renewed": tally.renewed, "failed": tally.failed}
    reached = {"place": _PLACE.format(number, folder), "stores": len(stores)}
    await connection.execute(_NOTE, {**reached, **counted})


async def _passed(server: Server, every: Sequence[Blobs], moved: int) -> None:
    """End the rotation if this pass had nothing to do, else begin the next one."""
    ring = _keyring(server)
    present = {(await asyncio.to_thread(ring.current)).id}
    arriving = [await asyncio.to_thread(arriving_under, one) for one in every]
    busy = any(found - present for found in arriving) or any(one.waiting() for one in every)
    async with server.database.transaction() as connection:
        state = await progress(connection)
        assert state is not None
        if state.settled < SETTLED_SECONDS or state.renewed or moved or busy:
            wait = max(1.0, SETTLED_SECONDS - state.settled)
            await connection.execute(_AGAIN, (wait,))
            await enqueue(connection, [Job(KIND, {}, KIND, wait)])
            return
        if not state.failed:
            rows = await (await connection.execute(_OLD)).fetchall()
            await keyring.drop(connection, [row[0] for row in rows])
        await connection.execute(_END)


def _keyring(server: Server) -> Keyring:
    ring = server.data_keys
    assert isinstance(ring, Keyring)
    return ring
