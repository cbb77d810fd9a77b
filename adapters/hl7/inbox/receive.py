"""The inbox: every message durable before it is acknowledged.

What arrives while one commit runs is inserted by the next, in one statement;
all of it is answered when that has returned.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from adapters.hl7 import metrics
from adapters.hl7.inbox.received import Received
from adapters.hl7.mapping.transform import knows_type
from fhir_server.database import Connection, Database
from fhir_server.errors import Unavailable
from fhir_server.jobs import ADD, TOLD, Job

JOB: Final = Job("hl7.process", {}, dedupe_key="inbox")
_KINDS: Final = frozenset(("ACK", "ASTM", "BATCH"))
_JOBS: Final = """(
    SELECT %s, %s, '{}'::jsonb, 0 WHERE EXISTS (SELECT FROM given WHERE state = 'stored')
)"""
_BATCH_MESSAGES: Final = 1_000
_BATCH_BYTES: Final = 64 << 20

_log = logging.getLogger(__name__)

# With the messages comes the job that processes them: one statement is one commit, and one way
# to the database and back, however many wait.
_INSERT: Final = f"""
WITH given AS (
    SELECT * FROM unnest(
        %b::bytea[], %b::bytea[], %b::bytea[], %b::text[], %b::text[], %b::text[], %b::text[],
        %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
        %b::text[], %b::text[], %b::bytea[], %b::text[]
    ) WITH ORDINALITY AS g(
        raw, sha256, content_sha256, channel, peer, sender, control_id,
        type, event, version, charset, processing_id, state, reason,
        detail, ack_mode, ack, more, n
    )
), flagged AS (
    SELECT g.*, EXISTS (
        SELECT FROM hl7_message AS earlier
        WHERE earlier.channel = g.channel AND earlier.control_id = g.control_id
          AND g.control_id <> ''
          AND earlier.sha256 <> g.sha256
    ) AS reused
    FROM given AS g
), kept AS (
INSERT INTO hl7_message (
    raw, sha256, content_sha256, channel, peer, sender, control_id, type, event, version,
    charset, processing_id, state, reason, detail, ack_mode, ack, partition_keys, warnings,
    finished_at, batch_id, sequence
)
SELECT raw, sha256, content_sha256, channel, peer, sender, control_id, type, event, version,
    charset, processing_id, state, reason, detail, ack_mode, ack,
    ARRAY(SELECT jsonb_array_elements_text(more::jsonb -> 'keys')),
    nullif(
        (more::jsonb -> 'warnings')
        || CASE WHEN reused THEN '{{"control_id_reused": 1}}'::jsonb ELSE '{{}}'::jsonb END,
        '{{}}'::jsonb
    ),
    CASE WHEN state <> 'stored' THEN now() END,
    (more::jsonb ->> 'batch')::bigint, (more::jsonb ->> 'sequence')::bigint
FROM flagged ORDER BY n
ON CONFLICT (channel, control_id, sha256) DO NOTHING
RETURNING id, control_id, sha256
), job_added AS ({ADD.format(jobs=_JOBS)})
SELECT id, control_id, sha256 FROM kept, ({TOLD}) AS told
"""

_EARLIER: Final = """
SELECT m.id, m.control_id, m.sha256, coalesce(m.ack, m.app_ack)
FROM hl7_message AS m
JOIN unnest(%s::text[], %s::bytea[]) AS k(control_id, sha256) USING (control_id, sha256)
WHERE m.channel = %s
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A message in the inbox: its row, and the acknowledgement that is due now.

    `again` tells that the same bytes were there already.
    """

    id: int
    ack: bytes | None
    again: bool = False


@dataclass(slots=True)
class _Waiting:
    """A message in line; `follows`: it is of the batch of the one before it."""

    received: Received
    peer: str
    kept: asyncio.Future[Kept]
    follows: bool


class Inbox:
    """The one writer of a channel; `run` works until it is cancelled."""

    def __init__(self, database: Database, channel: str) -> None:
        self._database = database
        self._channel = channel
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self.unstored_bytes = 0
        self.room = asyncio.Event()
        self.room.set()

    def submit(
        self, received: Received, peer: str, limit: int, *, follows: bool = False
    ) -> asyncio.Future[Kept]:
        """Put a message in line; the future holds its row once that is durable.

        The future raises Unavailable when it could not be stored. `room` is clear
        while more than `limit` bytes wait. What `follows` another of its batch is in
        one commit with it.
        """
        kept = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(received, peer, kept, follows))
        self.unstored_bytes += len(received.raw)
        if self.unstored_bytes > limit:
            self.room.clear()
        self._arrived.set()
        return kept

    async def run(self) -> None:
        """Store what arrives, group by group."""
        while True:
            await self._arrived.wait()
            group = self._take()
            if not self._waiting:
                self._arrived.clear()
            await self._store(group)
            self.unstored_bytes -= sum(len(one.received.raw) for one in group)
            self.room.set()

    def _take(self) -> list[_Waiting]:
        size = 0
        for count, one in enumerate(self._waiting, 1):
            size += len(one.received.raw)
            if count == _BATCH_MESSAGES or size >= _BATCH_BYTES:
                break
        else:
            count = len(self._waiting)
        while count < len(self._waiting) and self._waiting[count].follows:
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    async def _store(self, group: Sequence[_Waiting]) -> None:
        try:
            with metrics.store_seconds.time():
                kept = await store(
                    self._database, self._channel, [(one.received, one.peer) for one in group]
                )
        except (psycopg.OperationalError, Unavailable) as error:
            _fail(group, error)
            return
        except Exception as error:  # noqa: BLE001  (the listener outlives whatever it is)
            if len(group) == 1:
                _fail(group, error)
            # What the database refuses of one message must not keep out the others.
            for one in group if len(group) > 1 else ():
                await self._store([one])
            return
        for one, found in zip(group, kept, strict=True):
            if not one.kept.done():
                one.kept.set_result(found)


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    """Without a positive acknowledgement the senders keep their messages."""
    _log.error("%d messages could not be stored: %s", len(group), type(error).__name__)
    for one in group:
        if not one.kept.done():
            one.kept.set_exception(Unavailable("The inbox cannot be written"))


async def store(
    database: Database, channel: str, group: Sequence[tuple[Received, str]]
) -> list[Kept]:
    """Store (message, peer) pairs durably in one commit, with the job that processes them."""
    async with database.statement() as connection:
        found = await store_on(connection, channel, group)
    count(channel, group, found)
    return found


async def store_on(
    connection: Connection, channel: str, group: Sequence[tuple[Received, str]]
) -> list[Kept]:
    """Store (message, peer) pairs in an open transaction, with the job that processes them."""
    fresh: dict[tuple[str | None, bytes, int], tuple[Received, str]] = {}
    for index, (received, peer) in enumerate(group):
        fresh.setdefault(_key(received, index), (received, peer))
    cursor = await _insert(connection, channel, list(fresh.values()))
    added = _added(fresh, await cursor.fetchall())
    missing = [key for key in fresh if key not in added]
    earlier = await _earlier(connection, channel, missing)
    found: list[Kept] = []
    first: set[tuple[str | None, bytes, int]] = set()
    for index, (received, _) in enumerate(group):
        key = _key(received, index)
        if key in added:
            found.append(Kept(added[key], fresh[key][0].ack, again=key in first))
            first.add(key)
        else:
            found.append(earlier[key[:2]])
    return found


def _key(received: Received, index: int) -> tuple[str | None, bytes, int]:
    """Return what makes a message the same one again; what is no message never is."""
    return (
        received.control_id,
        received.sha256,
        index if received.control_id is None else -1,
    )


async def _insert(
    connection: Connection, channel: str, group: Sequence[tuple[Received, str]]
) -> psycopg.AsyncCursor[tuple[Any, ...]]:
    messages = [received for received, _ in group]
    values: list[object] = [
        [one.raw for one in messages],
        [one.sha256 for one in messages],
        [one.content_sha256 for one in messages],
        [channel] * len(messages),
        [peer for _, peer in group],
    ]
    values += [
        [getattr(one, name) for one in messages]
        for name in (
            *("sender", "control_id", "type", "event", "version", "charset"),
            *("processing_id", "state", "reason", "detail", "ack_mode", "ack"),
        )
    ]
    values += [_more(messages), JOB.kind, JOB.dedupe_key]
    return await connection.execute(_INSERT, values, binary=True)


def _more(messages: Sequence[Received]) -> list[str]:
    """Return partition keys, warnings and numbers of each message as JSON."""
    seen: set[str] = set()
    found = []
    more: dict[str, object]
    for one in messages:
        warnings = dict(one.warnings)
        if one.control_id and one.control_id in seen:
            warnings["control_id_reused"] = 1
            metrics.reused.inc()
        seen.add(one.control_id or "")
        keys = [key.replace("\x00", "") for key in one.partition_keys]
        more = {"keys": keys, "warnings": warnings}
        if one.batch_id is not None or one.sequence is not None:
            more |= {"batch": one.batch_id, "sequence": one.sequence}
        found.append(json.dumps(more))
    return found


def _added(
    fresh: dict[tuple[str | None, bytes, int], tuple[Received, str]],
    rows: Sequence[tuple[Any, ...]],
) -> dict[tuple[str | None, bytes, int], int]:
    by_key: dict[tuple[str | None, bytes], list[int]] = {}
    for id_, control_id, sha256 in rows:
        by_key.setdefault((control_id, bytes(sha256)), []).append(id_)
    return {key: by_key[key[:2]].pop(0) for key in fresh if by_key.get(key[:2])}


async def _earlier(
    connection: Connection,
    channel: str,
    missing: Sequence[tuple[str | None, bytes, int]],
) -> dict[tuple[str | None, bytes], Kept]:
    if not missing:
        return {}
    cursor = await connection.execute(
        _EARLIER, ([key[0] for key in missing], [key[1] for key in missing], channel), binary=True
    )
    return {
        (control_id, bytes(sha256)): Kept(id_, bytes(ack) if ack is not None else None, again=True)
        for id_, control_id, sha256, ack in await cursor.fetchall()
    }


def count(channel: str, group: Sequence[tuple[Received, str]], found: Sequence[Kept]) -> None:
    """Count what was stored, when that is durable."""
    for (received, _), kept in zip(group, found, strict=True):
        metrics.received.labels(channel, _kind(received.type)).inc()
        if kept.again:
            metrics.duplicates.inc()
        elif received.reason is not None:
            metrics.dead.labels(received.reason).inc()


def _kind(said: str) -> str:
    """Return the type as a label: what nobody expects must not make labels without end."""
    if not said:
        return "-"
    return said if said in _KINDS or knows_type(said) else "other"
