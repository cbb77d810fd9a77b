"""Values made once and kept while there is room."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """The values used last; when their sizes exceed `most`, those used longest ago go.

    Who asks for a value that is being made waits for it. What fails is made again by the
    next who asks.
    """

    def __init__(self, most: int) -> None:
        """`most` is in the unit of the sizes that are given with the values."""
        self.size = 0
        self._most = most
        self._values: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._making: dict[Key, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """Return a value that is kept."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    async def ask(self, key: Key, make: Callable[[], Awaitable[tuple[Value, int]]]) -> Value:
        """Return the value; `make` gives it with its size where it is not kept."""
        found = self.get(key)
        if found is not None:
            return found
        lock, waiting = self._making.get(key, (asyncio.Lock(), 0))
        self._making[key] = lock, waiting + 1
        try:
            async with lock:
                found = self.get(key)
                if found is None:
                    found, size = await make()
                    self._put(key, found, size)
                return found
        finally:
            self._leave(key)

    def _leave(self, key: Key) -> None:
        lock, waiting = self._making.pop(key)
        if waiting > 1:
            self._making[key] = lock, waiting - 1

    def _put(self, key: Key, value: Value, size: int) -> None:
        self._values[key] = value, size
        self.size += size
        while self.size > self._most and len(self._values) > 1:
            _, (_, gone) = self._values.popitem(last=False)
            self.size -= gone

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self.size = 0
