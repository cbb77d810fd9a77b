"""A sender: messages out over the link protocol, frame by frame."""

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.hl7.astm.frames import split
from adapters.hl7.astm.link import Action, Close, Fault, Keep, Line, Sent, Write
from adapters.hl7.records.files import records

_LONGEST: Final = 16 << 20
_READ: Final = 4096


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a message went: taken whole, or `reason` says why not; `frames` were sent."""

    ok: bool
    reason: str
    frames: int


def send(
    host: str,
    port: int,
    messages: Sequence[bytes],
    longest: int,
    advance: Callable[[], None] = lambda: None,
) -> Iterable[Delivery]:
    """Send each message in a session of its own, as an analyzer does; yield how it went.

    `longest` is the text of a frame; `advance` is called for each frame that was taken.
    OSError when the listener cannot be reached.
    """
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = Line("instrument", _LONGEST)
        for message in messages:
            frames = split(records(message), longest)
            said = _sent(connection, line, frames, advance)
            yield Delivery(said.ok, said.reason, len(frames))


def _sent(
    connection: socket.socket, line: Line, frames: Sequence[bytes], advance: Callable[[], None]
) -> Sent:
    """Work the line until the message is over; what the other side sends is taken and dropped."""
    actions: Iterable[Action] = line.send(frames, time.monotonic())
    while True:
        follows: Iterable[Action] = ()
        for action in actions:
            match action:
                case Write(content):
                    connection.sendall(content)
                    if len(content) > 1 and content != frames[0]:
                        advance()
                case Keep():
                    follows = line.kept(ok=True, now=time.monotonic())
                case Sent():
                    if action.ok:
                        advance()
                    return action
                case Close() | Fault():
                    pass
        actions = follows or _wait(connection, line)


def _wait(connection: socket.socket, line: Line) -> Iterable[Action]:
    now = time.monotonic()
    connection.settimeout(max(0.01, (line.deadline or now + 1) - now))
    try:
        content = connection.recv(_READ)
    except TimeoutError:
        return line.tick(time.monotonic())
    if not content:
        return [Sent(ok=False, reason="The listener hung up")]
    return line.feed(content, time.monotonic())
