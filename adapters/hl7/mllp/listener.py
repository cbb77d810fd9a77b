"""The MLLP listener: frames in, acknowledgements out, one order on each connection.

HL7 v2 transport: Minimal Lower Layer Protocol,
https://www.hl7.org/implement/standards/product_brief.cfm?product_id=55
"""

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from adapters.hl7 import metrics
from adapters.hl7.inbox.receive import Inbox, Kept
from adapters.hl7.inbox.received import Received
from adapters.hl7.mllp import pending
from adapters.hl7.mllp.examine import examine
from adapters.hl7.mllp.framing import Frame, Framer, Kind
from adapters.hl7.mllp.unstored import storage_failed
from fhir_server.config import Hl7Settings
from fhir_server.errors import Unavailable
from fhir_server.server import Server

_READ: Final = 64 << 10
_IN_FLIGHT: Final = 1_024
_SILENCE_BEFORE_CLOSE: Final = 10.0
_LAST: Final = frozenset((Kind.OVERSIZE, Kind.CROWDED))
_KEEP_ALIVE: Final = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 10),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 6),
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Listener:
    """The state that all connections share."""

    settings: Hl7Settings
    inbox: Inbox
    pending: pending.Pending
    open: dict[asyncio.Task[None], "_Connection"] = field(default_factory=dict)
    peers: Counter[str] = field(default_factory=Counter)
    partial: int = 0
    stopping: bool = False


@dataclass(slots=True)
class _Answer:
    """What is owed for one message, in the order of arrival."""

    received: Received
    kept: asyncio.Future[Kept]
    last: bool = False


@dataclass(slots=True)
class _Connection:
    """One sender's connection: what it has sent and is owed.

    `partial` are the bytes of its unfinished message as they are counted in all;
    `given_up` is what became of that message when there was no more room for it.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    peer: str
    framer: Framer
    answers: asyncio.Queue[_Answer | None]
    began: float = 0.0
    partial: int = 0
    given_up: Sequence[Frame] = ()


async def serve(server: Server, sock: socket.socket, stop: asyncio.Event) -> None:
    """Take MLLP connections on a listening socket until `stop` is set.

    Whole frames are then stored and answered before the connections close.
    """
    settings = server.settings.hl7
    inbox = Inbox(server.database, settings.channel)
    waiting = pending.Pending(server.database)
    shared = _Listener(settings, inbox, waiting)
    tasks = [asyncio.create_task(inbox.run()), asyncio.create_task(waiting.run())]

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _accepted(shared, reader, writer)

    listening = await asyncio.start_server(accepted, sock=sock, limit=4 * _READ)
    try:
        await stop.wait()
    finally:
        listening.close()
        await _drain(shared)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _drain(shared: _Listener) -> None:
    """Let each connection finish what it has read, within the time that is set."""
    shared.stopping = True
    for connection in shared.open.values():
        _stop_reading(connection)
    if shared.open:
        _, late = await asyncio.wait(shared.open, timeout=shared.settings.stop_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


async def _accepted(
    shared: _Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    address = writer.get_extra_info("peername") or ("-",)
    host, peer = str(address[0]), ":".join(map(str, address[:2]))
    settings = shared.settings
    full = len(shared.open) >= settings.max_connections
    if shared.stopping or full or shared.peers[host] >= settings.max_connections_per_peer:
        _log.warning("MLLP connection of %s refused: too many", host)
        writer.close()
        return
    task = asyncio.current_task()
    assert task is not None
    _keep_alive(writer.get_extra_info("socket"))
    connection = _Connection(
        reader, writer, peer, Framer(settings.max_message_bytes), asyncio.Queue(_IN_FLIGHT)
    )
    shared.open[task] = connection
    shared.peers[host] += 1
    metrics.connections.inc()
    try:
        await _converse(shared, connection)
    finally:
        shared.partial -= connection.partial
        metrics.connections.dec()
        shared.peers[host] -= 1
        del shared.open[task]


def _keep_alive(sock: socket.socket | None) -> None:
    for level, name, value in _KEEP_ALIVE:
        option = getattr(socket, name, None)
        if sock is not None and option is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(level, option, value)


async def _converse(shared: _Listener, connection: _Connection) -> None:
    """Read until the sender is done, and answer beside that; either may end it."""
    reading = asyncio.create_task(_read_all(shared, connection))
    answering = asyncio.create_task(_answer_all(shared, connection))
    try:
        await asyncio.wait((reading, answering), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done() and not _failed(reading):
            await asyncio.wait((answering,))
    finally:
        for task in (reading, answering):
            task.cancel()
        for ended in await asyncio.gather(reading, answering, return_exceptions=True):
            _report(ended)
        shared.pending.forget(connection.writer)
        connection.writer.close()
        with contextlib.suppress(ConnectionError, TimeoutError):
            await connection.writer.wait_closed()


def _failed(task: asyncio.Task[None]) -> bool:
    return task.cancelled() or task.exception() is not None


def _report(ended: BaseException | None) -> None:
    """Log what no sender should be able to cause."""
    if isinstance(ended, Exception) and not isinstance(ended, (ConnectionError, TimeoutError)):
        _log.error("A MLLP connection ended by an error", exc_info=ended)


async def _read_all(shared: _Listener, connection: _Connection) -> None:
    """Submit what the sender says, until it ends, breaks off or goes over a limit."""
    framer = connection.framer
    loop = asyncio.get_running_loop()
    while not framer.closed:
        _count(shared, connection)
        await shared.inbox.room.wait()
        try:
            data = await _read(shared.settings, connection)
        except TimeoutError:
            if await _silent(shared, connection):
                continue
            break
        if framer.closed:  # to make room, while this was waiting
            break
        if not data:
            await _submit(shared, connection, framer.end())
            break
        was_inside = framer.in_message
        frames = framer.feed(data)
        _make_room(shared, connection)
        if framer.in_message and (frames or not was_inside):
            connection.began = loop.time()
        await _submit(shared, connection, frames)
    await _submit(shared, connection, connection.given_up)
    await connection.answers.put(None)


def _make_room(shared: _Listener, connection: _Connection) -> None:
    """Count what a read has left unfinished; when it is too much in all, give up the largest."""
    _count(shared, connection)
    while shared.partial > shared.settings.max_partial_bytes:
        largest = max(shared.open.values(), key=lambda one: one.partial)
        _log.warning("MLLP message of %s given up: too many bytes are unfinished", largest.peer)
        largest.given_up = largest.framer.crowd()
        _count(shared, largest)
        if largest is not connection:
            _stop_reading(largest)


def _count(shared: _Listener, connection: _Connection) -> None:
    shared.partial += connection.framer.held - connection.partial
    connection.partial = connection.framer.held


def _stop_reading(connection: _Connection) -> None:
    """Let a connection see the end of what it is sent."""
    with contextlib.suppress(RuntimeError):  # reading has ended already
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    connection.reader.feed_eof()


async def _read(settings: Hl7Settings, connection: _Connection) -> bytes:
    """Return the next bytes, b"" at the end; TimeoutError after the silence that matters now."""
    framer = connection.framer
    if framer.awaits_cr:
        patience: float | None = settings.fs_grace_seconds
    elif framer.in_message:
        spent = asyncio.get_running_loop().time() - connection.began
        patience = max(0.0, settings.message_seconds - spent)
    else:
        patience = settings.idle_seconds or None
    if patience is None:
        return await connection.reader.read(_READ)
    async with asyncio.timeout(patience):
        return await connection.reader.read(_READ)


async def _silent(shared: _Listener, connection: _Connection) -> bool:
    """Act on silence; return whether the connection goes on."""
    framer = connection.framer
    if framer.awaits_cr:
        await _submit(shared, connection, framer.silence())
        return True
    if framer.in_message:
        await _submit(shared, connection, framer.end())
    return False


async def _submit(shared: _Listener, connection: _Connection, frames: Sequence[Frame]) -> None:
    now = datetime.now(UTC)
    for frame in frames:
        if frame.kind is not Kind.WHOLE:
            metrics.frame_errors.labels(frame.kind.value).inc()
        received = examine(frame, shared.settings, now)
        limit = shared.settings.max_unstored_bytes
        kept = shared.inbox.submit(received, connection.peer, limit)
        await connection.answers.put(_Answer(received, kept, frame.kind in _LAST))


async def _answer_all(shared: _Listener, connection: _Connection) -> None:
    """Send what is owed, in the order in which it was asked for."""
    while (answer := await connection.answers.get()) is not None:
        try:
            kept = await answer.kept
        except Unavailable:
            await _unstored(shared, connection, answer)
            return
        ack = kept.ack
        if ack is None and answer.received.ack_mode == "committed":
            ack = await shared.pending.outcome(kept.id)
        if ack is not None:
            await _send(connection.writer, ack)
        if answer.received.ack_mode == "enhanced" and answer.received.state == "stored":
            shared.pending.owe(kept.id, connection.writer)
        if answer.last:
            return


async def _send(writer: asyncio.StreamWriter, ack: bytes) -> None:
    writer.write(b"\x0b" + ack + b"\x1c\r")
    metrics.acknowledged.labels(_code(ack)).inc()
    await writer.drain()


def _code(ack: bytes) -> str:
    """Return MSA-1 of an acknowledgement that this server wrote."""
    at = ack.find(b"\rMSA") + 5
    return ack[at : at + 2].decode("ascii", "replace")


async def _unstored(shared: _Listener, connection: _Connection, answer: _Answer) -> None:
    """Say nothing positive of what is not on disk: silence, or a rejection."""
    if shared.settings.on_store_failure == "reject":
        ack = storage_failed(answer.received, shared.settings, datetime.now(UTC))
        if ack is not None:
            await _send(connection.writer, ack)
            return
    await asyncio.sleep(_SILENCE_BEFORE_CLOSE)
