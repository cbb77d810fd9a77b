"""The load generator: prebuilt requests over raw sockets, in a process of its own.

It parses no more of an answer than where it ends and whether it is a success,
so that on a machine of few cores the time goes to the server; `--calibrate`
measures its ceiling (docs/benchmarks.md).
"""

import asyncio
import gc
import multiprocessing
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import cast

import uvloop

from benchmarks.replies import Reply


@dataclass(frozen=True, slots=True)
class Workload:
    """What to send and for how long.

    `requests` is called in the generator's process and yields whole requests as
    bytes; `reply` makes the parser of one answer. With `seconds` None every
    request is sent once. Requests answered in the first `warmup` seconds are not
    counted. With a `rate`, so many are due each second over all connections, and what is
    sent late is timed from when it was due.
    """

    host: str
    port: int
    requests: Callable[[], Iterable[bytes]]
    reply: Callable[[], Reply]
    connections: int = 1
    seconds: float | None = 10.0
    warmup: float = 2.0
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What came back: durations in seconds, one per counted answer.

    `statuses` counts answers by status; `lost` counts connections that broke
    with a request on the way. `elapsed` is the counted time and `cpu` the
    processor time that the generator itself used in it.
    """

    durations: "array[float]"
    statuses: dict[int, int]
    lost: int
    elapsed: float
    cpu: float

    @property
    def rate(self) -> float:
        """Successful answers per second."""
        good = sum(count for status, count in self.statuses.items() if 200 <= status < 300)
        return good / self.elapsed if self.elapsed else 0.0

    @property
    def errors(self) -> int:
        """Answers that were refusals or failures, and broken connections."""
        bad = sum(count for status, count in self.statuses.items() if not 200 <= status < 300)
        return bad + self.lost

    def percentile(self, share: float) -> float:
        """Return the duration in milliseconds that `share` of the answers stay within."""
        ordered = sorted(self.durations)
        if not ordered:
            return 0.0
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class Recorder:
    """The running account of one workload, shared by its connections."""

    def __init__(self, workload: Workload) -> None:
        self.requests: Iterator[bytes] = iter(workload.requests())
        self.durations = array("d")
        self.statuses: dict[int, int] = {}
        self.lost = 0
        self.begun = time.perf_counter() + workload.warmup
        seconds = workload.seconds
        self.end = float("inf") if seconds is None else self.begun + seconds
        self.last = self.begun
        self.cpu_begun = time.process_time()
        self.warm = workload.warmup == 0
        self.rate = workload.rate
        self.first_due = time.perf_counter()
        self.asked = 0

    def next_due(self, now: float) -> float:
        """Return when the next request is due: at once without a rate."""
        if self.rate is None:
            return now
        self.asked += 1
        return self.first_due + (self.asked - 1) / self.rate

    def next_request(self, now: float) -> bytes | None:
        """Return the next request; None when the time or the requests are over."""
        return None if now >= self.end else next(self.requests, None)

    def answered(self, sent: float, now: float, status: int) -> None:
        """Count an answer that came after the warm-up."""
        if now < self.begun:
            return
        if not self.warm:
            self.warm = True
            self.cpu_begun = time.process_time()
        self.durations.append(now - sent)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.last = now


class Exchange(asyncio.Protocol):
    """One connection that sends a request when the last answer is complete."""

    def __init__(self, recorder: Recorder, reply: Callable[[], Reply]) -> None:
        self.recorder = recorder
        self.new_reply = reply
        self.reply = reply()
        self.sent: float | None = None
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self.transport = cast("asyncio.Transport", transport)
        self.send(time.perf_counter())

    def send(self, now: float) -> None:
        """Send the next request or close."""
        due = self.recorder.next_due(now)
        request = self.recorder.next_request(due)
        if request is None:
            self.end(more=False)
        elif due > now:
            asyncio.get_running_loop().call_later(due - now, self.write, request, due)
        else:
            self.write(request, due)

    def write(self, request: bytes, due: float) -> None:
        """Send a request that is due."""
        assert self.transport is not None
        self.sent = due
        self.transport.write(request)

    def end(self, *, more: bool) -> None:
        """Close with no request on the way; `more` asks for another connection."""
        assert self.transport is not None
        self.sent = None
        self.done.set_result(not more)
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer; at its end record it and go on."""
        status = self.reply.feed(data)
        if not status:
            return
        now = time.perf_counter()
        assert self.sent is not None
        self.recorder.answered(self.sent, now, status)
        closing = self.reply.closing
        self.reply = self.new_reply()
        if closing:
            self.end(more=True)
        else:
            self.send(now)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio's signature)
        """Count a request that stays without an answer."""
        if not self.done.done():
            if self.sent is not None:
                self.recorder.lost += 1
            self.done.set_result(False)


def measure(workload: Workload) -> Measured:
    """Run the workload in a fresh process and return what it saw."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(generate, workload).result()


def generate(workload: Workload) -> Measured:
    """Run the workload in this process."""
    gc.disable()
    return uvloop.run(drive(workload))


async def drive(workload: Workload) -> Measured:
    """Keep `connections` exchanges busy until time or requests are over."""
    recorder = Recorder(workload)
    await asyncio.gather(*(keep(workload, recorder) for _ in range(workload.connections)))
    cpu = time.process_time() - recorder.cpu_begun
    elapsed = max(recorder.last - recorder.begun, 0.0)
    return Measured(recorder.durations, recorder.statuses, recorder.lost, elapsed, cpu)


async def keep(workload: Workload, recorder: Recorder) -> None:
    """Hold one connection, opening it anew where the server ends it."""
    loop = asyncio.get_running_loop()
    ended = False
    while not ended and recorder.lost < 100:
        try:
            _, exchange = await loop.create_connection(
                lambda: Exchange(recorder, workload.reply), workload.host, workload.port
            )
        except OSError:
            recorder.lost += 1
            return
        ended = await exchange.done
