"""Large frames checked beside the event loop, so that nobody else waits for them."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from adapters.hl7.mllp.arrival import Arrival, Desk, arrival
from adapters.hl7.mllp.framing import Frame

LARGE: Final = 1 << 20
"""What has more bytes is checked in a thread: a hash and a look at each part take long."""


def _open() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(slots=True)
class Aside:
    """The large frames of a listener that are being checked; `room` is clear when they are many.

    A connection awaits each frame before it takes the next, so its answers keep their order.
    """

    limit: int
    bytes: int = 0
    room: asyncio.Event = field(default_factory=_open)

    async def arrival(self, frame: Frame, desk: Desk, now: datetime) -> Arrival:
        """Return what becomes of a frame (mllp/arrival)."""
        size = len(frame.content)
        # Sequence numbers are of all connections of a sender: two threads could take one.
        if size <= LARGE or desk.settings.sequence:
            return arrival(frame, desk, now)
        self._count(size)
        try:
            return await asyncio.to_thread(arrival, frame, desk, now)
        finally:
            self._count(-size)

    def _count(self, size: int) -> None:
        self.bytes += size
        if self.bytes < self.limit:
            self.room.set()
        else:
            self.room.clear()
