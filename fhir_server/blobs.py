"""Large content by its hash, on disk, sealed.

A blob is durable when `put` returns: written beside its place, synced, renamed,
its directory synced. Equal content is stored once.
"""

import fcntl
import hashlib
import io
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fhir_server.at_rest.files import Stored, opened, write_all
from fhir_server.at_rest.keyring import FOLDER, keyring
from fhir_server.at_rest.keys import Keys
from fhir_server.at_rest.sealed import Sealer
from fhir_server.config import Settings

# An arrival that lasts longer than this has died.
ARRIVAL_SECONDS = 24 * 3600.0
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Blob:
    """Large content that is stored: its SHA-256 in hexadecimal, and its size in bytes."""

    digest: str
    size: int


class Blobs:
    """A directory of blobs named by the SHA-256 of their content, as `aa/bb/<hex>`.

    They are sealed under `keys`; without, they lie there as they are.
    """

    def __init__(self, root: Path, keys: Keys | None = None) -> None:
        self.root = root
        self.keys = keys
        self.incoming = root / "incoming"
        self.incoming.mkdir(parents=True, exist_ok=True)
        # Directories that this process has seen synced up to the root: one that another made a
        # moment ago exists, and a power cut could still take it away.
        self._lasting: set[Path] = set()

    def place(self, digest: str) -> Path:
        """Return where the blob of this hex digest belongs on disk."""
        return self.root / digest[:2] / digest[2:4] / digest

    def path(self, digest: str) -> Path:
        """Return where the blob of this hex digest lies, or would if it were stored."""
        return self.place(digest)

    def put(self, content: bytes) -> str:
        """Store `content` durably and return its hex SHA-256."""
        digest = hashlib.sha256(content).hexdigest()
        if self.path(digest).exists():
            sync_directory(self.path(digest).parent)
            self._make_lasting(self.path(digest).parent)
            return digest
        arrival = self.arrive()
        try:
            arrival.write(content)
            return arrival.keep().digest
        finally:
            arrival.drop()

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

    def replace(self, temporary: Path, digest: str) -> None:
        """Put the same content, sealed otherwise, in the place of a blob that is there."""
        temporary.rename(self.place(digest))
        sync_directory(self.place(digest).parent)

    def waiting(self) -> bool:
        """Return whether what is kept elsewhere is not yet what is kept here."""
        return False

    def remove(self, digest: str) -> None:
        """Remove a blob that nothing refers to, if it is there. Raises OSError."""
        with self.still():
            self.place(digest).unlink(missing_ok=True)

    @contextmanager
    def still(self) -> Iterator[None]:
        """Have no other process remove a blob, or put it in its place sealed anew, meanwhile.

        Else a rotation could bring back what was just erased.
        """
        # Beside the directory, where no sweep takes it for a blob.
        with self.root.with_name(self.root.name + _LOCK).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def arrive(self) -> "Arrival":
        """Return a blob to be, which takes its content piece by piece. Raises OSError."""
        return Arrival(self)

    def open(self, digest: str) -> io.BufferedReader:
        """Open the blob for reading from any place.

        FileNotFoundError when it is not stored; Damaged (at_rest/keys.py) when it is not what
        was stored, here or where it is read.
        """
        return opened(self.path(digest), digest, self.keys)

    def stored(self, digest: str) -> Stored:
        """Return the blob as what can be opened as often as it is needed, like a path."""
        return Stored(self.path(digest), digest, self.keys)

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
        """Return the blob's content; raises as `open` does."""
        with self.open(digest) as file:
            return file.read()


def blobs_of(settings: Settings, conninfo: str, tenant: str) -> Blobs:
    """Return the blobs of a tenant, by its settings and for a session of its own."""
    return Blobs(settings.data_dir / FOLDER, keyring(settings, conninfo, tenant))


class Arrival:
    """Content on its way into the store: `write` its pieces, then `keep` or `drop` it.

    `size` is how many bytes have come.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._place = blobs.incoming / secrets.token_hex(16)
        key = blobs.keys.current() if blobs.keys else None
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._place, flags, 0o600)
        self._hash = hashlib.sha256()
        self.size = 0
        try:
            self._sealer = Sealer(self._append, key) if key else None
        except OSError:
            self.drop()
            raise

    def write(self, piece: bytes | memoryview) -> None:
        """Take the next piece. Raises OSError."""
        self._hash.update(piece)
        self.size += len(piece)
        if self._sealer:
            self._sealer.write(piece)
        else:
            self._append(memoryview(piece))

    def end(self) -> None:
        """Finish and close the file, which is then read by `stored` and dropped. Raises OSError."""
        self._finish()
        self._close()

    def stored(self) -> Stored:
        """Return what has come, to be read before it is kept; nothing comes after it."""
        self._finish()
        return Stored(self._place, self._hash.hexdigest(), self._blobs.keys)

    def digest(self) -> bytes:
        """Return the SHA-256 of what has come."""
        return self._hash.digest()

    def keep(self) -> Blob:
        """Make the blob durable and return it."""
        digest = self._hash.hexdigest()
        self._blobs.keep(self.synced(), digest)
        return Blob(digest, self.size)

    def synced(self) -> Path:
        """Return the file, which is whole on disk; nothing comes after it. Raises OSError."""
        self._finish()
        os.fsync(self._descriptor)
        self._close()
        return self._place

    def drop(self) -> None:
        """Forget what was written, if it was not kept."""
        self._close()
        self._place.unlink(missing_ok=True)

    def _finish(self) -> None:
        if self._sealer:
            self._sealer.finish(self._hash.digest())
            self._sealer = None

    def _append(self, data: memoryview) -> None:
        write_all(self._descriptor, data)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def sync_directory(directory: Path) -> None:
    """Make renames inside `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
