"""The files of a package: of a gzipped tar archive, or of a directory.

Nothing is unpacked to disk, and nothing is taken whose name leads out of `package/`.
"""

import hashlib
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from fhir_server.config import PackageSettings
from fhir_server.errors import BadRequest, TooLarge
from fhir_server.packages import tar

ROOT = "package/"
_PIECE = 64 << 10
# Below this a ratio says nothing: the first file of a package may pack well.
_SMALL = 16 << 20
_GZIP = 31
_LONGEST_NAME = 512
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:")

File = tuple[str, bytes]
"""Where it lies below `package/`, and its content."""

Advance = Callable[[int], None]
"""Is told each number of bytes that was read."""


class Unpacking:
    """A gzip stream on its way; `read` gives what is in it, under the limits of a package.

    `sha256` is, after the last byte, the digest of the archive as it lies.
    """

    def __init__(self, packed: IO[bytes], limits: PackageSettings, advance: Advance) -> None:
        self._packed = packed
        self._limits = limits
        self._advance = advance
        self._inflate = zlib.decompressobj(_GZIP)
        self._buffer = bytearray()
        self._taken = self._given = 0
        self._digest = hashlib.sha256()
        self._rest = b""

    @property
    def sha256(self) -> str:
        """Return the digest of what was read of the archive."""
        return self._digest.hexdigest()

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        while len(self._buffer) < size and (piece := self._piece()):
            self._buffer += piece
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    def drain(self) -> None:
        """Read to the end, so that the checksum is compared and the digest is of it all."""
        while self._piece():
            pass

    def _piece(self) -> bytes:
        """Return some more, nothing at the end."""
        while True:
            given = self._rest or self._more()
            if self._inflate.eof:
                # Zeros may follow, as on a tape; else another stream, which goes on.
                given = given.lstrip(b"\0")
            if not given:
                if not self._inflate.eof:
                    raise BadRequest("The archive is cut off")
                return b""
            if self._inflate.eof:
                self._inflate = zlib.decompressobj(_GZIP)
            try:
                piece = self._inflate.decompress(given, _PIECE)
            except zlib.error:
                raise BadRequest("This is no gzip archive, or it is damaged") from None
            self._rest = self._inflate.unconsumed_tail or self._inflate.unused_data
            self._given += len(piece)
            self._check()
            if piece:
                return piece

    def _more(self) -> bytes:
        found = self._packed.read(_PIECE)
        self._taken += len(found)
        self._digest.update(found)
        self._advance(len(found))
        if self._taken > self._limits.archive_bytes:
            raise TooLarge(f"The archive is larger than {self._limits.archive_bytes:,} bytes")
        return found

    def _check(self) -> None:
        if self._given > self._limits.unpacked_bytes:
            most = self._limits.unpacked_bytes
            raise TooLarge(f"The package unpacks to more than {most:,} bytes")
        if self._given > max(_SMALL, self._limits.ratio * self._taken):
            most = self._limits.ratio
            raise TooLarge(f"The package unpacks to more than {most} times its archive")


def archived(unpacking: Unpacking, limits: PackageSettings) -> Iterator[File]:
    """Return the files of an archive in their order; BadRequest or TooLarge for a hostile one."""
    seen: set[str] = set()
    for name, data in tar.files(unpacking.read, limits.file_bytes):
        path = below_root(name)
        if path in seen:
            raise BadRequest("Two files of the package have one name")
        seen.add(path)
        if len(seen) > limits.files:
            raise TooLarge(f"The package has more than {limits.files:,} files")
        yield path, data
    unpacking.drain()


def below_root(name: bytes) -> str:
    """Return a member's path below `package/`; BadRequest for a name that leads elsewhere."""
    try:
        text = name.decode().removeprefix("./")
    except UnicodeDecodeError:
        raise BadRequest("A name in the package is not UTF-8") from None
    if len(text) > _LONGEST_NAME:
        raise BadRequest("A name in the package is too long")
    parts = text.split("/")
    if _FORBIDDEN.search(text) or {"", ".", ".."} & set(parts):
        raise BadRequest("A name in the package leads out of it")
    if not text.startswith(ROOT):
        raise BadRequest(f"A file of the package is not under {ROOT}")
    return text.removeprefix(ROOT)


def in_directory(root: Path, limits: PackageSettings, advance: Advance) -> Iterator[File]:
    """Return the files of an unpacked package: of a directory that holds `package.json`.

    BadRequest for links and devices.
    """
    total = 0
    for count, path in enumerate(_walked(root), start=1):
        size = path.lstat().st_size
        total += size
        if count > limits.files:
            raise TooLarge(f"The package has more than {limits.files:,} files")
        if size > limits.file_bytes or total > limits.unpacked_bytes:
            raise TooLarge("The package is larger than the settings allow")
        advance(size)
        yield path.relative_to(root).as_posix(), path.read_bytes()


def _walked(place: Path) -> Iterator[Path]:
    for path in sorted(place.iterdir()):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield from _walked(path)
        elif stat.S_ISREG(mode):
            yield path
        else:
            raise BadRequest("The package has a link or a device")
