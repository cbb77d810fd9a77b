"""The job that turns stored messages into FHIR resources.

Messages are taken in the order of receipt; those of one patient never overtake
one another, those of others are written side by side.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from adapters.hl7.inbox.apply import Row, Work, apply, begin
from fhir_server.errors import Unavailable
from fhir_server.server import Server

_LOCK: Final = 7_261_964_007  # any number, the same in every process
_WINDOW: Final = 200

_WINDOW_BYTES: Final = 32 << 20  # a message may have 64 MiB: at least one is taken

_NEXT: Final = """
SELECT id, raw, partition_keys, attempts, ack_mode, due
FROM (
    SELECT w.*, sum(octet_length(raw)) OVER (ORDER BY id) - octet_length(raw) AS bytes_before
    FROM (
        SELECT id, raw, partition_keys, attempts, ack_mode,
               coalesce(next_attempt <= now(), true) AS due
        FROM hl7_message WHERE state = 'stored' AND id > %s ORDER BY id LIMIT %s
    ) AS w
) AS w
WHERE bytes_before < %s ORDER BY id
"""
_LEFT: Final = """
SELECT EXISTS (
    SELECT FROM hl7_message WHERE state = 'stored'
    AND coalesce(next_attempt <= now(), true) AND NOT partition_keys && %s::text[]
), EXISTS (SELECT FROM hl7_message WHERE state = 'stored')
"""


async def run(server: Server, payload: dict[str, object]) -> None:  # noqa: ARG001  (a job's form)
    """Process all stored messages that are due.

    One process at a time does so; another that comes finds it busy and leaves,
    and the busy one looks again before it ends. Raises Unavailable when messages
    wait for another try, so that the job comes back.
    """
    while True:
        async with _alone(server) as alone:
            if not alone:
                return
            blocked = await _drain(server)
        due, waiting = await _left(server, blocked)
        if due:
            continue
        if waiting:
            raise Unavailable("Messages wait for another try")
        return


@asynccontextmanager
async def _alone(server: Server) -> AsyncIterator[bool]:
    """Hold the lock of the one who processes, if nobody holds it."""
    async with server.database.statement() as connection:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,))
        row = await cursor.fetchone()
        alone = bool(row and row[0])
        try:
            yield alone
        finally:
            if alone:
                await connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


async def _left(server: Server, blocked: set[str]) -> tuple[bool, bool]:
    """Return whether a message came that can be taken now, and whether any is stored."""
    async with server.database.connection() as connection:
        cursor = await connection.execute(_LEFT, (list(blocked),))
        row = await cursor.fetchone()
    assert row is not None
    return bool(row[0]), bool(row[1])


@dataclass(slots=True)
class _Lanes:
    """Groups that are being written side by side, each with its partitions.

    `blocked` are the partitions in which a message waits for another try.
    """

    work: Work
    count: int
    flying: dict[asyncio.Task[set[str]], frozenset[str]] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)

    async def start(self, group: Sequence[Row]) -> None:
        """Write a group beside the others, when one of the lanes is free."""
        while len(self.flying) >= self.count:
            await self._land(asyncio.FIRST_COMPLETED)
        keys = frozenset[str]().union(*(row.partition_keys for row in group))
        self.flying[asyncio.create_task(apply(self.work, group))] = keys

    async def clear(self, keys: frozenset[str]) -> None:
        """Wait until nothing of these partitions is being written."""
        while any(keys & flying for flying in self.flying.values()):
            await self._land(asyncio.FIRST_COMPLETED)

    async def finish(self) -> None:
        """Wait until everything is written."""
        if self.flying:
            await self._land(asyncio.ALL_COMPLETED)

    async def abandon(self) -> None:
        """Let go of what is being written; what is not committed stays stored."""
        for task in self.flying:
            task.cancel()
        await asyncio.gather(*self.flying, return_exceptions=True)

    async def _land(self, when: str) -> None:
        landed, _ = await asyncio.wait(self.flying, return_when=when)
        for task in landed:
            del self.flying[task]
            self.blocked |= task.result()


async def _drain(server: Server) -> set[str]:
    """Pass over the stored messages in their order; return the partitions that wait."""
    lanes = _Lanes(await begin(server), server.settings.hl7.workers)
    after = 0
    try:
        while rows := await _window(server, after):
            after = rows[-1].id
            await _pass(lanes, rows, server.settings.hl7.batch_messages)
        await lanes.finish()
    finally:
        await lanes.abandon()
    return lanes.blocked


async def _pass(lanes: _Lanes, rows: Sequence[Row], size: int) -> None:
    """Start all rows of a window in groups of different patients."""
    group: list[Row] = []
    keys: set[str] = set()
    for row in rows:
        if row.partition_keys & keys or len(group) == size:
            await lanes.start(group)
            group, keys = [], set()
        await lanes.clear(row.partition_keys)
        if not row.due or row.partition_keys & lanes.blocked:
            lanes.blocked |= row.partition_keys
            continue
        group.append(row)
        keys |= row.partition_keys
    if group:
        await lanes.start(group)


async def _window(server: Server, after: int) -> list[Row]:
    async with server.database.connection() as connection:
        cursor = await connection.execute(_NEXT, (after, _WINDOW, _WINDOW_BYTES), binary=True)
        return [
            Row(id_, bytes(raw), frozenset(keys), attempts, mode, due)
            for id_, raw, keys, attempts, mode, due in await cursor.fetchall()
        ]
