"""Loading of files by the server's own interactions, in several processes.

What refers to something that is not there yet is tried again after the rest.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeAlias

import msgspec

from fhir_server.main.piece import Done, Refusal
from fhir_server.main.sources import Document, documents, files

# Documents stored by one process at a time, and their bytes.
PIECE = 500
PIECE_BYTES = 4 << 20
# What waits for its references lies in memory up to this size, then on disk.
SPOOL_BYTES = 64 << 20

Carry: TypeAlias = Callable[[Sequence[Document]], Awaitable[Done]]
"""Stores a piece: here, or in another process."""


@dataclass(slots=True)
class Summary:
    """What was stored by type, and what was refused: (document, place, reason)."""

    stored: Counter[str] = field(default_factory=Counter)
    refused: list[Refusal] = field(default_factory=list)


async def load(
    carry: Carry, paths: list[Path], *, jobs: int, advance: Callable[[int], None]
) -> Summary:
    """Load all files, `jobs` pieces at a time, and return what came of them.

    `advance` is called with each number of bytes that are done.
    """
    loading = Loading(carry, jobs)
    for path in files(paths):
        for document in documents(path):
            await loading.take(document)
        advance(path.stat().st_size)
    await loading.settle()
    return loading.summary


class Waiting:
    """Documents that refer to what is not there yet, in the order they came."""

    def __init__(self) -> None:
        self.count = 0
        self._spool: IO[bytes] | None = None

    def add(self, document: Document) -> None:
        """Keep a document."""
        if self._spool is None:
            self._spool = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115  (lives on)
        self._spool.write(msgspec.json.encode((document.name, document.raw)) + b"\n")
        self.count += 1

    def empty(self) -> Iterator[Document]:
        """Return the documents, all of one rank, and forget them."""
        if self._spool is None:
            return
        with closing(self._spool) as lines:
            lines.seek(0)
            for line in lines:
                name, raw = msgspec.json.decode(line, type=tuple[str, bytes])
                yield Document(name, raw)


class Loading:
    """Pieces under way, the next one, and what waits."""

    def __init__(self, carry: Carry, jobs: int) -> None:
        self.summary = Summary()
        self._carry = carry
        self._places = asyncio.Semaphore(jobs)
        self._tasks: set[asyncio.Task[None]] = set()
        self._piece: list[Document] = []
        self._bytes = 0
        self._rank = 0
        self._waiting = Waiting()
        self._patient = True

    async def take(self, document: Document) -> None:
        """Store a document beside others of its rank, after all of a lower one."""
        if document.rank != self._rank:
            await self._flush()
            self._rank = document.rank
        self._piece.append(document)
        self._bytes += len(document.raw)
        if len(self._piece) >= PIECE or self._bytes >= PIECE_BYTES:
            await self._start()

    async def settle(self) -> None:
        """Finish what was taken; try what waits again for as long as that helps."""
        await self._flush()
        while self._waiting.count:
            waiting, self._waiting = self._waiting, Waiting()
            for document in waiting.empty():
                await self.take(document)
            await self._flush()
            self._patient = self._waiting.count < waiting.count

    async def _flush(self) -> None:
        if self._piece:
            await self._start()
        await asyncio.gather(*self._tasks)

    async def _start(self) -> None:
        """Start the piece as soon as fewer than the allowed number are under way."""
        piece, self._piece, self._bytes = self._piece, [], 0
        await self._places.acquire()
        task = asyncio.create_task(self._store(piece))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._places.release()
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)

    async def _store(self, piece: Sequence[Document]) -> None:
        done = await self._carry(piece)
        self.summary.stored.update(done.stored)
        self.summary.refused += done.refused
        for document, refusal in done.dangling:
            if self._patient:
                self._waiting.add(document)
            else:
                self.summary.refused.append(refusal)
