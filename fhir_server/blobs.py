"""Large content by its hash, on disk.

A blob is durable when `put` returns: written beside its place, synced, renamed,
its directory synced. Equal content is stored once.
"""

import hashlib
import os
import secrets
from pathlib import Path


class Blobs:
    """A directory of blobs named by the SHA-256 of their content, as `aa/bb/<hex>`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.incoming.mkdir(parents=True, exist_ok=True)
        # Directories that this process has seen synced up to the root: one that another made a
        # moment ago exists, and a power cut could still take it away.
        self._lasting: set[Path] = set()

    def path(self, digest: str) -> Path:
        """Return where the blob of this hex digest lies, or would lie."""
        return self.root / digest[:2] / digest[2:4] / digest

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
        place = self.path(digest)
        new = place.parent not in self._lasting
        if new:
            place.parent.mkdir(parents=True, exist_ok=True)
        temporary.rename(place)
        # A journal commits the new directories with this, so that the next two wait for nothing.
        sync_directory(place.parent)
        if new:
            self._make_lasting(place.parent)
        return place

    def _make_lasting(self, directory: Path) -> None:
        sync_directory(directory.parent)
        sync_directory(self.root)
        self._lasting.add(directory)

    def get(self, digest: str) -> bytes:
        """Return the blob's content; FileNotFoundError when it is not stored."""
        return self.path(digest).read_bytes()


def sync_directory(directory: Path) -> None:
    """Make renames inside `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
