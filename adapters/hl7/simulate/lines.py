"""The lines of imagined analyzers to a listener: MLLP and ASTM."""

import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from adapters.hl7.astm.frames import LONGEST, split
from adapters.hl7.astm.link import Action, Close, Fault, Keep, Line, Sent, Write
from adapters.hl7.records.files import records
from adapters.hl7.simulate.orders import accepted

_READ: Final = 65_536
_LONGEST_SESSION: Final = 16 << 20
_FRAME: Final = min(240, LONGEST)


@dataclass(frozen=True, slots=True)
class Reply:
    """Whether a message was taken, what was said, and how many orders came for a query."""

    ok: bool
    text: str
    orders: int = 0


class Talking(Protocol):
    """One line of one analyzer."""

    def tell(self, message: bytes) -> Reply:
        """Send results; return the answer. OSError where the line breaks."""

    def ask(self, query: bytes) -> Reply:
        """Send a query and take the orders that follow."""

    def close(self) -> None:
        """Hang up."""


class Mllp:
    """A line of HL7 v2 over MLLP."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self._seconds = seconds
        self._socket = socket.create_connection((host, port), timeout=seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = b""

    def tell(self, message: bytes) -> Reply:
        """Send a message; it is taken where MSA-1 is AA or CA."""
        self._put(message)
        return _reply(self._block(self._seconds))

    def ask(self, query: bytes) -> Reply:
        """Send a query; orders that follow on this line are accepted (LAB-28)."""
        first = self.tell(query)
        orders = 0
        while first.ok and (block := self._more()):
            if block.startswith(b"MSH") and b"|OML^O33" in block.split(b"\r", 1)[0]:
                self._put(accepted(block))
                orders += sum(line.startswith(b"ORC|NW") for line in block.split(b"\r"))
        return Reply(first.ok, first.text, orders)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _put(self, message: bytes) -> None:
        self._socket.sendall(b"\x0b" + message + b"\x1c\r")

    def _more(self) -> bytes:
        try:
            return self._block(min(1.0, self._seconds))
        except TimeoutError:
            return b""

    def _block(self, seconds: float) -> bytes:
        end = time.monotonic() + seconds
        while b"\x1c\r" not in self._input:
            self._socket.settimeout(max(0.001, end - time.monotonic()))
            piece = self._socket.recv(_READ)
            if not piece:
                raise ConnectionError("the listener hung up")
            self._input += piece
        block, _, self._input = self._input.partition(b"\x1c\r")
        return block[block.find(b"\x0b") + 1 :]


def _reply(block: bytes) -> Reply:
    for line in block.split(b"\r"):
        if line.startswith(b"MSA"):
            fields = line.decode("utf-8", "replace").split("|")
            code = fields[1] if len(fields) > 1 else ""
            text = fields[3] if len(fields) > 3 else ""  # noqa: PLR2004  (MSA-3)
            return Reply(code in {"AA", "CA"}, " ".join(filter(None, (code, text))))
    return Reply(ok=False, text="an answer without MSA")


class Astm:
    """A line of ASTM, of which the instrument is this side."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self._seconds = seconds
        self._socket = socket.create_connection((host, port), timeout=seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._line = Line("instrument", _LONGEST_SESSION)
        self._kept: list[bytes] = []

    def tell(self, message: bytes) -> Reply:
        """Send a message in a session; it is taken where each frame is."""
        frames = split(records(message), _FRAME)
        actions = self._line.send(frames, time.monotonic())
        for action in self._act(actions, time.monotonic() + self._seconds):
            if isinstance(action, Sent):
                return Reply(action.ok, action.reason or "taken")
        return Reply(ok=False, text="no answer in time")

    def ask(self, query: bytes) -> Reply:
        """Send a query and wait for the session that answers it."""
        first = self.tell(query)
        if not first.ok:
            return first
        self._kept = []
        for action in self._act((), time.monotonic() + self._seconds):
            if isinstance(action, Close):
                found = b"".join(self._kept).split(b"\r")
                orders = sum(one.startswith(b"O|") for one in found)
                return Reply(action.complete, action.reason or "answered", orders)
        return Reply(ok=False, text="the query was not answered in time")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _act(self, actions: Iterable[Action], end: float) -> Iterator[Action]:
        """Carry out what the line wants until `end`; yield what is over."""
        while True:
            follows: Iterable[Action] = ()
            for action in actions:
                match action:
                    case Write(content):
                        self._socket.sendall(content)
                    case Keep(frame):
                        self._kept.append(frame.text)
                        follows = self._line.kept(ok=True, now=time.monotonic())
                    case Sent() | Close():
                        yield action
                    case Fault():
                        pass
            if not follows and time.monotonic() >= end:
                return
            actions = follows or self._wait(end)

    def _wait(self, end: float) -> Iterable[Action]:
        now = time.monotonic()
        until = min(end, self._line.deadline or end)
        self._socket.settimeout(max(0.001, until - now))
        try:
            content = self._socket.recv(_READ)
        except TimeoutError:
            return self._line.tick(time.monotonic())
        if not content:
            raise ConnectionError("the listener hung up")
        return self._line.feed(content, time.monotonic())
