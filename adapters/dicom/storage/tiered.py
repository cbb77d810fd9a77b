"""Blobs on disk and in an object store: one place to write, one to read, whichever has them.

The disk takes every file first. With `ack` remote, a file is kept when the object store has it
too; with spool, when it is on disk, and it goes there soon. A file that the disk no longer has
is fetched when it is read.
"""

import hashlib
import importlib
import logging
import secrets
import threading
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

from adapters.dicom.storage.store import archive_root
from fhir_server.at_rest.files import opened
from fhir_server.at_rest.keys import Damaged, Keys
from fhir_server.blobs import Blobs, sync_directory
from fhir_server.dicom_settings import DicomSettings, S3Settings

log = logging.getLogger(__name__)

_PENDING: Final = "pending"
_DROPPED: Final = "dropped"


class Remote(Protocol):
    """An object store that has blobs by their hex digest. All raise OSError."""

    def put(self, path: Path, digest: str) -> None:
        """Store the content of a file; it is durable, and was compared, when this returns."""

    def fetch(self, digest: str, path: Path) -> None:
        """Write the content to a new file; FileNotFoundError where it is not stored."""

    def remove(self, digest: str) -> None:
        """Remove the content, if it is there."""

    def stored_at(self, digest: str) -> float | None:
        """Return when the content was last stored (seconds since the epoch), None for never."""


class Tiered(Blobs):
    """A directory of blobs before an object store."""

    def __init__(
        self, root: Path, remote: Remote, *, spool: bool, keys: Keys | None = None
    ) -> None:
        super().__init__(root, keys)
        self._remote = remote
        self._spool = spool
        self._pending = root / _PENDING
        self._pending.mkdir(exist_ok=True)
        self._dropped = root / _DROPPED
        self._dropped.mkdir(exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return where the blob lies; it is fetched when the disk does not have it."""
        place = self.place(digest)
        if not place.exists():
            self._fetch(digest, place)
        return place

    def keep(self, temporary: Path, digest: str) -> Path:
        """Move a synced file to its place, and to the object store now or soon."""
        if self._spool:
            (self._pending / digest).touch()
            sync_directory(self._pending)
        place = super().keep(temporary, digest)
        if not self._spool:
            self._remote.put(place, digest)
        return place

    def replace(self, temporary: Path, digest: str) -> None:
        """Put the same content, sealed otherwise, in its place here and in the object store."""
        (self._pending / digest).touch()
        sync_directory(self._pending)
        super().replace(temporary, digest)
        if not self._spool:
            self._remote.put(self.place(digest), digest)
            (self._pending / digest).unlink(missing_ok=True)

    def waiting(self) -> bool:
        """Return whether files are still to be brought to the object store."""
        return any(self._pending.iterdir())

    def remove(self, digest: str) -> None:
        """Remove a blob here and there. Raises OSError."""
        with self.still():
            (self._pending / digest).unlink(missing_ok=True)
            self.place(digest).unlink(missing_ok=True)
            self._remote.remove(digest)

    def drop(self, digest: str) -> None:
        """Note that a row needs this blob no more; the sweep sees whether another does."""
        (self._dropped / digest).touch()

    def dropped(self, before: float) -> list[str]:
        """Return the digests that were dropped before this time (seconds since the epoch)."""
        return sorted(one.name for one in self._dropped.iterdir() if one.stat().st_mtime < before)

    def settle(self, digest: str, before: float, *, needed: bool) -> None:
        """Remove what was dropped from the object store, unless it is needed. Raises OSError.

        Equal content may arrive meanwhile: here, where its file is on disk before it is in the
        object store, or at another machine; what was stored after `before` waits.
        """
        if not needed:
            stored = self._remote.stored_at(digest)
            if stored is not None and stored >= before:
                return
            self._remote.remove(digest)
            if self.place(digest).exists():
                self._remote.put(self.place(digest), digest)
        (self._dropped / digest).unlink(missing_ok=True)

    def upload_pending(self) -> int:
        """Bring what waits to the object store, and return how much it was. Raises OSError."""
        done = 0
        for mark in sorted(self._pending.iterdir()):
            place = self.place(mark.name)
            if place.exists():
                self._remote.put(place, mark.name)
                done += 1
                mark.unlink(missing_ok=True)
            # A mark without its file is of an arrival under way, or of a crash before it.
        return done

    def make_room(self, most: int) -> int:
        """Remove the oldest files that the object store has until the disk holds `most` bytes.

        Returns how many were removed.
        """
        waiting = {mark.name for mark in self._pending.iterdir()}
        found = [
            (status.st_mtime, status.st_size, path)
            for path in self.root.glob("[0-9a-f][0-9a-f]/*/*")
            if (status := path.stat())
        ]
        held = sum(size for _, size, _ in found)
        removed = 0
        for _, size, path in sorted(found):
            if held <= most:
                break
            if path.name not in waiting:
                path.unlink(missing_ok=True)
                held -= size
                removed += 1
        return removed

    def _fetch(self, digest: str, place: Path) -> None:
        """Bring a blob to the disk; what is not what it is called is not taken."""
        temporary = self.incoming / secrets.token_hex(16)
        try:
            self._remote.fetch(digest, temporary)
            if not self._is_whole(temporary, digest):
                raise OSError("What the object store has is not what was stored")
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary.rename(place)
        except FileNotFoundError:
            return  # Whoever opens it is told.
        finally:
            temporary.unlink(missing_ok=True)

    def _is_whole(self, path: Path, digest: str) -> bool:
        """Return whether a file holds the content of this digest."""
        try:
            with opened(path, digest, self.keys) as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == digest
        except Damaged:
            return False


def archive_blobs(blobs: Blobs, settings: DicomSettings) -> Blobs:
    """Return the archive's blobs under the server's, and in the object store that is set."""
    place = archive_root(blobs.root)
    if not settings.s3.bucket:
        return Blobs(place, blobs.keys)
    spool = settings.s3.ack == "spool"
    return Tiered(place, _remote(settings.s3), spool=spool, keys=blobs.keys)


def tend(blobs: Blobs, most: int, stop: threading.Event, seconds: float = 5.0) -> None:
    """Bring waiting files to the object store, and make room, until `stop` is set."""
    while isinstance(blobs, Tiered):
        try:
            blobs.upload_pending()
            if most:
                blobs.make_room(most)
        except OSError as error:
            log.warning("the object store does not answer: %s", type(error).__name__)
        if stop.wait(seconds):
            return


# The library takes most of a second to import, which only those pay for who use it.
@lru_cache(maxsize=1)
def _remote(settings: S3Settings) -> Remote:
    made: Remote = importlib.import_module("adapters.dicom.storage.s3").S3(settings)
    return made
