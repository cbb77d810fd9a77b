"""One line as a state machine: sessions that come, sessions that go, and who may begin.

It does no I/O and has no clock: bytes and moments go in, what is to be done comes out.

CLSI LIS01-A2 (ASTM E1381), section 6: https://clsi.org/shop/standards/lis01/
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from adapters.hl7.astm.frames import (
    ACK,
    CR,
    ENQ,
    EOT,
    ETB,
    ETX,
    LF,
    LONGEST,
    NAK,
    STX,
    BadFrame,
    Frame,
    read,
)

REPLY_SECONDS: Final = 15.0
"""Time for the answer to ENQ and to each frame (6.5.2.1, 6.5.2.3)."""
SILENCE_SECONDS: Final = 30.0
"""Time without a frame or EOT after which a receiver takes the line as idle (6.5.2.4)."""
BUSY_SECONDS: Final = 10.0
"""Pause after the answer NAK to ENQ (6.2.3)."""
INTERRUPT_SECONDS: Final = 15.0
"""Pause after a receiver asked for the line by EOT (6.3.5)."""
TRIES: Final = 6
"""How often a frame is sent (6.3.4), and a line is asked for."""
CONTENTION_SECONDS: Final = {"computer": 20.0, "instrument": 1.0}
"""Pause after both sides sent ENQ: the instrument goes first (6.2.7.1)."""

Role = Literal["computer", "instrument"]

# FN, the text, ETB or ETX and two digits.
_LONGEST_BODY: Final = LONGEST + 4


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes go to the line."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Keep:
    """A good frame is to be made durable; the line waits for `Line.kept`."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Close:
    """A session ended: `complete` by EOT after a whole message, else `reason` says how."""

    complete: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was to be sent is over: every frame was taken, or `reason` says why not."""

    ok: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A finding that is counted: a damaged frame, a strange byte, a NAK."""

    kind: str


Action = Write | Keep | Close | Sent | Fault


class State(Enum):
    """Where the line stands."""

    NEUTRAL = "neutral"
    RECEIVING = "receiving"
    KEEPING = "keeping"
    CALLING = "calling"
    SENDING = "sending"


class Line:
    """Both directions of one line.

    `role` decides who yields when both begin; `longest` bytes is what one session may
    bring; while `busy`, no session may begin.
    """

    def __init__(self, role: Role, longest: int) -> None:
        self.state = State.NEUTRAL
        self.busy = False
        self.deadline: float | None = None
        self._role = role
        self._longest = longest
        self._input = bytearray()
        self._body: bytearray | None = None
        self._ending = 0
        self._expected = 1
        self._last: Frame | None = None
        self._pending: Frame | None = None
        self._bytes = 0
        self._frames: Sequence[bytes] = ()
        self._place = 0
        self._tries = 0
        self._calls = 0
        self._hold = 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing is being received or sent, and nothing waits to be."""
        return self.state is State.NEUTRAL and not self._frames

    def feed(self, content: bytes, now: float) -> Iterator[Action]:
        """Take bytes of the line. Take all actions: the machine moves as they are taken."""
        self._input += content
        yield from self._work(now)

    def kept(self, *, ok: bool, now: float) -> Iterator[Action]:
        """Say whether the frame of the last Keep is durable: only then is it acknowledged."""
        assert self.state is State.KEEPING
        self.state = State.RECEIVING
        self.deadline = now + SILENCE_SECONDS
        frame, self._pending = self._pending, None
        if ok:
            assert frame is not None
            self._last, self._expected = frame, (frame.number + 1) % 8
            self._bytes += len(frame.text)
            yield Write(b"\x06")
        else:
            yield from self._refuse("unstored")
        yield from self._work(now)

    def send(self, frames: Sequence[bytes], now: float) -> Iterator[Action]:
        """Send a message as soon as the line is free; Sent tells how it went."""
        assert not self._frames, "one message at a time"
        self._frames, self._place, self._tries, self._calls = frames, 0, 0, 0
        yield from self._call(now)

    def tick(self, now: float) -> Iterator[Action]:
        """Act on the time that has passed."""
        if self.deadline is None or now < self.deadline:
            return
        self.deadline = None
        match self.state:
            case State.RECEIVING:
                yield Fault("silence")
                yield from self._close(now, "No frame came in time")
            case State.CALLING | State.SENDING:
                yield Fault("timeout")
                yield Write(b"\x04")
                yield from self._give_up("No answer came in time")
            case State.NEUTRAL:
                yield from self._call(now)

    def lost(self) -> Iterator[Action]:
        """Say that the line is gone."""
        if self.state in {State.RECEIVING, State.KEEPING}:
            yield from self._close(0.0, "The connection ended")
        if self._frames:
            self._frames = ()
            yield Sent(ok=False, reason="The connection ended")
        self.state = State.NEUTRAL

    def _work(self, now: float) -> Iterator[Action]:
        """Read what has come, up to a frame that must first be durable."""
        while self._input and self.state is not State.KEEPING:
            if self._body is not None:
                yield from self._frame(now)
            else:
                byte = self._input.pop(0)
                match self.state:
                    case State.RECEIVING:
                        yield from self._between(byte, now)
                    case State.NEUTRAL:
                        yield from self._neutral(byte, now)
                    case _:
                        yield from self._answered(byte, now)

    def _neutral(self, byte: int, now: float) -> Iterator[Action]:
        if byte != ENQ:
            # EOT ends a session that is over already, or was never one: a keep-alive.
            if byte not in {EOT, CR, LF, ACK, NAK}:
                yield Fault("junk")
        elif self.busy:
            yield Write(b"\x15")
        else:
            self._open(now)
            yield Write(b"\x06")

    def _open(self, now: float) -> None:
        self.state = State.RECEIVING
        self._expected, self._last, self._body, self._bytes = 1, None, None, 0
        self.deadline = now + SILENCE_SECONDS

    def _between(self, byte: int, now: float) -> Iterator[Action]:
        """A byte in a session, outside of a frame."""
        if byte == STX:
            self._body, self._ending = bytearray(), 0
        elif byte == EOT:
            last = self._last
            whole = last is None or last.final
            yield from self._close(now, "" if whole else "EOT came inside a message")
        elif byte == ENQ:
            # The sender began anew: what it did not end is not to be believed.
            yield from self._close(now, "ENQ came before EOT")
            yield from self._neutral(byte, now)
        elif byte not in {CR, LF}:
            yield Fault("junk")

    def _frame(self, now: float) -> Iterator[Action]:
        """Gather a frame; each byte is looked at once."""
        body = self._body
        assert body is not None
        while self._input:
            byte = self._input[0]
            if not self._ending and byte not in _SPECIAL:
                body += self._plain()
                continue
            del self._input[0]
            if byte == STX:
                yield Fault("restart")
                body.clear()
                self._ending = 0
            elif byte in {EOT, ENQ}:
                # Neither may be in a frame (6.3.1.2): the sender gave the frame up.
                self._body = None
                yield Fault("cut")
                yield from self._between(byte, now)
                return
            elif self._ended(byte):
                self._body = None
                self.deadline = now + SILENCE_SECONDS
                yield from self._judge(bytes(body))
                return

    def _plain(self) -> bytes:
        """Take the bytes up to the next one that means something."""
        found = self._input
        at = next((place for place, byte in enumerate(found) if byte in _SPECIAL), len(found))
        # Of a frame that is too long only so much is kept that it is seen to be.
        room = max(0, _LONGEST_BODY + 1 - len(self._body or b""))
        taken = bytes(found[: min(at, room)])
        del found[:at]
        return taken

    def _ended(self, byte: int) -> bool:
        """Take a byte from ETB or ETX on; return whether it is the last of the frame.

        They are followed by two digits, CR and LF (6.3.1.1).
        """
        assert self._body is not None
        if self._ending == 0:
            self._ending = int(byte in {ETB, ETX})
        else:
            self._ending += 1
        if self._ending <= 3:  # noqa: PLR2004  (ETX and two digits)
            self._body.append(byte)
            return False
        if byte != (CR, LF)[self._ending - 4]:
            self._body.clear()  # too short for a frame
            return True
        return self._ending == 5  # noqa: PLR2004  (LF)

    def _judge(self, body: bytes) -> Iterator[Action]:
        if len(body) > _LONGEST_BODY:
            yield from self._refuse("long")
            return
        try:
            frame = read(body)
        except BadFrame as bad:
            yield from self._refuse(bad.kind)
            return
        if frame.number == self._expected:
            if self._bytes + len(frame.text) > self._longest:
                yield from self._refuse("session_long")
                return
            self._pending = frame
            self.state, self.deadline = State.KEEPING, None
            yield Keep(frame)
        elif frame == self._last:
            # Our ACK was lost on the way (6.3.4.1).
            yield Fault("repeated")
            yield Write(b"\x06")
        else:
            yield from self._refuse("sequence")

    def _refuse(self, kind: str) -> Iterator[Action]:
        yield Fault(kind)
        yield Write(b"\x15")

    def _close(self, now: float, reason: str) -> Iterator[Action]:
        """End the session; one that brought nothing was a keep-alive."""
        some = self._last is not None
        self.state, self.deadline, self._last, self._body = State.NEUTRAL, None, None, None
        if some:
            yield Close(not reason, reason)
        self._wait(now)

    def _call(self, now: float) -> Iterator[Action]:
        """Ask for the line, if it is free and may be asked for."""
        if self.state is not State.NEUTRAL or not self._frames:
            return
        if now < self._hold:
            self.deadline = self._hold
            return
        self._calls += 1
        self.state, self.deadline = State.CALLING, now + REPLY_SECONDS
        yield Write(b"\x05")

    def _wait(self, now: float) -> None:
        """Let a message that waits go when the line may be asked for."""
        if self._frames:
            self.deadline = max(self._hold, now)

    def _answered(self, byte: int, now: float) -> Iterator[Action]:
        """The answer to what was sent."""
        if self.state is State.CALLING:
            yield from self._called(byte, now)
        elif byte == ACK:
            yield from self._next(now)
        elif byte == EOT:
            # The frame was taken, and the receiver asks for the line (6.3.5).
            self._hold = now + INTERRUPT_SECONDS
            self._place += 1
            yield Write(b"\x04")
            if self._place == len(self._frames):
                yield from self._done(ok=True)
            else:
                yield from self._give_up("The receiver asked for the line")
        else:
            # Whatever else comes counts as NAK (6.3.4).
            yield Fault("refused")
            yield from self._again(now)

    def _called(self, byte: int, now: float) -> Iterator[Action]:
        if byte == ACK:
            self._place, self._tries = 0, 0
            yield from self._transmit(now)
        elif byte == ENQ:
            yield Fault("contention")
            yield from self._later(now, CONTENTION_SECONDS[self._role])
        elif byte == NAK:
            yield Fault("busy")
            yield from self._later(now, BUSY_SECONDS)

    def _later(self, now: float, seconds: float) -> Iterator[Action]:
        self.state, self._hold = State.NEUTRAL, now + seconds
        self.deadline = self._hold
        if self._calls >= TRIES:
            yield from self._give_up("The line was never free")

    def _transmit(self, now: float) -> Iterator[Action]:
        self._tries += 1
        self.state, self.deadline = State.SENDING, now + REPLY_SECONDS
        yield Write(self._frames[self._place])

    def _next(self, now: float) -> Iterator[Action]:
        self._place, self._tries = self._place + 1, 0
        if self._place < len(self._frames):
            yield from self._transmit(now)
            return
        yield Write(b"\x04")
        yield from self._done(ok=True)

    def _again(self, now: float) -> Iterator[Action]:
        if self._tries < TRIES:
            yield from self._transmit(now)
            return
        yield Write(b"\x04")
        yield from self._give_up("A frame was refused too often")

    def _give_up(self, reason: str) -> Iterator[Action]:
        yield from self._done(ok=False, reason=reason)

    def _done(self, *, ok: bool, reason: str = "") -> Iterator[Action]:
        self._frames, self.state, self.deadline = (), State.NEUTRAL, None
        yield Sent(ok, reason)


_SPECIAL: Final = frozenset((STX, ETX, ETB, EOT, ENQ))
