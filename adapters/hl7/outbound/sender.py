"""The sender of one destination: its queue, in order, until each message was acknowledged."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Final

import psycopg

from adapters.hl7 import metrics
from adapters.hl7.outbound import queue
from adapters.hl7.outbound.line import Line, Unanswered
from adapters.hl7.outbound.queue import Queued
from adapters.hl7.outbound.replies import APPLIED, Reply
from adapters.hl7.profiles.destination import Outbound
from fhir_server.errors import Unavailable
from fhir_server.server import Server

_PAGE: Final = 200
_LISTEN_SECONDS: Final = 0.2
_LOOK_SECONDS: Final = 1.0
_STATES: Final = {"done": "done", "accepted": "accepted", "refused": "dead", "rejected": "dead"}

_log = logging.getLogger(__name__)


class Sender:
    """Sends what waits for a destination; `run` works until it is cancelled.

    `settings` gives what is agreed now: a changed profile counts from the next message on.
    """

    def __init__(self, server: Server, name: str, settings: Callable[[], Outbound]) -> None:
        self._server = server
        self._name = name
        self._settings = settings
        self._failures = 0
        self._line = Line(name, settings(), self._late)

    async def run(self) -> None:
        """Send, and hear what comes late, again and again."""
        try:
            while True:
                try:
                    await self._adopt()
                    reached = await self._pass()
                except (psycopg.OperationalError, Unavailable):
                    _log.warning("The queue of %s cannot be read now", self._name)
                    reached = True
                await self._line.listen(_LISTEN_SECONDS)
                if not reached:
                    await self._pause(min(queue.LONGEST_WAIT, 2.0 ** (self._failures - 1)))
        finally:
            await self._line.close()

    async def _pause(self, seconds: float) -> None:
        """Wait, until something else is agreed at most: that may be what was missing."""
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0:
            if self._settings() != self._line.settings:
                self._failures = 0
                return
            await asyncio.sleep(min(left, _LOOK_SECONDS))

    async def _adopt(self) -> None:
        """Go by what the profile says now, on a new connection where that is another."""
        settings = self._settings()
        if settings != self._line.settings:
            await self._line.close()
            self._line.settings = settings

    async def _pass(self) -> bool:
        """Pass over what waits, in its order; return whether the destination was reached."""
        blocked: set[str] = set()
        after = 0
        while True:
            async with self._server.database.connection() as connection:
                rows = await queue.page(connection, self._name, after, _PAGE)
            for row in queue.startable(rows, blocked):
                if row.keys & blocked:  # one before it failed just now
                    continue
                try:
                    if not await self._send(row):
                        blocked |= row.keys
                except OSError as error:
                    await self._unreachable(row, error)
                    return False
            if len(rows) < _PAGE:
                return True
            after = rows[-1].id

    async def _unreachable(self, row: Queued, error: OSError) -> None:
        self._failures = min(self._failures + 1, 10)
        reason = type(error).__name__ if isinstance(error, ssl.SSLError) else error.strerror
        text = f"Not reached: {reason or type(error).__name__}"
        if self._failures == 1:
            _log.warning("Destination %s: %s", self._name, text)
        metrics.outbound.labels(self._name, "unreached").inc()
        async with self._server.database.statement() as connection:
            await queue.noted(connection, row.id, text)

    async def _send(self, row: Queued) -> bool:
        """Send a message; return whether it needs no further try. OSError without connection."""
        try:
            reply = await self._line.send(row.payload, row.control_id)
        except Unanswered as unanswered:
            self._failures = 0
            metrics.outbound.labels(self._name, "unanswered").inc()
            async with self._server.database.statement() as connection:
                await queue.later(connection, row.id, str(unanswered))
            return False
        self._failures = 0
        return await self._settle(row, reply)

    async def _settle(self, row: Queued, reply: Reply) -> bool:
        metrics.outbound.labels(self._name, reply.verdict).inc()
        tries = 1 if row.kind == "law" else self._line.settings.attempts
        again = reply.verdict == "rejected" and row.attempts + 1 < tries
        async with self._server.database.statement() as connection:
            if again:
                await queue.later(connection, row.id, reply.detail, reply.raw)
                return False
            detail = None if reply.verdict in {"done", "accepted"} else reply.detail
            state = _STATES[reply.verdict]
            await queue.settled(connection, row.id, state, reply.raw, detail)
        return True

    async def _late(self, reply: Reply) -> None:
        """Take an answer to another message: the application's, of one that was accepted."""
        state = APPLIED.get(reply.code)
        known = False
        if state is not None and reply.control_id:
            detail = None if state == "done" else reply.detail
            async with self._server.database.statement() as connection:
                known = await queue.applied(
                    connection, self._name, reply.control_id, state, reply.raw, detail
                )
        metrics.outbound.labels(self._name, "late" if known else "foreign").inc()
        if not known:
            _log.warning("Destination %s answered what was not asked", self._name)
