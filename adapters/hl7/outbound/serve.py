"""Messages to other systems, as long as the server runs."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import psycopg

from adapters.hl7.outbound.follow import destinations, look
from adapters.hl7.outbound.line import check
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.sender import Sender
from adapters.hl7.profiles.agreements import agreements
from adapters.hl7.profiles.destination import Outbound
from adapters.hl7.uri_base import uri_base
from fhir_server.background import end
from fhir_server.database import OWN, Connection
from fhir_server.errors import SangamError
from fhir_server.networks import Unprotected
from fhir_server.server import Server

_LOCK: Final = 7_261_964_015  # any number, the same in every process
_AGAIN_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Destinations:
    """What is agreed with each destination now, and who sends to it."""

    server: Server
    agreed: dict[str, Peer] = field(default_factory=dict)
    senders: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def adjust(self, peers: list[Peer]) -> None:
        """Start and stop senders as the profiles say."""
        for one in peers:
            known = self.agreed.get(one.name)
            if known is None or known.settings != one.settings:
                _warn(one)
        self.agreed |= {one.name: one for one in peers}
        names = {one.name for one in peers}
        for name in self.senders.keys() - names:
            self.senders.pop(name).cancel()
        for name in names:
            running = self.senders.get(name)
            if running is not None and running.done():
                _log.error("The sender of %s ended", name, exc_info=running.exception())
                running = None
            if running is None:
                sender = Sender(self.server, name, lambda name=name: self.settings(name))  # type: ignore[misc]
                self.senders[name] = asyncio.create_task(sender.run())

    def settings(self, name: str) -> Outbound:
        """Return what is agreed with a destination."""
        return self.agreed[name].settings

    async def end(self) -> None:
        """Stop all senders; what is not acknowledged is sent again."""
        await end(self.senders.values())
        self.senders.clear()


def _warn(peer: Peer) -> None:
    """Say of a destination that is told nothing, as that would be in the clear."""
    try:
        check(peer.settings)
    except Unprotected as error:
        _log.error("Messages to %s wait: %s", peer.name, error.strerror)


async def serve(server: Server, stop: asyncio.Event) -> None:
    """Tell other systems of changes until `stop` is set.

    One process at a time does so, however many serve the database.
    """
    if not server.settings.hl7.profiles_dir:
        await stop.wait()
        return
    working = asyncio.create_task(_work(server))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    await end((working, stopping))
    for ended in await asyncio.gather(working, stopping, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended


async def _work(server: Server) -> None:
    while True:
        try:
            async with _alone(server) as held:
                if held is not None:
                    await _serve(server, held)
        except (psycopg.Error, SangamError) as error:
            _log.warning("Other systems are not told of changes now: %s", type(error).__name__)
        except Exception:  # noqa: BLE001  (who sends to us is not to suffer from it)
            _log.exception("Other systems are not told of changes now")
        await asyncio.sleep(_AGAIN_SECONDS)


@asynccontextmanager
async def _alone(server: Server) -> AsyncIterator[Connection | None]:
    """Lend the connection that holds the lock of the one who sends; None where another does."""
    async with server.database.statement() as connection:
        cursor = await connection.execute(f"SELECT pg_try_advisory_lock(%s # {OWN})", (_LOCK,))
        row = await cursor.fetchone()
        if not (row and row[0]):
            yield None
            return
        try:
            yield connection
        finally:
            if not connection.closed:
                await connection.execute(f"SELECT pg_advisory_unlock(%s # {OWN})", (_LOCK,))


async def _serve(server: Server, held: Connection) -> None:
    """Look for changes and keep the senders running; psycopg's error when the lock is lost."""
    running = _Destinations(server)
    base = await uri_base(server)
    agreed = agreements(server)
    try:
        while True:
            await held.execute("SELECT 1")
            await agreed.refresh()
            peers = destinations(server, base, list(agreed.profiles.by_sender.values()))
            running.adjust(peers)
            while agreed.are_known and await look(server, base, peers):
                pass
            await asyncio.sleep(server.settings.hl7.outbound_poll_seconds)
    finally:
        await running.end()
