"""The MLLP listener: frames in, acknowledgements out, one order on each connection.

HL7 v2 transport: Minimal Lower Layer Protocol,
https://www.hl7.org/implement/standards/product_brief.cfm?product_id=55
"""

import asyncio
import contextlib
import functools
import logging
import socket
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import psycopg

from adapters.hl7 import metrics
from adapters.hl7.inbox.receive import Inbox, Kept
from adapters.hl7.inbox.received import Received
from adapters.hl7.keep_alive import keep_alive
from adapters.hl7.mllp.arrival import Arrival, Desk, answers, code_of
from adapters.hl7.mllp.aside import Aside
from adapters.hl7.mllp.dialogue import Dialogue
from adapters.hl7.mllp.expected import Expected
from adapters.hl7.mllp.framing import Frame, Framer, Kind
from adapters.hl7.mllp.pending import Pending
from adapters.hl7.mllp.port import Peer, Port, peer_of
from adapters.hl7.mllp.unstored import storage_failed
from adapters.hl7.profiles.agreements import Agreements, agreements
from adapters.hl7.profiles.attribution import STRANGERS
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.recorded import system
from fhir_server.audit.noting import Note, noting
from fhir_server.audit.peers import System
from fhir_server.background import end
from fhir_server.channel_settings import Hl7Channel
from fhir_server.errors import Unavailable
from fhir_server.hl7_settings import Hl7Settings
from fhir_server.server import Server

_READ: Final = 64 << 10
_IN_FLIGHT: Final = 1_024
_SILENCE_BEFORE_CLOSE: Final = 10.0
_LAST: Final = frozenset((Kind.OVERSIZE, Kind.CROWDED, Kind.SLOW))
# The commit acknowledgement of MLLP release 2.
_COMMITTED: Final = b"\x0b\x06\x1c\r"
_NOT_COMMITTED: Final = b"\x0b\x15\x1c\r"

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Listener:
    """The state that all connections share."""

    settings: Hl7Settings
    inbox: Inbox
    pending: Pending
    expected: Expected
    agreements: Agreements
    aside: Aside
    port: Port
    note: Note
    dialogue: Dialogue | None = None
    open: dict[asyncio.Task[None], "_Connection"] = field(default_factory=dict)
    peers: Counter[str] = field(default_factory=Counter)
    partial: int = 0
    stopping: bool = False

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.settings.channel


@dataclass(slots=True)
class _Answer:
    """What is owed for one frame, in the order of arrival."""

    arrival: Arrival
    kept: Sequence[asyncio.Future[Kept]]
    last: bool = False


@dataclass(slots=True)
class _Connection:
    """One sender's connection: what it has sent and is owed.

    `partial` are the bytes of its unfinished message as they are counted in all;
    `given_up` is what became of that message when there was no more room for it.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    desk: Desk
    framer: Framer
    answers: asyncio.Queue[_Answer | None]
    unanswered: deque[_Answer] = field(default_factory=deque)
    began: float = 0.0
    partial: int = 0
    given_up: Sequence[Frame] = ()


async def serve(
    server: Server,
    sock: socket.socket,
    stop: asyncio.Event,
    channel: Hl7Channel | None = None,
    dialogue: Dialogue | None = None,
) -> None:
    """Take MLLP connections on a listening socket until `stop` is set.

    Whole frames are then stored and answered before the connections close. Without a
    `channel` it is the plain port of the settings. OSError where the files of its TLS
    cannot be used.
    """
    settings = server.settings.hl7.of(channel.name) if channel else server.settings.hl7
    tls = channel.tls if channel else None
    port = Port(sock, settings.channel, settings.allow_hosts, tls, settings.plain_from)
    shared = _Listener(
        settings,
        Inbox(server.database, settings.channel),
        Pending(server.database, settings.channel),
        Expected(server.database, settings.channel),
        agreements(server),
        Aside(settings.max_unstored_bytes),
        port,
        noting(server),
        dialogue,
    )

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _accepted(shared, reader, writer)

    async def failed(host: str, why: str) -> None:
        metrics.refused_connections.labels(shared.name).inc()
        await shared.note(System("-", "hl7", host), why)

    try:
        await port.open(accepted, failed)
    except OSError:
        port.close()
        raise
    tasks = [
        asyncio.create_task(work)
        for work in (
            shared.inbox.run(),
            shared.pending.run(),
            port.follow(),
        )
    ]
    try:
        await stop.wait()
    finally:
        port.close()
        await _drain(shared)
        await end(tasks)


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
    peer = peer_of(writer)
    reason = _refusal(shared, peer)
    if reason:
        _log.warning("MLLP connection of %s to %s refused: %s", peer.host, shared.name, reason)
        metrics.refused_connections.labels(shared.name).inc()
        # At once: a stranger would hold it for as long as the database does not answer.
        writer.close()
        if why := shared.port.refusal(peer):
            await shared.note(System("-", "hl7", peer.host), f"The connection was refused: {why}")
        return
    task = asyncio.current_task()
    assert task is not None
    keep_alive(writer.get_extra_info("socket"))
    settings = shared.settings
    origin = Origin(shared.name, peer.address, settings.sender, peer.names, peer.fingerprint)
    numbers = shared.expected.numbers
    speaks = shared.dialogue is not None
    desk = Desk(settings, origin, shared.agreements.profiles, numbers, dialogue=speaks)
    framer = Framer(settings.max_message_bytes)
    connection = _Connection(reader, writer, desk, framer, asyncio.Queue(_IN_FLIGHT))
    shared.open[task] = connection
    shared.peers[peer.host] += 1
    metrics.connections.inc()
    try:
        await _converse(shared, connection)
    finally:
        shared.partial -= connection.partial
        metrics.connections.dec()
        shared.peers[peer.host] -= 1
        del shared.open[task]


def _refusal(shared: _Listener, peer: Peer) -> str:
    """Return why a connection is not taken, "" where it is."""
    settings = shared.settings
    if shared.stopping or len(shared.open) >= settings.max_connections:
        return "too many"
    if shared.peers[peer.host] >= settings.max_connections_per_peer:
        return "too many of this address"
    return shared.port.refusal(peer)


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
        for answer in connection.unanswered:
            _leave(shared, answer)
        connection.writer.close()
        with contextlib.suppress(ConnectionError, TimeoutError):
            await connection.writer.wait_closed()


def _leave(shared: _Listener, answer: _Answer) -> None:
    """Let another connection of the sender have what this one did not live to be owed."""
    for received, kept in zip(answer.arrival.received, answer.kept, strict=True):
        if received.ack_mode == "enhanced":
            kept.add_done_callback(functools.partial(_left, shared.pending, received.sender))


def _left(pending: Pending, sender: str, kept: asyncio.Future[Kept]) -> None:
    if not kept.cancelled() and kept.exception() is None:
        pending.look(sender)


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
        await shared.aside.room.wait()
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
        _log.warning(
            "MLLP message of %s given up: too many bytes are unfinished", largest.desk.origin.peer
        )
        largest.given_up = largest.framer.give_up(Kind.CROWDED)
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
        await _submit(shared, connection, framer.give_up(Kind.SLOW))
    return False


async def _submit(shared: _Listener, connection: _Connection, frames: Sequence[Frame]) -> None:
    if not frames:
        return
    await _refresh(shared, connection)
    now = datetime.now(UTC)
    for frame in frames:
        if frame.kind is not Kind.WHOLE:
            metrics.frame_errors.labels(frame.kind.value).inc()
        arrived = await shared.aside.arrival(frame, connection.desk, now)
        kept = _in_line(shared, arrived.received, connection.desk.origin.peer)
        answer = _Answer(arrived, kept, frame.kind in _LAST)
        connection.unanswered.append(answer)
        await connection.answers.put(answer)


async def _refresh(shared: _Listener, connection: _Connection) -> None:
    """Bring up to date what the checks go by; what cannot be read stays as it was."""
    if shared.settings.profiles_dir:
        with contextlib.suppress(psycopg.OperationalError, Unavailable):
            await shared.agreements.refresh()
        connection.desk.profiles = shared.agreements.profiles
    if shared.settings.sequence:
        await shared.expected.load()


def _in_line(shared: _Listener, rows: Sequence[Received], peer: str) -> list[asyncio.Future[Kept]]:
    limit = shared.settings.max_unstored_bytes
    return [
        shared.inbox.submit(received, peer, limit, follows=index > 0)
        for index, received in enumerate(rows)
    ]


async def _answer_all(shared: _Listener, connection: _Connection) -> None:
    """Send what is owed, in the order in which it was asked for."""
    while (answer := await connection.answers.get()) is not None:
        try:
            kept = await _all_kept(answer.kept)
        except Unavailable:
            shared.expected.forget()
            await _unstored(shared, connection, answer)
            return
        await _answer(shared, connection, answer.arrival, kept)
        connection.unanswered.popleft()
        if answer.last:
            return


async def _all_kept(kept: Sequence[asyncio.Future[Kept]]) -> list[Kept]:
    """Wait for all rows of a frame; Unavailable where one could not be stored."""
    if len(kept) == 1:
        return [await kept[0]]
    found = await asyncio.gather(*kept, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return [one for one in found if isinstance(one, Kept)]


async def _answer(
    shared: _Listener, connection: _Connection, arrived: Arrival, kept: Sequence[Kept]
) -> None:
    if shared.settings.mllp_release == 2 and not _is_leftover(arrived):  # noqa: PLR2004
        connection.writer.write(_COMMITTED)
    acks = [await _ack(shared, one, row) for one, row in zip(arrived.received, kept, strict=True)]
    for text in answers(arrived, acks, shared.settings, datetime.now(UTC)):
        connection.writer.write(b"\x0b" + text + b"\x1c\r")
    for ack in filter(None, acks):
        metrics.acknowledged.labels(code_of(ack)).inc()
    await connection.writer.drain()
    for one, row in zip(arrived.received, kept, strict=True):
        if one.ack_mode == "enhanced" and one.state == "stored":
            shared.pending.owe(row.id, one.sender, connection.writer)
        if shared.dialogue is not None and one.ack_mode in {"query", "reply"}:
            await _speak(shared.dialogue, connection, one)
        if one.reason in STRANGERS and one.state != "stored":
            who = system(one.sender, connection.desk.origin)
            await shared.note(who, f"A message was refused: {one.reason}")


async def _speak(dialogue: Dialogue, connection: _Connection, received: Received) -> None:
    """Answer a query or take a reply, and send what is next on this connection.

    What the end of the process cuts off here is asked, or sent, again.
    """
    writer, origin = connection.writer, connection.desk.origin
    if received.ack_mode == "query":
        answer = await dialogue.answer(received, origin)
        writer.write(b"\x0b" + answer + b"\x1c\r")
        metrics.acknowledged.labels(code_of(answer)).inc()
    else:
        await dialogue.replied(received, origin)
    following = await dialogue.following(received.sender, origin)
    if following is not None:
        writer.write(b"\x0b" + following + b"\x1c\r")
    await writer.drain()


def _is_leftover(arrived: Arrival) -> bool:
    """Whether the bytes were no frame, so that nobody awaits anything."""
    return all(one.control_id is None and one.ack is None for one in arrived.received)


async def _ack(shared: _Listener, received: Received, kept: Kept) -> bytes | None:
    if kept.ack is None and received.ack_mode == "committed":
        return await shared.pending.outcome(kept.id)
    return kept.ack


async def _unstored(shared: _Listener, connection: _Connection, answer: _Answer) -> None:
    """Say nothing positive of what is not on disk: silence, or a rejection."""
    if shared.settings.mllp_release == 2:  # noqa: PLR2004
        connection.writer.write(_NOT_COMMITTED)
    if shared.settings.on_store_failure == "reject":
        now = datetime.now(UTC)
        rejections = [storage_failed(one, connection.desk, now) for one in answer.arrival.received]
        for text in answers(answer.arrival, rejections, shared.settings, now):
            connection.writer.write(b"\x0b" + text + b"\x1c\r")
        metrics.acknowledged.labels("AR").inc(len([one for one in rejections if one]))
        await connection.writer.drain()
        if any(rejections):
            return
    await asyncio.sleep(_SILENCE_BEFORE_CLOSE)
