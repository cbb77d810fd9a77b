"""Files of a release: in folders and zip archives, read as streams and never unpacked.

What an archive declares is bounded before a byte of it is read, so that a small
archive cannot become a large disk or a long wait.
"""

import gzip
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from terminology.loaders.report import LoadRefused

MAX_MEMBERS = 50_000
MAX_UNPACKED = 64 << 30
# Text of RF2 packs 10 to 20 times; identity refsets up to 60 times.
MAX_RATIO = 300
SMALL = 64 << 20
MAX_LINE = 1 << 20
_BUFFER = 1 << 20
ENCRYPTED = 0x1


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a release: its name with the archive's, its bytes, how it is opened."""

    name: str
    size: int
    open: Callable[[], BinaryIO]

    def head(self) -> bytes:
        """The first bytes, by which the file is recognised."""
        with self.open() as file:
            return file.read(1 << 16)


def source_files(paths: Sequence[Path]) -> list[SourceFile]:
    """All files of the paths, by name; LoadRefused for an archive that is too large."""
    found: list[SourceFile] = []
    for path in paths:
        inner = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inner:
            if file.is_file() and not file.name.startswith("."):
                found += _files(file, path)
    return found


def _files(path: Path, root: Path) -> Iterator[SourceFile]:
    name = str(path.relative_to(root.parent)) if path != root else path.name
    if path.suffix.lower() == ".zip":
        yield from _members(path, name)
    elif path.suffix.lower() == ".gz" and not path.name.endswith(".tar.gz"):
        yield SourceFile(name, path.stat().st_size, lambda: _bounded_gzip(path))
    else:
        yield SourceFile(name, path.stat().st_size, lambda: path.open("rb", _BUFFER))


def _members(path: Path, name: str) -> Iterator[SourceFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
    except (zipfile.BadZipFile, ValueError) as error:
        raise LoadRefused(f"{name}: not a zip archive ({error})") from None
    _bound(name, members)
    for member in sorted(members, key=lambda one: one.filename):
        if "__MACOSX" not in member.filename:
            yield SourceFile(f"{name}/{member.filename}", member.file_size, _opener(path, member))


def _bound(name: str, members: Sequence[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS:
        raise LoadRefused(f"{name}: more than {MAX_MEMBERS:,} files")
    if sum(one.file_size for one in members) > MAX_UNPACKED:
        raise LoadRefused(f"{name}: unpacks to more than {MAX_UNPACKED >> 30} GiB")
    for one in members:
        if one.file_size > SMALL and one.file_size > MAX_RATIO * max(one.compress_size, 1):
            raise LoadRefused(f"{name}/{one.filename}: packed more than {MAX_RATIO} times")
        if one.flag_bits & ENCRYPTED:
            raise LoadRefused(f"{name}/{one.filename}: is encrypted")


def _opener(path: Path, member: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        # The member's stream keeps the archive's file open until it is closed itself.
        with zipfile.ZipFile(path) as archive:
            # It ends at the declared size, so a lying entry cannot grow.
            return io.BufferedReader(_Raw(archive.open(member), member.filename), _BUFFER)

    return opened


class _Raw(io.RawIOBase):
    """A member of an archive as a raw stream: lines are then found by C code."""

    def __init__(self, member: IO[bytes], name: str) -> None:
        self._member, self._name = member, name

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer; LoadRefused for a damaged archive."""
        try:
            data = self._member.read(len(buffer))
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise LoadRefused(f"{self._name}: damaged ({error})") from None
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the member."""
        self._member.close()
        super().close()


class _Bounded(io.RawIOBase):
    """A gzipped file, refused when it unpacks to more than MAX_UNPACKED."""

    def __init__(self, path: Path) -> None:
        self._file = gzip.open(path)  # noqa: SIM115  (closed with this)
        self._name, self._left = path.name, MAX_UNPACKED

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer; LoadRefused for a damaged file or one that is too large."""
        try:
            data = self._file.read(len(buffer))
        except (OSError, EOFError) as error:
            raise LoadRefused(f"{self._name}: damaged ({error})") from None
        self._left -= len(data)
        if self._left < 0:
            raise LoadRefused(f"{self._name}: unpacks to more than {MAX_UNPACKED >> 30} GiB")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _bounded_gzip(path: Path) -> BinaryIO:
    return io.BufferedReader(_Bounded(path), _BUFFER)
