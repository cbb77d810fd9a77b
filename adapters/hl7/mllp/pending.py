"""Acknowledgements that wait for the outcome of their message."""

import asyncio
import logging
from typing import Final

import psycopg

from adapters.hl7 import metrics
from fhir_server.database import Database
from fhir_server.errors import Unavailable

_PAUSE: Final = 0.05
_RETRY: Final = 1.0

_log = logging.getLogger(__name__)

_OUTCOMES: Final = """
SELECT id, app_ack FROM hl7_message
WHERE id = ANY(%s) AND state IN ('done', 'dead', 'stale', 'dismissed')
"""
_SENT: Final = "UPDATE hl7_message SET app_ack_sent_at = now() WHERE id = ANY(%s)"


class Pending:
    """Who waits for the outcome of which row; `run` looks after them until cancelled."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._futures: dict[int, list[asyncio.Future[bytes | None]]] = {}
        self._owed: dict[int, asyncio.StreamWriter] = {}
        self._some = asyncio.Event()

    async def outcome(self, id_: int) -> bytes | None:
        """Return the acknowledgement of a message once it is processed."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(id_, []).append(future)
        self._some.set()
        return await future

    def owe(self, id_: int, writer: asyncio.StreamWriter) -> None:
        """Send the application acknowledgement of a message here when it is known."""
        self._owed[id_] = writer
        self._some.set()

    def forget(self, writer: asyncio.StreamWriter) -> None:
        """Send nothing more to a connection that is closed; its rows stay unsent."""
        for id_ in [id_ for id_, owed in self._owed.items() if owed is writer]:
            del self._owed[id_]

    async def run(self) -> None:
        """Look for outcomes while somebody waits for one."""
        while True:
            await self._some.wait()
            if not self._futures and not self._owed:
                self._some.clear()
                continue
            try:
                await self._deliver()
            except (psycopg.OperationalError, Unavailable):
                _log.warning("Outcomes cannot be read now")
                await asyncio.sleep(_RETRY)
            await asyncio.sleep(_PAUSE)

    async def _deliver(self) -> None:
        waiting = [*self._futures, *self._owed]
        async with self._database.connection() as connection:
            cursor = await connection.execute(_OUTCOMES, (waiting,), binary=True)
            outcomes = await cursor.fetchall()
        sent = [id_ for id_, ack in outcomes if self._settle(id_, _bytes(ack))]
        if sent:
            async with self._database.statement() as connection:
                await connection.execute(_SENT, (sent,))

    def _settle(self, id_: int, ack: bytes | None) -> bool:
        """Give the outcome to those who wait; return whether it went out."""
        for future in self._futures.pop(id_, ()):
            if not future.done():
                future.set_result(ack)
        writer = self._owed.pop(id_, None)
        if ack is None:
            return False
        if writer is not None and not writer.is_closing():
            writer.write(b"\x0b" + ack + b"\x1c\r")
            metrics.acknowledged.labels("application").inc()
        return True


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
