"""Large content by its hash, on disk.

A blob is durable when `put` returns: written beside its place, synced, renamed,
its directory synced. Equal content is stored once.
"""

import hashlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# An arrival that lasts longer than this has died.
ARRIVAL_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Blob:
    """Large content that is stored: its SHA-256 in hexadecimal, and its size in bytes."""

    digest: str
    size: int


class Blobs:
    """A directory of blobs named by the SHA-256 of their content, as `aa/bb/<hex>`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.incoming.mkdir(parents=True, exist_ok=True)
        # Directories that this process has seen synced up to the root: one that another made a
        # moment ago exists, and a power cut could still take it away.
        self._lasting: set[Path] = set()

    def place(self, digest: str) -> Path:
        """Return where the blob of this hex digest belongs on disk."""
        return self.root / digest[:2] / digest[2:4] / digest

    def path(self, digest: str) -> Path:
        """Return where the blob of this hex digest can be read, or could if it were stored."""
        return self.place(digest)

    def put(self, content: bytes) -> str:
        """Store `content` durably and return its hex SHA-256."""
        digest = hashlib.sha256(content).hexdigest()
        if self.path(digest).exists():
            sync_directory(self.path(digest).parent)
            self._make_lasting(self.path(digest).parent)
            return digest
        temporary = self.incoming / secrets.token_hex(16)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.keep(temporary, digest)
        return digest

    def keep(self, temporary: Path, digest: str) -> Path:
        """Move a synced file from `incoming` to its place, durably; return the place."""
        place = self.place(digest)
        new = place.parent not in self._lasting
        if new:
            place.parent.mkdir(parents=True, exist_ok=True)
        temporary.rename(place)
        # A journal commits the new directories with this, so that the next two wait for nothing.
        sync_directory(place.parent)
        if new:
            self._make_lasting(place.parent)
        return place

    def remove(self, digest: str) -> None:
        """Remove a blob that nothing refers to, if it is there. Raises OSError."""
        self.path(digest).unlink(missing_ok=True)

    def arrive(self) -> "Arrival":
        """Return a blob to be, which takes its content piece by piece."""
        return Arrival(self)

    def open(self, digest: str) -> BinaryIO:
        """Open the blob for reading; FileNotFoundError when it is not stored."""
        return self.path(digest).open("rb")

    def forget_partial(self, *, age: float = ARRIVAL_SECONDS) -> int:
        """Remove what a crash left of arrivals older than `age` seconds; return how many."""
        before = time.time() - age
        removed = 0
        for path in self.incoming.iterdir():
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:  # it has arrived meanwhile, or another process was here
                continue
        return removed

    def _make_lasting(self, directory: Path) -> None:
        sync_directory(directory.parent)
        sync_directory(self.root)
        self._lasting.add(directory)

    def get(self, digest: str) -> bytes:
        """Return the blob's content; FileNotFoundError when it is not stored."""
        return self.path(digest).read_bytes()


class Arrival:
    """Content on its way into the store: `write` its pieces, then `keep` or `drop` it."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._place = blobs.incoming / secrets.token_hex(16)
        self._file = self._place.open("xb", buffering=0)
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, piece: bytes) -> None:
        """Take the next piece."""
        self._hash.update(piece)
        self._size += len(piece)
        rest = memoryview(piece)
        while rest:
            rest = rest[self._file.write(rest) :]

    def keep(self) -> Blob:
        """Make the blob durable and return it."""
        os.fsync(self._file.fileno())
        self._file.close()
        digest = self._hash.hexdigest()
        self._blobs.keep(self._place, digest)
        return Blob(digest, self._size)

    def drop(self) -> None:
        """Forget what was written, if it was not kept."""
        self._file.close()
        self._place.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Make renames inside `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
