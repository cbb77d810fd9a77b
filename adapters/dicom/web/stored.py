"""Stored data sets, opened without reading them into memory."""

import mmap
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from adapters.dicom.dataset.elements import Broken, Encoding
from adapters.dicom.dataset.head import is_deflated
from adapters.dicom.dataset.identifier import encoding_of
from adapters.dicom.web.holdings import Holding
from fhir_server.blobs import Blobs

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Opened:
    """A data set: its bytes as mapped, how they are encoded, and how they are read."""

    data: memoryview
    encoding: Encoding
    read: Callable[[int, int], bytes]


@contextmanager
def opened(blobs: Blobs, one: Holding, most: int) -> Iterator[Opened]:
    """Open the data set of a stored instance; what was deflated is inflated, to `most` bytes.

    `Opened.read(start, end)` reads without mapping, so that long values do not count as
    memory of this process. Raises OSError when the blob is away, Broken when it cannot
    be inflated.
    """
    with ExitStack() as held:
        file: BinaryIO = held.enter_context(blobs.open(one.blob))
        start = one.offset
        if is_deflated(one.transfer_syntax_uid):
            file = held.enter_context(_inflated(file, start, blobs, most))
            start = 0
        descriptor = file.fileno()
        if os.fstat(descriptor).st_size <= start:
            raise Broken("The data set is empty")
        mapped = held.enter_context(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
        view = held.enter_context(memoryview(mapped))
        data = held.enter_context(view[start:])

        def read(begin: int, end: int) -> bytes:
            return os.pread(descriptor, max(0, end - begin), start + begin)

        yield Opened(data, encoding_of(one.transfer_syntax_uid), read)


@contextmanager
def _inflated(file: BinaryIO, start: int, blobs: Blobs, most: int) -> Iterator[BinaryIO]:
    """Inflate into a file that nobody else sees and that ends with its use (PS3.5, A.5)."""
    with tempfile.TemporaryFile(dir=blobs.incoming) as plain:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        file.seek(start)
        pending = file.read(_PIECE)
        try:
            while pending and not inflater.eof:
                plain.write(inflater.decompress(pending, _PIECE))
                if plain.tell() > most:
                    raise Broken("The deflated data set inflates beyond the limit")
                pending = inflater.unconsumed_tail or file.read(_PIECE)
        except zlib.error:
            raise Broken("The deflated data set is damaged") from None
        plain.flush()
        yield plain
