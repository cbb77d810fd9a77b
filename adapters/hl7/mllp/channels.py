"""The MLLP channels of a server: each runs unless an operator stopped it."""

import asyncio
import errno
import functools
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import psycopg

from adapters.hl7.mllp import listener
from adapters.hl7.mllp.dialogue import Dialogue
from fhir_server.channel_settings import Hl7Channel
from fhir_server.database import Connection
from fhir_server.errors import Unavailable
from fhir_server.server import Server

_LOOK_SECONDS: Final = 1.0
_BEGIN_SECONDS: Final = 0.2
_NOTED_SECONDS: Final = 10.0
_BACKLOG: Final = 2_048

_log = logging.getLogger(__name__)

_STOPPED: Final = "SELECT name FROM hl7_channel WHERE stopped"
_SEEN: Final = """
INSERT INTO hl7_channel (name, state, port, detail, seen_at)
SELECT name, state, port, detail, now()
FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[]) AS g(name, state, port, detail)
ON CONFLICT (name) DO UPDATE SET state = excluded.state, port = excluded.port,
    detail = excluded.detail, seen_at = excluded.seen_at
"""
_WANT: Final = """
INSERT INTO hl7_channel (name, stopped, stopped_by, stopped_at) VALUES (%s, %s, %s, now())
ON CONFLICT (name) DO UPDATE SET stopped = excluded.stopped,
    stopped_by = excluded.stopped_by, stopped_at = excluded.stopped_at
WHERE hl7_channel.stopped <> excluded.stopped
"""
_LIST: Final = """
SELECT name, stopped, coalesce(state, ''), port, coalesce(detail, ''), seen_at
FROM hl7_channel ORDER BY name
"""


State = tuple[str, int | None, str]
"""`listening`, `stopped`, `failed` or `ended`; the port; the reason of a failure."""


@dataclass(slots=True)
class _Channel:
    """One channel and its listener while it runs; `sock` is one that somebody else bound."""

    name: str
    said: Hl7Channel | None
    sock: socket.socket | None
    running: asyncio.Task[None] | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    state: State = ("", None, "")


@dataclass(slots=True)
class _Noted:
    """What was last written of the channels, and when."""

    states: Sequence[State] = ()
    at: float = 0.0


async def serve(
    server: Server,
    listening: socket.socket | None,
    stop: asyncio.Event,
    dialogue: Dialogue | None = None,
) -> None:
    """Run all channels until `stop` is set, and start and stop them as operators want.

    `listening` is the plain port, None where that is switched off; `dialogue` answers
    queries. A channel that cannot listen is tried again; its state says why.
    """
    channels = _channels(server, listening)
    noted = _Noted()
    while not stop.is_set():
        stopped = await _stopped(server)
        if stopped is not None:
            for one in channels:
                await _adjust(server, one, dialogue, wanted=one.name not in stopped)
        await _note(server, channels, noted)
        await _pause(stop)
    await asyncio.gather(*(_end(one) for one in channels))
    for one in channels:
        one.state = ("ended", None, "")
    if listening is not None:
        listening.close()
    await _note(server, channels, noted)


def _channels(server: Server, listening: socket.socket | None) -> list[_Channel]:
    settings = server.settings.hl7
    found = [_Channel(one.name, one, None) for one in settings.channels]
    return found if listening is None else [_Channel(settings.channel, None, listening), *found]


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            await stop.wait()
    except TimeoutError:
        return


async def _stopped(server: Server) -> set[str] | None:
    """Return the channels that are stopped; None where that cannot be read: all stays."""
    try:
        async with server.database.connection() as connection:
            cursor = await connection.execute(_STOPPED)
            return {name for (name,) in await cursor.fetchall()}
    except (psycopg.OperationalError, Unavailable):
        return None


async def _adjust(
    server: Server, channel: _Channel, dialogue: Dialogue | None, *, wanted: bool
) -> None:
    """Start or stop a channel, if it is not as it is wanted."""
    if channel.running is not None and channel.running.done():
        await _end(channel)
    if not wanted and channel.state[0] != "stopped":
        await _end(channel)
        channel.state = ("stopped", None, "")
        _log.info("Channel %s is stopped", channel.name)
        if channel.sock is not None:
            _run(channel, functools.partial(_closed_door, channel.sock))
    elif wanted and channel.state[0] != "listening":
        await _end(channel)
        await _start(server, channel, dialogue)


async def _start(server: Server, channel: _Channel, dialogue: Dialogue | None) -> None:
    try:
        sock = channel.sock.dup() if channel.sock else _bind(server, channel.said)
    except OSError as error:
        _fail(channel, os.strerror(error.errno) if error.errno else str(error))
        return
    _run(channel, lambda stop: listener.serve(server, sock, stop, channel.said, dialogue))
    assert channel.running is not None
    # A listener that cannot begin (its certificate is missing) ends at once.
    await asyncio.wait((channel.running,), timeout=_BEGIN_SECONDS)
    if channel.running.done():
        sock.close()
        await _end(channel)
        return
    channel.state = ("listening", sock.getsockname()[1], "")
    _log.info("Channel %s listens on port %d", channel.name, channel.state[1])


def _bind(server: Server, said: Hl7Channel | None) -> socket.socket:
    if said is None:
        raise OSError(errno.EADDRNOTAVAIL, "no port")
    host = said.host or server.settings.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, said.port), family=family, backlog=_BACKLOG)


async def _closed_door(sock: socket.socket, stop: asyncio.Event) -> None:
    """Hang up on who comes: the kernel would let them wait on a port that stays bound."""

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    door = await asyncio.start_server(refuse, sock=sock.dup())
    try:
        await stop.wait()
    finally:
        door.close()


def _run(channel: _Channel, work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    channel.stop = asyncio.Event()
    channel.running = asyncio.create_task(_reported(channel, work(channel.stop)))


async def _reported(channel: _Channel, work: Awaitable[None]) -> None:
    """Let a channel that fails take none of the others with it."""
    try:
        await work
    except OSError as error:
        _fail(channel, error.strerror or type(error).__name__)
    except Exception:  # noqa: BLE001  (the next look starts it again)
        _log.exception("Channel %s ended by an error", channel.name)
        _fail(channel, "ended by an error")


def _fail(channel: _Channel, reason: str) -> None:
    if channel.state != ("failed", None, reason):
        _log.error("Channel %s cannot listen: %s", channel.name, reason)
    channel.state = ("failed", None, reason)


async def _end(channel: _Channel) -> None:
    """Let a channel answer what it has read, and wait for that."""
    if channel.running is not None:
        channel.stop.set()
        await channel.running
        channel.running = None


async def _note(server: Server, channels: Sequence[_Channel], noted: _Noted) -> None:
    """Write the states where operators see them: when one is new, and now and then."""
    now = asyncio.get_running_loop().time()
    found = [one.state for one in channels]
    if not found or (found == noted.states and now - noted.at < _NOTED_SECONDS):
        return
    columns = [list(column) for column in zip(*found, strict=True)]
    try:
        async with server.database.statement() as connection:
            await connection.execute(_SEEN, ([one.name for one in channels], *columns))
    except (psycopg.OperationalError, Unavailable):
        _log.warning("The states of channels cannot be written now")
    else:
        noted.states, noted.at = found, now


async def want(connection: Connection, name: str, *, stopped: bool, by: str) -> None:
    """Say whether a channel is to run; its listener follows within seconds."""
    await connection.execute(_WANT, (name, stopped, by))


async def states(connection: Connection) -> list[dict[str, object]]:
    """Return name, stopped, state, port, detail and seen_at of each channel that ever ran."""
    cursor = await connection.execute(_LIST)
    columns = ("name", "stopped", "state", "port", "detail", "seen_at")
    return [dict(zip(columns, row, strict=True)) for row in await cursor.fetchall()]
