"""The places for associations that all processes of a machine share.

https://man7.org/linux/man-pages/man2/fcntl_locking.2.html
"""

import fcntl
import os
import struct
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# struct flock: type, whence, start, length, process (0 for open file description locks).
_FLOCK = struct.Struct("@hhqqi4x")
_HOST_STRIDE = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """How many associations there may be, in all and from one address."""

    total: int
    per_host: int


class Places:
    """A file of which an association locks two bytes: one of all, one of its host's.

    The kernel frees the bytes of a process that ends, however it ends. Hosts are told
    apart by their CRC-32, so that two that share one share their places too.
    """

    def __init__(self, path: Path | None, limits: Limits) -> None:
        """Open the file, in memory for this process alone where there is no path."""
        self._file = (
            os.memfd_create("places")
            if path is None
            else os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        )
        self.limits = limits
        self._lock = threading.Lock()
        self._held: set[int] = set()

    def take(self, host: str) -> Callable[[], None] | None:
        """Return what gives the place back, None where all are taken."""
        first = (1 + zlib.crc32(host.encode())) * _HOST_STRIDE
        with self._lock:
            own = self._free(first, self.limits.per_host)
            if own is None:
                return None
            common = self._free(0, self.limits.total)
            if common is None:
                self._unlock(own)
                return None
        return lambda: self._give(own, common)

    def close(self) -> None:
        """Give all places back."""
        with self._lock:
            self._held.clear()
            os.close(self._file)

    def _give(self, *taken: int) -> None:
        with self._lock:
            for one in self._held.intersection(taken):
                self._unlock(one)

    def _free(self, first: int, count: int) -> int | None:
        """Lock a byte that nobody holds, ourselves included, of so many."""
        places = (one for one in range(first, first + count) if one not in self._held)
        return next((one for one in places if self._locked(one)), None)

    def _locked(self, place: int) -> bool:
        try:
            self._set(place, fcntl.F_WRLCK)
        except BlockingIOError:
            return False
        self._held.add(place)
        return True

    def _unlock(self, place: int) -> None:
        self._set(place, fcntl.F_UNLCK)
        self._held.discard(place)

    def _set(self, place: int, kind: int) -> None:
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, place, 1, 0))
