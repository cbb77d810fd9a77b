"""Values made once and kept while there is room."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from terminology.recent import Recent

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """The values used last.

    Who asks for a value that is being made waits for it. What fails is made again by the
    next who asks.
    """

    def __init__(self, most: int) -> None:
        """`most` is in the unit of the sizes that are given with the values."""
        self.values: Recent[Key, Value] = Recent(most)
        self._making: dict[Key, tuple[asyncio.Lock, int]] = {}

    async def ask(self, key: Key, make: Callable[[], Awaitable[tuple[Value, int]]]) -> Value:
        """Return the value; `make` gives it with its size where it is not kept."""
        found = self.values.get(key)
        if found is not None:
            return found
        lock, waiting = self._making.get(key, (asyncio.Lock(), 0))
        self._making[key] = lock, waiting + 1
        try:
            async with lock:
                found = self.values.get(key)
                if found is None:
                    found, size = await make()
                    self.values.put(key, found, size)
                return found
        finally:
            self._leave(key)

    def _leave(self, key: Key) -> None:
        lock, waiting = self._making.pop(key)
        if waiting > 1:
            self._making[key] = lock, waiting - 1
