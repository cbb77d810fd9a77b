"""Values used of late, as many as memory is meant to hold."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """The values used last; when their sizes exceed `most`, those used longest ago go.

    One that is larger than `most` is kept alone. Safe to use from several threads.
    """

    def __init__(self, most: int) -> None:
        """`most` is in the unit of the sizes; without sizes it is the number of values."""
        self.size = 0
        self._most = most
        self._kept: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> Value | None:
        """The value of a key, which is now the latest; None when it is not kept."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: Key, value: Value, size: int = 1) -> None:
        """Keep a value as the latest."""
        with self._lock:
            self._drop(key)
            self._kept[key] = value, size
            self.size += size
            while self.size > self._most and len(self._kept) > 1:
                _, (_, gone) = self._kept.popitem(last=False)
                self.size -= gone

    def pop(self, key: Key) -> None:
        """Let a value go, if it is kept."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: Key) -> None:
        if key in self._kept:
            self.size -= self._kept.pop(key)[1]

    def clear(self) -> None:
        """Let all of them go."""
        with self._lock:
            self._kept.clear()
            self.size = 0

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)
