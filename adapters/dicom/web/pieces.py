"""Stretches of stored files, read piece by piece beside the event loop."""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import suppress
from typing import BinaryIO, Final, TypeVar

from fhir_server.blobs import Blobs

PIECE: Final = 1 << 20
"""Bytes that are in memory of one answer at a time."""


Piece = TypeVar("Piece", bytes, tuple[int, bytes])


async def beside(found: Generator[Piece]) -> AsyncIterator[Piece]:
    """Yield what a generator does, which runs in other threads and has what it opened.

    Pieces come in batches, so that small ones cost one way to another thread and back.
    """
    try:
        more = True
        while more:
            batch, more = await asyncio.to_thread(_some, found)
            for one in batch:
                yield one
    finally:
        # A client that goes away leaves a thread at work: the generator ends with that.
        with suppress(ValueError):
            found.close()


def _some(found: Iterator[Piece]) -> tuple[list[Piece], bool]:
    """Return the next pieces, together about as long as one may be, and whether more follow."""
    batch: list[Piece] = []
    size = 0
    for one in found:
        batch.append(one)
        size += len(one if isinstance(one, bytes) else one[1])
        if size >= PIECE:
            return batch, True
    return batch, False


async def file_pieces(
    blobs: Blobs, blob: str, start: int, end: int, head: bytes = b""
) -> AsyncIterator[bytes]:
    """Yield `head` and the bytes of a blob from `start` to `end`. Raises OSError."""
    file, piece = await asyncio.to_thread(_begun, blobs, blob, start, end - start)
    if file is None:
        yield head + piece
        return
    try:
        yield head + piece
        left = end - start - len(piece)
        while left > 0:
            piece = await asyncio.to_thread(file.read, min(PIECE, left))
            if not piece:
                raise OSError("A blob is shorter than its row says")
            left -= len(piece)
            yield piece
    finally:
        file.close()


def _begun(blobs: Blobs, blob: str, start: int, length: int) -> tuple[BinaryIO | None, bytes]:
    """Return the first piece, and the file where there is more: most files are one piece."""
    file = blobs.open(blob)
    try:
        file.seek(start)
        piece = file.read(min(PIECE, length))
    except OSError:
        file.close()
        raise
    if len(piece) == length:
        file.close()
        return None, piece
    return file, piece
