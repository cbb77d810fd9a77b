"""Stored data sets, opened without reading them into memory."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from adapters.dicom.dataset.elements import Broken, Encoding
from adapters.dicom.dataset.head import is_deflated
from adapters.dicom.dataset.identifier import encoding_of
from adapters.dicom.web.holdings import Holding
from fhir_server.at_rest.files import MOST_VIEWED, Scratch, pread, size, viewed
from fhir_server.blobs import Blobs

_PIECE = 1 << 20
# More than the header of an element and of an item are long.
_BEHIND = 64


@dataclass(frozen=True, slots=True)
class Opened:
    """A data set: its bytes as far as the pixels, how it is encoded, and how all is read.

    `data()` lends as much memory as the data set has bytes; of a sealed file those behind the
    header of the pixels are NULs in it.
    """

    data: Callable[[], AbstractContextManager[memoryview]]
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
        start, pixels = one.offset, one.pixel_offset
        if is_deflated(one.transfer_syntax_uid):
            file = held.enter_context(_inflated(file, start, blobs, most))
            start = 0
        if size(file) <= start:
            raise Broken("The data set is empty")
        # What follows the header of the pixels is for `read`.
        needed = size(file) if pixels is None else start + pixels + _BEHIND
        if needed > MOST_VIEWED:
            raise Broken("The data set is too long to be looked into")

        def read(begin: int, end: int) -> bytes:
            return pread(file, start + begin, start + end)

        @contextmanager
        def data() -> Iterator[memoryview]:
            with viewed(file, needed) as view, view[start:] as found:
                yield found

        yield Opened(data, encoding_of(one.transfer_syntax_uid), read)


@contextmanager
def _inflated(file: BinaryIO, start: int, blobs: Blobs, most: int) -> Iterator[BinaryIO]:
    """Inflate into a file that nobody else sees and that ends with its use (PS3.5, A.5)."""
    with closing(Scratch(blobs.incoming)) as plain:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        file.seek(start)
        pending = file.read(_PIECE)
        try:
            while pending and not inflater.eof:
                plain.write(inflater.decompress(pending, _PIECE))
                if plain.size > most:
                    raise Broken("The deflated data set inflates beyond the limit")
                pending = inflater.unconsumed_tail or file.read(_PIECE)
        except zlib.error:
            raise Broken("The deflated data set is damaged") from None
        with plain.reading() as found:
            yield found
