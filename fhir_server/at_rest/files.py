"""Stored files opened as what they hold, whether they are sealed or of before."""

import io
import mmap
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from fhir_server.at_rest.keys import Damaged, Keys, One
from fhir_server.at_rest.sealed import (
    HEADER,
    MAGIC,
    SEGMENT_BITS,
    SealedFile,
    Sealer,
    file_key,
    key_id,
)

MOST_VIEWED: Final = 512 << 20
"""Bytes of a file that are brought into memory at most, as `viewed` does: ask of `size` first."""

_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored file, to be opened where one of its path is: a Path can stand for it.

    `digest` is the SHA-256 of its content in hexadecimal.
    """

    path: Path
    digest: str
    keys: Keys | None

    def open(self, _mode: str = "rb") -> io.BufferedReader:
        """Open what it holds for reading. Raises FileNotFoundError, Damaged."""
        return opened(self.path, self.digest, self.keys)

    def handed(self) -> bytes:
        """Return what another process needs to open this file and no other, b"" for nothing.

        Raises as `open` does: who opens it with that alone cannot tell whose file it is.
        """
        with self.open() as file:
            sealed = _raw(file)
            return b"" if sealed is None else sealed.header + _file_key(sealed.header, self.keys)


class Moved(Exception):
    """The file was sealed anew since its key was handed over: ask for the new one."""


@dataclass(frozen=True, slots=True)
class Handed:
    """A stored file as another process was handed it."""

    path: Path
    key: bytes

    def open(self, _mode: str = "rb") -> io.BufferedReader:
        """Open what it holds for reading. Raises FileNotFoundError, Damaged, Moved."""
        file = io.FileIO(self.path)
        header = file.read(HEADER.size)
        if header != self.key[: HEADER.size] if self.key else header.startswith(MAGIC):
            file.close()
            raise Moved
        if not self.key:
            file.seek(0)
            return io.BufferedReader(file)
        return _buffered(_sealed(file, header, self.key[HEADER.size :]))


Openable = Path | Stored | Handed
"""What is opened for reading by `open("rb")`."""


def opened(path: Path, digest: str, keys: Keys | None) -> io.BufferedReader:
    """Open the stored file of the content with this SHA-256 for reading from any place.

    Raises FileNotFoundError; Damaged when it is sealed and not whole, not the one of this
    name, or of another's key, and when it is not sealed where all files are.
    """
    file = io.FileIO(path, opener=_of_ours)
    try:
        header = file.read(HEADER.size)
        if not header.startswith(MAGIC):
            _believe(keys)
            file.seek(0)
            return io.BufferedReader(file)
        found = _sealed(file, header, _file_key(header, keys))
        found.check(bytes.fromhex(digest))
    except BaseException:
        file.close()
        raise
    return _buffered(found)


def sealed_under(path: Path) -> bytes | None:
    """Return the id of the data key of a file, None of one that is not sealed.

    Raises FileNotFoundError, Damaged.
    """
    with path.open("rb", buffering=0) as file:
        header = file.read(HEADER.size)
    return key_id(header) if header.startswith(MAGIC) else None


@contextmanager
def viewed(file: BinaryIO, most: int | None = None) -> Iterator[memoryview]:
    """Lend the content of an open file as memory.

    A file that is not sealed is mapped. Of a sealed one `most` bytes are brought into memory,
    and the rest of the view is NULs that take none; None: all of it.
    """
    sealed = _raw(file)
    if sealed is None:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    else:
        mapped = mmap.mmap(-1, max(1, sealed.size))
    with mapped, memoryview(mapped) as view:
        if sealed is None:
            yield view
            return
        end = sealed.size if most is None else min(most, sealed.size)
        for start in range(0, end, _PIECE):
            piece = sealed.pread(start, min(end, start + _PIECE))
            view[start : start + len(piece)] = piece
        with view.toreadonly() as shown, shown[: sealed.size] as content:
            yield content


def size(file: BinaryIO) -> int:
    """Return the bytes of the content of an open file."""
    sealed = _raw(file)
    return os.fstat(file.fileno()).st_size if sealed is None else sealed.size


def pread(file: BinaryIO, start: int, end: int) -> bytes:
    """Return the content from `start` up to `end`, as far as there is any, in any thread."""
    sealed = _raw(file)
    if sealed is None:
        return os.pread(file.fileno(), max(0, end - start), start)
    return sealed.pread(start, end)


class Scratch:
    """Content that is kept on disk for a moment, under a key that ends with it."""

    def __init__(self, directory: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115  (closed with what is read)
        self._keys = One()
        self._sealer = Sealer(self._write, self._keys.key)
        self.size = 0

    def write(self, piece: bytes) -> None:
        """Take the next piece. Raises OSError."""
        self.size += len(piece)
        self._sealer.write(piece)

    def reading(self) -> io.BufferedReader:
        """Return what was written, to be read; it ends when that is closed."""
        self._sealer.finish(bytes(32))
        self._file.seek(0)
        header = self._file.read(HEADER.size)
        return _buffered(_sealed(self._file, header, _file_key(header, self._keys)))

    def close(self) -> None:
        """Forget it."""
        self._file.close()

    def _write(self, piece: memoryview) -> None:
        write_all(self._file.fileno(), piece)


def write_all(descriptor: int, data: memoryview) -> None:
    """Write all of `data` to a file."""
    while data:
        data = data[os.write(descriptor, data) :]


def _of_ours(path: str, flags: int) -> int:
    """Open a file for reading that lies where it is: a link leads elsewhere, a pipe may hang."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged("A stored file cannot be opened, or is a link") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Damaged("A stored file is none")
    return descriptor


def _sealed(file: io.FileIO, header: bytes, key: bytes) -> SealedFile:
    return SealedFile(file, header, key)


def _believe(keys: Keys | None) -> None:
    if keys is not None and not keys.plain():
        raise Damaged("A file is not sealed, in a place where all are")


def _file_key(header: bytes, keys: Keys | None) -> bytes:
    if keys is None:
        raise Damaged("A file is sealed, and no keys are there")
    return file_key(keys.of(key_id(header)), header)


def _buffered(found: SealedFile) -> io.BufferedReader:
    return io.BufferedReader(found, 1 << SEGMENT_BITS)


def _raw(file: BinaryIO) -> SealedFile | None:
    raw = getattr(file, "raw", file)
    return raw if isinstance(raw, SealedFile) else None
