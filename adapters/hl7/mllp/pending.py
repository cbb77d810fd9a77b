"""Acknowledgements that wait for the outcome of their message."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import psycopg

from adapters.hl7 import metrics
from adapters.hl7.mllp.arrival import code_of
from fhir_server.database import Database
from fhir_server.errors import Unavailable

_PAUSE: Final = 0.05
_RETRY: Final = 1.0
# What a sender does not read stays in the inbox.
_UNREAD_BYTES: Final = 1 << 20

_log = logging.getLogger(__name__)

_OUTCOMES: Final = """
SELECT id, app_ack FROM hl7_message
WHERE id = ANY(%s) AND state NOT IN ('stored', 'processing')
"""
_LEFT: Final = """
SELECT id, sender FROM hl7_message
WHERE channel = %s AND sender = ANY(%s) AND ack_mode = 'enhanced' AND app_ack_sent_at IS NULL
  AND (app_ack IS NOT NULL OR state = 'stored')
ORDER BY id
"""
_SENT: Final = "UPDATE hl7_message SET app_ack_sent_at = now() WHERE id = ANY(%s)"


class Pending:
    """Who waits for the outcome of which row; `run` looks after them until cancelled.

    The application acknowledgement of a row goes to the connection that brought it or,
    when that is gone, to another of its sender: the next one that comes.
    """

    def __init__(self, database: Database, channel: str) -> None:
        self._database = database
        self._channel = channel
        self._futures: dict[int, list[asyncio.Future[bytes | None]]] = {}
        self._owed: dict[int, tuple[str, asyncio.StreamWriter]] = {}
        self._connected: dict[str, list[asyncio.StreamWriter]] = {}
        self._newcomers: set[str] = set()
        self._some = asyncio.Event()

    async def outcome(self, id_: int) -> bytes | None:
        """Return the acknowledgement of a message once it is processed."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(id_, []).append(future)
        self._some.set()
        return await future

    def owe(self, id_: int, sender: str, writer: asyncio.StreamWriter) -> None:
        """Send the application acknowledgement of a message here when it is known.

        What was owed to the sender before goes the same way.
        """
        self._owed[id_] = (sender, writer)
        connected = self._connected.setdefault(sender, [])
        if writer not in connected:
            connected.append(writer)
            self._newcomers.add(sender)
        self._some.set()

    def look(self, sender: str) -> None:
        """Send what the inbox holds for the sender to a connection of it, if there is one."""
        if sender in self._connected:
            self._newcomers.add(sender)
            self._some.set()

    def forget(self, writer: asyncio.StreamWriter) -> None:
        """Send nothing more to a connection that is closed."""
        for sender in [name for name, some in self._connected.items() if writer in some]:
            self._connected[sender].remove(writer)
            if not self._connected[sender]:
                del self._connected[sender]
        for id_, (sender, owed) in list(self._owed.items()):
            if owed is writer:
                self._hand_over(id_, sender)

    def _hand_over(self, id_: int, sender: str) -> None:
        """Owe it to another connection; without one it stays in the inbox for the next."""
        if sender in self._connected:
            self._owed[id_] = (sender, self._connected[sender][-1])
        else:
            del self._owed[id_]

    async def run(self) -> None:
        """Look for outcomes while somebody waits for one."""
        while True:
            await self._some.wait()
            if not self._futures and not self._owed and not self._newcomers:
                self._some.clear()
                continue
            try:
                await self._deliver()
            except (psycopg.OperationalError, Unavailable):
                _log.warning("Outcomes cannot be read now")
                await asyncio.sleep(_RETRY)
            await asyncio.sleep(_PAUSE)

    async def _deliver(self) -> None:
        newcomers = list(self._newcomers)
        async with self._database.connection() as connection:
            if newcomers:
                cursor = await connection.execute(_LEFT, (self._channel, newcomers))
                self._adopt(await cursor.fetchall())
                self._newcomers.difference_update(newcomers)
            waiting = [*self._futures, *self._owed]
            cursor = await connection.execute(_OUTCOMES, (waiting,), binary=True)
            outcomes = await cursor.fetchall()
        settled = [(id_, self._settle(id_, _bytes(ack))) for id_, ack in sorted(outcomes)]
        sent = [id_ for id_, out in settled if out]
        if sent:
            async with self._database.statement() as connection:
                await connection.execute(_SENT, (sent,))

    def _adopt(self, rows: Sequence[tuple[int, str]]) -> None:
        """Owe what an earlier connection did not live to get."""
        for id_, sender in rows:
            if id_ not in self._owed and sender in self._connected:
                self._owed[id_] = (sender, self._connected[sender][-1])

    def _settle(self, id_: int, ack: bytes | None) -> bool:
        """Give the outcome to those who wait; return whether it went out."""
        waited = self._futures.pop(id_, ())
        for future in waited:
            if not future.done():
                future.set_result(ack)
        _, writer = self._owed.get(id_, ("", None))
        if ack is None or writer is None:
            self._owed.pop(id_, None)
            return ack is not None and bool(waited)
        if writer.is_closing() or writer.transport.get_write_buffer_size() > _UNREAD_BYTES:
            return False  # it is handed over, or tried again
        del self._owed[id_]
        writer.write(b"\x0b" + ack + b"\x1c\r")
        metrics.acknowledged.labels(code_of(ack)).inc()
        return True


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
