"""The lines to analyzers: those that connect here, and those that are connected to.

CLSI LIS01-A2 (ASTM E1381), over TCP: https://clsi.org/shop/standards/lis01/
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Final

import psycopg

from adapters.hl7 import metrics
from adapters.hl7.astm import downloads, work
from adapters.hl7.astm.connection import Analyzer, Outgoing, converse
from adapters.hl7.astm.keeping import Keeper
from adapters.hl7.astm.link import Line
from adapters.hl7.keep_alive import keep_alive
from adapters.hl7.mllp.client import client_context
from adapters.hl7.mllp.port import Peer, Port, peer_of
from adapters.hl7.profiles.agreements import agreements
from adapters.hl7.profiles.attribution import Claim, attributed
from adapters.hl7.profiles.destination import OutboundTls
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.profiles.read import Loaded
from fhir_server.audit.noting import Note, noting
from fhir_server.audit.peers import System
from fhir_server.background import end
from fhir_server.errors import SangamError
from fhir_server.networks import Unprotected, check_protected
from fhir_server.server import Server

_CONNECT_SECONDS: Final = 10.0
_LONGEST_PAUSE: Final = 60.0

_Dialed = tuple[str, str, OutboundTls | None, bool]
"""An analyzer that is connected to: its name, its address, its TLS, and whether it needs none."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lines:
    """The lines that are open, and the analyzers that are connected to.

    Analyzers connect to `port`, if there is one.
    """

    server: Server
    keeper: Keeper
    note: Note
    port: Port | None = None
    open: dict[asyncio.Task[None], Analyzer] = field(default_factory=dict)
    dialed: dict[_Dialed, asyncio.Task[None]] = field(default_factory=dict)
    stopping: bool = False


async def serve(server: Server, sock: socket.socket | None, stop: asyncio.Event) -> None:
    """Speak with analyzers until `stop` is set; `sock` listens, None where none may connect.

    Sessions that a former process left open end first, as incomplete.
    """
    keeper = Keeper(server.database, server.settings.astm.channel)
    left = await keeper.recover()
    if left:
        _log.warning("%d sessions of analyzers had been cut by the end of the server", left)
    lines = _Lines(server, keeper, noting(server))
    tasks = [asyncio.create_task(keeper.run()), asyncio.create_task(_look(lines))]
    if sock is not None:
        tasks.append(asyncio.create_task(await _listen(lines, sock)))
    try:
        await stop.wait()
    finally:
        if lines.port is not None:
            lines.port.close()
        await _drain(lines)
        await end(tasks)


async def _listen(lines: _Lines, sock: socket.socket) -> Coroutine[None, None, None]:
    """Take the connections of analyzers; return what takes up new certificates."""
    settings = lines.server.settings.astm

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _accepted(lines, reader, writer)

    async def failed(host: str, why: str) -> None:
        await lines.note(System("-", "hl7", host), why)

    plain = settings.plain_from
    lines.port = Port(sock, settings.channel, settings.allow_hosts, settings.tls, plain)
    await lines.port.open(accepted, failed)
    return lines.port.follow()


async def _drain(lines: _Lines) -> None:
    """Let open sessions end, within the time that is set."""
    lines.stopping = True
    for task in lines.dialed.values():
        if task not in lines.open:
            task.cancel()
    for one in lines.open.values():
        one.stop()
    if lines.open:
        _, late = await asyncio.wait(lines.open, timeout=lines.server.settings.astm.stop_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    await asyncio.gather(*lines.dialed.values(), return_exceptions=True)


async def _accepted(
    lines: _Lines, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    peer = peer_of(writer)
    settings = lines.server.settings.astm
    full = lines.stopping or len(lines.open) >= settings.max_connections
    reason = "too many are connected" if full else lines.port.refusal(peer) if lines.port else ""
    if reason:
        _log.warning("An analyzer at %s was refused: %s", peer.host, reason)
        writer.close()
        if not full:
            await lines.note(System("-", "hl7", peer.host), f"The connection was refused: {reason}")
        return
    await _serve(lines, reader, writer, peer.address, _by_connection(lines, peer))


def _by_connection(lines: _Lines, peer: Peer) -> Loaded | None:
    """Return the profile that goes by address or certificate: nothing has been said yet."""
    known = agreements(lines.server).profiles
    claim = Claim(frozenset(), frozenset(), "", "-")
    channel = lines.server.settings.astm.channel
    origin = Origin(channel, peer.address, names=peer.names, fingerprint=peer.fingerprint)
    return attributed(known, claim, origin).profile


async def _serve(
    lines: _Lines,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    peer: str,
    loaded: Loaded | None,
    pinned: str = "-",
) -> None:
    task = asyncio.current_task()
    assert task is not None
    keep_alive(writer.get_extra_info("socket"))
    line = Line("computer", lines.server.settings.astm.max_session_bytes)
    sender = loaded.sender if loaded else ""
    one = Analyzer(lines.server, lines.keeper, reader, writer, peer, line, sender, loaded, pinned)
    lines.open[task] = one
    metrics.astm_connections.inc()
    try:
        await converse(one)
    finally:
        metrics.astm_connections.dec()
        del lines.open[task]
        writer.close()


async def _look(lines: _Lines) -> None:
    """Look again and again for orders to be sent, and for analyzers to connect to."""
    server = lines.server
    agreed = agreements(server)
    while True:
        try:
            await agreed.refresh()
            _dial(lines, list(agreed.profiles.by_sender.values()))
            await _download(lines, list(agreed.profiles.by_sender.values()))
        except (psycopg.Error, SangamError) as error:
            _log.warning("Orders for analyzers were not looked at: %s", type(error).__name__)
        await asyncio.sleep(server.settings.astm.poll_seconds)


async def _download(lines: _Lines, profiles: list[Loaded]) -> None:
    """Queue new orders, and give each line that is free the next of its own."""
    server = lines.server
    wanted = [one for one in profiles if one.name in server.settings.astm.download]
    if not wanted:
        return
    analyzers = [(one, work.zone_of(server, one.profile)) for one in wanted]
    while await downloads.look(server, analyzers):
        pass
    ready = {one.sender: one for one in lines.open.values() if one.sender and one.ready}
    if ready:
        for sender, queued in (await downloads.due(server, ready)).items():
            ready[sender].offer(Outgoing(queued.records, queued.id))


def _dial(lines: _Lines, profiles: list[Loaded]) -> None:
    """Connect to the analyzers that listen, and let go of those that no profile names."""
    wanted = {
        (one.sender, said.address, said.tls, said.plain): one
        for one in profiles
        if lines.server.settings.astm.connect
        and (said := one.profile.astm) is not None
        and said.role == "client"
    }
    for key in lines.dialed.keys() - wanted.keys():
        lines.dialed.pop(key).cancel()
    for key in wanted.keys() - lines.dialed.keys():
        lines.dialed[key] = asyncio.create_task(_connected(lines, key[1], wanted[key]))


async def _connected(lines: _Lines, address: str, loaded: Loaded) -> None:
    """Keep a connection to an analyzer that listens; pauses grow while it does not answer."""
    host, _, port = address.rpartition(":")
    pause = lines.server.settings.astm.poll_seconds
    while not lines.stopping:
        try:
            _check(address, loaded)
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(
                    host.strip("[]"), int(port), ssl=_trusted(loaded)
                )
        except Unprotected as error:
            _log.error("The analyzer %s is not connected to: %s", loaded.sender, error.strerror)
            pause = _LONGEST_PAUSE
        except OSError as error:
            _log.info("No connection to the analyzer at %s: %s", address, type(error).__name__)
            pause = min(_LONGEST_PAUSE, pause * 2)
        else:
            pause = lines.server.settings.astm.poll_seconds
            await _serve(lines, reader, writer, address, loaded, loaded.sender)
        if not lines.stopping:
            await asyncio.sleep(pause)


def _check(address: str, loaded: Loaded) -> None:
    """Raise Unprotected where the line to an analyzer elsewhere would be plain unmeant."""
    said = loaded.profile.astm
    check_protected(
        address.rpartition(":")[0].strip("[]"),
        tls=said is not None and said.tls is not None,
        plain=said is not None and said.plain,
        mend="write [astm.tls], or plain = true for one that cannot do TLS",
    )


def _trusted(loaded: Loaded) -> ssl.SSLContext | None:
    """Return the TLS to an analyzer, None for a plain line; OSError where a file is missing."""
    said = loaded.profile.astm.tls if loaded.profile.astm else None
    if said is None:
        return None
    return client_context(
        ca=said.ca, certificate=said.certificate, key=said.key, check_name=said.check_name
    )
