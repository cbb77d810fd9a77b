"""Processes that make pictures, so that a hostile file ends one of them and not the server."""

import os
import select
import subprocess
import sys
import time
import weakref
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO, Final

import msgspec
from anyio import CapacityLimiter, to_thread

from adapters.dicom.pixels.refusals import BY_NAME
from adapters.dicom.pixels.request import MOVED, Answer, Order
from adapters.dicom.pixels.worker import LENGTH, READY
from fhir_server.at_rest.files import Openable, Stored
from fhir_server.at_rest.keys import Damaged
from fhir_server.errors import Unavailable

_START_SECONDS: Final = 60.0
_WAITING_FOR_EACH: Final = 64
_PIECE: Final = 1 << 20
_TRIES: Final = 3
_MODULE: Final = "adapters.dicom.pixels.worker"


class Pool:
    """At most `workers` processes of `memory` bytes, each with `seconds` for a picture.

    A process is started when it is needed, and stays.
    """

    def __init__(self, *, workers: int, memory: int, seconds: float) -> None:
        self.workers = workers
        self._memory = memory
        self._seconds = seconds
        self._idle: list[_Worker] = []
        self._lock = Lock()
        self._limiter: CapacityLimiter | None = None

    async def render(self, order: Order, file: Openable | None = None) -> Answer:
        """Return a picture of a stored file, which the worker opens with the key of that alone.

        Raises the refusals of `refusals`, and Unavailable when too many wait or none can start.
        """
        limiter = self._limiter or CapacityLimiter(self.workers)
        self._limiter = limiter
        if limiter.statistics().tasks_waiting >= _WAITING_FOR_EACH * self.workers:
            raise Unavailable("Too many pictures are being made", headers={"Retry-After": "5"})
        found = await to_thread.run_sync(self.ask, order, file, limiter=limiter)
        if found.refusal:
            raise BY_NAME[found.refusal](found.text)
        return found

    def ask(self, order: Order, file: Openable | None = None) -> Answer:
        """Return what a worker answers; a worker that dies or is late answers NotShown."""
        for _ in range(_TRIES):
            try:
                found = self._ask(_handed(order, file))
            except FileNotFoundError:
                return Answer(refusal="Unavailable", text="The archive does not have the file")
            except Damaged:
                return Answer(refusal="NotShown", text="The file is damaged")
            if found.refusal != MOVED:
                return found
        return Answer(refusal="Unavailable", text="The file is being sealed anew")

    def _ask(self, order: Order) -> Answer:
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        worker = worker or _Worker(self._memory, self._seconds)
        try:
            found = worker.ask(order, self._seconds)
        except TimeoutError:
            worker.end()
            return Answer(refusal="NotShown", text="The frame takes too long to be shown")
        except (EOFError, OSError):
            worker.end()
            return Answer(refusal="NotShown", text="The frame cannot be decoded within the limits")
        with self._lock:
            self._idle.append(worker)
        return found

    def close(self) -> None:
        """End the processes that make nothing at the moment."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()


def _handed(order: Order, file: Openable | None) -> Order:
    if file is None:
        return order
    if isinstance(file, Path):
        return msgspec.structs.replace(order, path=str(file))
    key = file.handed() if isinstance(file, Stored) else file.key
    return msgspec.structs.replace(order, path=str(file.path), key=key)


@cache
def shared(*, workers: int, memory: int, seconds: float) -> Pool:
    """Return the one pool of this process with these limits."""
    return Pool(workers=workers, memory=memory, seconds=seconds)


class _Worker:
    """A process and its pipes; it ends when this does."""

    def __init__(self, memory: int, seconds: float) -> None:
        command = [sys.executable, "-m", _MODULE, str(memory), str(int(seconds) + 10)]
        # Threads of a numeric library would each take addresses, and there is a process a core.
        environment = {"PATH": os.defpath, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(one for one in sys.path if one)
        process = subprocess.Popen(  # noqa: S603  (our own module)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=Path(os.sep),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._input: IO[bytes] = process.stdin
        self._output = process.stdout.fileno()
        self.end = weakref.finalize(self, _ended, process)
        try:
            self._read(len(READY), time.monotonic() + _START_SECONDS)
        except (EOFError, TimeoutError) as error:
            self.end()
            raise Unavailable("No process for pictures can be started") from error

    def ask(self, order: Order, seconds: float) -> Answer:
        """Return the answer; TimeoutError when it is late, EOFError or OSError when none comes."""
        end = time.monotonic() + seconds
        # The process is in another directory, and the archive's may be relative to ours.
        found = msgspec.structs.replace(order, path=str(Path(order.path).absolute()))
        content = msgspec.msgpack.encode(found)
        self._input.write(LENGTH.pack(len(content)) + content)
        self._input.flush()
        length = LENGTH.unpack(self._read(LENGTH.size, end))[0]
        return msgspec.msgpack.decode(self._read(length, end), type=Answer)

    def _read(self, length: int, end: float) -> bytes:
        found = bytearray()
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        while len(found) < length:
            rest = end - time.monotonic()
            if rest <= 0 or not poll.poll(rest * 1000):
                raise TimeoutError
            piece = os.read(self._output, min(_PIECE, length - len(found)))
            if not piece:
                raise EOFError
            found += piece
        return bytes(found)


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()
