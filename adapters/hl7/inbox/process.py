"""The job that turns stored messages into FHIR resources.

Messages are taken in the order of receipt; those of one patient never overtake
one another, those of others are written side by side. A merge is a barrier for both
of its patients.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from adapters.hl7.inbox import retention
from adapters.hl7.inbox.apply import Row, Work, apply, begin
from adapters.hl7.inbox.barriers import claims
from adapters.hl7.inbox.receive import JOB
from adapters.hl7.inbox.understand import Kept
from fhir_server.database import Connection
from fhir_server.jobs import Job, enqueue
from fhir_server.server import Server

_LOCK: Final = 7_261_964_007  # any number, the same in every process
_WINDOW: Final = 200

_WINDOW_BYTES: Final = 32 << 20  # a message may have 64 MiB: at least one is taken

_NEXT: Final = """
SELECT id, raw, partition_keys, attempts, ack_mode, due, confirmed, channel, event, peer, sender
FROM (
    SELECT w.*, sum(octet_length(raw)) OVER (ORDER BY id) - octet_length(raw) AS bytes_before
    FROM (
        SELECT id, raw, partition_keys, attempts, ack_mode, confirmed, channel, peer, sender,
               coalesce(event, '') AS event, coalesce(next_attempt <= now(), true) AS due
        FROM hl7_message WHERE state = 'stored' AND id > %s ORDER BY id LIMIT %s
    ) AS w
) AS w
WHERE bytes_before < %s ORDER BY id
"""
_SAME: Final = "SELECT key, name FROM hl7_alias WHERE key = ANY(%s)"
_HOLDING: Final = """
SELECT id, partition_keys, channel, coalesce(event, '') FROM hl7_message
WHERE holds AND state = 'dead' ORDER BY id
"""
_LEFT: Final = """
SELECT EXISTS (
    SELECT FROM hl7_message WHERE state = 'stored'
    AND coalesce(next_attempt <= now(), true) AND id <> ALL(%s::bigint[])
), (
    SELECT min(next_attempt) FROM hl7_message WHERE state = 'stored' AND next_attempt > now()
), now()
"""


async def run(server: Server, payload: dict[str, object]) -> None:  # noqa: ARG001  (a job's form)
    """Process all stored messages that are due.

    One process at a time does so; another that comes finds it busy and leaves,
    and the busy one looks again before it ends. When messages wait for another try,
    the job comes back for the first of them.
    """
    while True:
        async with _alone(server) as alone:
            if not alone:
                return
            left = await _drain(server)
        due, wait = await _left(server, left)
        if not due:
            break
    async with server.database.statement() as connection:
        again = [Job(JOB.kind, {}, JOB.dedupe_key, delay_seconds=wait)] if wait else []
        await enqueue(connection, [*again, retention.JOB])


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


async def _left(server: Server, blocked: Collection[int]) -> tuple[bool, float]:
    """Return whether a message came that can be taken now, and the seconds to the next try."""
    async with server.database.connection() as connection:
        cursor = await connection.execute(_LEFT, (list(blocked),))
        row = await cursor.fetchone()
    assert row is not None
    due, again, now = row
    return bool(due), max(0.01, (again - now).total_seconds()) if again else 0.0


@dataclass(slots=True)
class _Lanes:
    """Groups that are being written side by side, each with its claims.

    `blocked` are the claims of messages that wait for another try, `holding` those of
    dead letters behind which all wait, with their ids; `left` are the messages that wait.
    """

    work: Work
    flying: dict[asyncio.Task[set[str]], frozenset[str]] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    holding: Mapping[str, int] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)

    @property
    def server(self) -> Server:
        """The server of the work."""
        return self.work.server

    def waits(self, row: Row) -> bool:
        """Whether the message is not to be tried now, and those behind it neither."""
        if row.due and not row.waits & self.blocked and not self._is_held(row):
            return False
        self.blocked |= row.holds
        self.left.add(row.id)
        return True

    def _is_held(self, row: Row) -> bool:
        holding = self.holding
        return bool(holding) and any(holding.get(one, row.id) < row.id for one in row.waits)

    async def start(self, group: Sequence[Row]) -> None:
        """Write a group beside the others, when one of the lanes is free."""
        if not group:
            return
        while len(self.flying) >= self.server.settings.hl7.workers:
            await self._land(asyncio.FIRST_COMPLETED)
        keys = frozenset[str]().union(*(row.holds for row in group))
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
        if self.server.settings.hl7.on_dead == "hold":
            self.holding = await _holding(self.server)


async def _drain(server: Server) -> set[int]:
    """Pass over the stored messages in their order; return those that wait."""
    lanes = _Lanes(await begin(server), holding=await _holding(server))
    after = 0
    try:
        while rows := await window(server, after):
            after = rows[-1].id
            await _pass(lanes, rows, server.settings.hl7.batch_messages)
            if rows[-1].alone:
                # Its patients may have other names now, by which the next are ordered.
                await lanes.finish()
        await lanes.finish()
    finally:
        await lanes.abandon()
    return lanes.left


async def _pass(lanes: _Lanes, rows: Sequence[Row], size: int) -> None:
    """Start all rows of a window in groups that share nothing."""
    group: list[Row] = []
    keys: set[str] = set()
    for row in rows:
        if row.alone or row.waits & keys or len(group) == size:
            await lanes.start(group)
            group, keys = [], set()
        await lanes.clear(row.waits)
        if lanes.waits(row):
            continue
        group.append(row)
        keys |= row.holds
    await lanes.start(group)


async def window(server: Server, after: int) -> list[Row]:
    """Return the next stored messages, the last of which may be a barrier."""
    async with server.database.connection() as connection:
        cursor = await connection.execute(_NEXT, (after, _WINDOW, _WINDOW_BYTES), binary=True)
        found = await cursor.fetchall()
        same = await _same(connection, {key for row in found for key in row[2]})
    rows: list[Row] = []
    for id_, raw, keys, attempts, mode, due, confirmed, channel, event, *origin in found:
        said = claims(keys, channel, event, same, scope=server.settings.hl7.ordering_scope)
        rows.append(
            Row(
                *(id_, bytes(raw), frozenset(keys), attempts, mode, due, confirmed),
                *(said.holds, said.waits, said.alone),
                Kept(channel, *origin),
            )
        )
        if said.alone:
            break
    return rows


async def _same(connection: Connection, keys: Collection[str]) -> dict[str, str]:
    """Return the names under which these partitions go since their patients were merged."""
    cursor = await connection.execute(_SAME, (list(keys),))
    return dict(await cursor.fetchall())


async def _holding(server: Server) -> dict[str, int]:
    """Return the claims of dead letters behind which messages wait, with the first one's id."""
    async with server.database.connection() as connection:
        cursor = await connection.execute(_HOLDING)
        rows = await cursor.fetchall()
        if not rows:
            return {}
        same = await _same(connection, {key for row in rows for key in row[1]})
    held: dict[str, int] = {}
    for id_, keys, channel, event in rows:
        said = claims(keys, channel, event, same, scope=server.settings.hl7.ordering_scope)
        for one in said.holds:
            held.setdefault(one, id_)
    return held
