"""The MLLP byte state machine.

HL7 v2 transport: Minimal Lower Layer Protocol,
https://www.hl7.org/implement/standards/product_brief.cfm?product_id=55
"""

import re
from dataclasses import dataclass
from enum import Enum

VT, FS, CR = 0x0B, 0x1C, 0x0D
JUNK_SHOWN = 4 << 10
OVERSIZE_KEPT = 64 << 10

_BETWEEN = re.compile(rb"[\r\n\x00 \t]*")
_STOP = re.compile(rb"\x1c|\x0b(?:MSH|FHS|BHS)")
_SCAN_BACK = 3  # a VT that is cut before its MSH
_HEADLESS = b"MSH"


class Kind(Enum):
    """What a piece of the stream turned out to be."""

    WHOLE = "whole"
    HEADLESS = "headless"
    TRUNCATED = "truncated"
    JUNK = "junk"
    OVERSIZE = "oversize"
    CROWDED = "crowded"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Frame:
    """A piece of the stream without its block bytes.

    A WHOLE frame was framed as the protocol says; a HEADLESS one began with MSH
    and without VT; a TRUNCATED one was cut by the next message, by silence or by
    the end of the connection; JUNK holds at most the first 4 KiB of bytes that
    were discarded; OVERSIZE the first 64 KiB of a message over the limit, CROWDED
    those of one that there was no more room for, SLOW all of one that did not end in
    time, after which the framer takes nothing more. `stray_fs` tells that FS stood inside the data.
    """

    kind: Kind
    content: bytes
    stray_fs: bool = False


class _State(Enum):
    IDLE = 0
    FRAME = 1
    HEADLESS = 2
    JUNK = 3
    CLOSED = 4


class Framer:
    """Turns reads of any size into frames; each byte is scanned once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._state = _State.IDLE
        self._start = 0
        self._scanned = 0
        self._stray_fs = False
        self._junk = b""
        self._discarded = 0

    @property
    def in_message(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._state in {_State.FRAME, _State.HEADLESS}

    @property
    def awaits_cr(self) -> bool:
        """Whether the last byte was the FS that may end the frame."""
        return self.in_message and self._buffer[self._scanned :] == b"\x1c"

    @property
    def closed(self) -> bool:
        """Whether a message, or bytes outside of any, went over the limit: no more is read."""
        return self._state is _State.CLOSED

    @property
    def held(self) -> int:
        """The number of bytes that wait for their end."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Take a read of any size and return the frames that it completes."""
        frames: list[Frame] = []
        self._buffer += data
        while self._step(frames):
            pass
        del self._buffer[: self._start]
        self._scanned -= self._start
        self._start = 0
        return frames

    def silence(self) -> list[Frame]:
        """End the frame whose FS was not followed by anything for the time of grace."""
        return self._ended_at_fs() if self.awaits_cr else []

    def end(self) -> list[Frame]:
        """Return what is left when the connection ends or a message takes too long."""
        if self.awaits_cr:
            return self._ended_at_fs()
        frames: list[Frame] = []
        if self._state is _State.JUNK:
            self._end_junk(frames)
        elif self._buffer:
            self._cut(frames, len(self._buffer))
        self._reset()
        return frames

    def give_up(self, kind: Kind) -> list[Frame]:
        """Give up the message that has begun, as CROWDED or SLOW, and take nothing more."""
        frames: list[Frame] = []
        if self.in_message:
            self._close(frames, len(self._buffer), kind)
        self._state = _State.CLOSED
        self._reset()
        return frames

    def _ended_at_fs(self) -> list[Frame]:
        frames: list[Frame] = []
        self._emit(frames, self._scanned)
        self._reset()
        return frames

    def _reset(self) -> None:
        self._buffer.clear()
        self._start = self._scanned = 0
        if self._state is not _State.CLOSED:
            self._state = _State.IDLE

    def _step(self, frames: list[Frame]) -> bool:
        if self._state is _State.IDLE:
            return self._begin()
        if self._state is _State.JUNK:
            return self._discard(frames)
        if self._state is _State.CLOSED:
            self._start = self._scanned = len(self._buffer)
            return False
        return self._collect(frames)

    def _begin(self) -> bool:
        between = _BETWEEN.match(self._buffer, self._start)
        assert between is not None  # the pattern matches the empty string
        self._start = self._scanned = between.end()
        first = bytes(self._buffer[self._start : self._start + len(_HEADLESS)])
        if not first:
            return False
        if first[0] == VT:
            self._enter(_State.FRAME, self._start + 1)
        elif first == _HEADLESS:
            self._enter(_State.HEADLESS, self._start)
        elif _HEADLESS.startswith(first):
            return False
        else:
            self._enter(_State.JUNK, self._start)
        return True

    def _enter(self, state: _State, start: int) -> None:
        self._state = state
        self._start = self._scanned = start
        self._stray_fs = False

    def _discard(self, frames: list[Frame]) -> bool:
        vt = self._buffer.find(VT, self._start)
        end = len(self._buffer) if vt < 0 else vt
        room = JUNK_SHOWN - len(self._junk)
        self._junk += self._buffer[self._start : min(end, self._start + room)]
        self._discarded += end - self._start
        self._start = self._scanned = end
        if self._discarded > self._limit:
            self._end_junk(frames)
            self._state = _State.CLOSED
            self._start = self._scanned = len(self._buffer)
            return False
        if vt < 0:
            return False
        self._end_junk(frames)
        self._state = _State.IDLE
        return True

    def _end_junk(self, frames: list[Frame]) -> None:
        frames.append(Frame(Kind.JUNK, self._junk))
        self._junk = b""
        self._discarded = 0

    def _collect(self, frames: list[Frame]) -> bool:
        stop = _STOP.search(self._buffer, self._scanned)
        end = len(self._buffer)
        if stop is None:
            self._scanned = max(self._scanned, end - _SCAN_BACK)
            return self._within_limit(frames, end)
        at = stop.start()
        if self._buffer[at] == VT:
            self._cut(frames, at)
            self._enter(_State.FRAME, at + 1)
            return True
        self._scanned = at
        if at + 1 == end:
            return self._within_limit(frames, at)
        following = self._buffer[at + 1]
        if following not in {CR, VT}:
            self._stray_fs = True
            self._scanned = at + 1
            return True
        self._emit(frames, at)
        if self._state is not _State.CLOSED:
            self._state = _State.IDLE
            self._start = self._scanned = at + (2 if following == CR else 1)
        return True

    def _within_limit(self, frames: list[Frame], end: int) -> bool:
        if end - self._start > self._limit:
            self._close(frames, end)
        return False

    def _close(self, frames: list[Frame], end: int, kind: Kind = Kind.OVERSIZE) -> None:
        room = end if kind is Kind.SLOW else self._start + OVERSIZE_KEPT
        kept = bytes(self._buffer[self._start : min(end, room)])
        frames.append(Frame(kind, kept, self._stray_fs))
        self._state = _State.CLOSED
        self._start = self._scanned = len(self._buffer)

    def _emit(self, frames: list[Frame], end: int) -> None:
        if end - self._start > self._limit:
            self._close(frames, end)
            return
        kind = Kind.HEADLESS if self._state is _State.HEADLESS else Kind.WHOLE
        frames.append(Frame(kind, bytes(self._buffer[self._start : end]), self._stray_fs))

    def _cut(self, frames: list[Frame], end: int) -> None:
        content = bytes(self._buffer[self._start : end])
        if content:
            frames.append(Frame(Kind.TRUNCATED, content, self._stray_fs))
