"""Frames made durable before they are acknowledged, and sessions moved into the inbox.

What arrives while one commit runs, on whatever line, is in the next; what a session
brought enters the inbox in the transaction that forgets its frames.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import psycopg

from adapters.hl7 import metrics
from adapters.hl7.astm.examine import incomplete
from adapters.hl7.inbox.receive import count, store_on
from adapters.hl7.inbox.received import Received
from fhir_server.database import Connection, Database
from fhir_server.errors import Unavailable

_MOST: Final = 1_000

_log = logging.getLogger(__name__)

_KEEP: Final = """
INSERT INTO hl7_astm_frame (session, number, channel, peer, text, final)
SELECT g.session, g.number, %s, g.peer, g.text, g.final
FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::bytea[], %s::bool[])
    AS g(session, number, peer, text, final)
ON CONFLICT DO NOTHING
"""
_FORGET: Final = "DELETE FROM hl7_astm_frame WHERE session = ANY(%s)"
_LEFT: Final = """
SELECT session, min(peer), string_agg(text, ''::bytea ORDER BY number), count(*)
FROM hl7_astm_frame WHERE channel = %s GROUP BY session ORDER BY min(received_at), session
"""


@dataclass(frozen=True, slots=True)
class Piece:
    """A frame of a session; `number` counts from 1 and does not begin again."""

    session: UUID
    number: int
    peer: str
    text: bytes
    final: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a session, and the messages that it brought."""

    session: UUID
    peer: str
    messages: tuple[Received, ...]


@dataclass(slots=True)
class _Waiting:
    what: Piece | Ending
    done: asyncio.Future[None]


class Keeper:
    """The one writer of a channel's sessions; `run` works until it is cancelled."""

    def __init__(self, database: Database, channel: str) -> None:
        self._database = database
        self._channel = channel
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()

    def submit(self, what: Piece | Ending) -> asyncio.Future[None]:
        """Put a frame or an end in line; the future ends when it is durable.

        It raises Unavailable when it could not be stored.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(what, done))
        self._arrived.set()
        return done

    async def run(self) -> None:
        """Store what arrives, group by group."""
        while True:
            await self._arrived.wait()
            group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            if not self._waiting:
                self._arrived.clear()
            await self._store(group)

    async def recover(self) -> int:
        """End the sessions that a process left behind when it died; return how many.

        Their senders were told that the frames arrived, and not that the message did:
        they send it again, so that nothing of it may count twice.
        """
        async with self._database.transaction() as connection:
            cursor = await connection.execute(_LEFT, (self._channel,), binary=True)
            left = await cursor.fetchall()
            pairs = [
                (incomplete(bytes(text), f"The server ended after {n} frames, without EOT"), peer)
                for _, peer, text, n in left
            ]
            found = await store_on(connection, self._channel, pairs) if pairs else []
            await connection.execute(_FORGET, ([row[0] for row in left],))
        count(self._channel, pairs, found)
        return len(left)

    async def _store(self, group: Sequence[_Waiting]) -> None:
        try:
            with metrics.store_seconds.time():
                await self._commit([one.what for one in group])
        except Exception as error:  # noqa: BLE001  (the listener outlives whatever it is)
            transient = isinstance(error, psycopg.OperationalError | Unavailable)
            if len(group) == 1 or transient:
                _fail(group, error)
                return
            # What the database refuses of one line must not keep out the others.
            for one in group:
                await self._store([one])
            return
        for one in group:
            if not one.done.done():
                one.done.set_result(None)

    async def _commit(self, group: Sequence[Piece | Ending]) -> None:
        pieces = [one for one in group if isinstance(one, Piece)]
        endings = [one for one in group if isinstance(one, Ending)]
        pairs = [(message, one.peer) for one in endings for message in one.messages]
        async with self._database.transaction() as connection:
            if pieces:
                await self._insert(connection, pieces)
            found = await store_on(connection, self._channel, pairs) if pairs else []
            if endings:
                await connection.execute(_FORGET, ([one.session for one in endings],))
        count(self._channel, pairs, found)

    async def _insert(self, connection: Connection, pieces: Sequence[Piece]) -> None:
        values: list[object] = [self._channel]
        values += [
            [getattr(one, name) for one in pieces]
            for name in ("session", "number", "peer", "text", "final")
        ]
        await connection.execute(_KEEP, values, binary=True)


def _fail(group: Sequence[_Waiting], error: Exception) -> None:
    """Without an acknowledgement the senders keep what they sent."""
    _log.error("%d frames could not be stored: %s", len(group), type(error).__name__)
    for one in group:
        if not one.done.done():
            one.done.set_exception(Unavailable("The frames cannot be written"))
