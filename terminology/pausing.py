"""Pauses in long work in memory, in which others run and a time limit takes effect.

https://docs.python.org/3/library/asyncio-task.html#sleeping
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

SECONDS = 0.005
# So many simple tests take about a millisecond.
TESTS = 5_000
# Work on more items than this is done in a thread.
MANY = 2_000


class Pause:
    """Gives way when it has not done so for some milliseconds."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def __call__(self) -> None:
        """Let others run if it is time."""
        if time.monotonic() - self._since > SECONDS:
            await asyncio.sleep(0)
            self._since = time.monotonic()


async def aside(size: int, function: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """What a pure function returns; in a thread where its work is on many items."""
    if size > MANY:
        return await asyncio.to_thread(function, *given, **named)
    return function(*given, **named)


async def sift(items: Iterable[T], keep: Callable[[T], bool], tests: int) -> list[T]:
    """The items to keep, with pauses; `tests` is how many tests one item costs."""
    pause, left, kept = Pause(), iter(items), list[T]()
    size = max(1, TESTS // max(1, tests))
    while chunk := list(islice(left, size)):
        kept += filter(keep, chunk)
        await pause()
    return kept
