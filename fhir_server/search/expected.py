"""What PostgreSQL expected of searches a moment ago.

To ask takes it as long as to plan the search, and the same is searched again and again. An
answer says how a search is carried out, never what it finds, so that it may lag.

https://www.postgresql.org/docs/current/using-explain.html
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

SECONDS: Final = 30.0
MOST: Final = 4096


@dataclass(frozen=True, slots=True)
class Counting:
    """What the planner expects of a count: so many matches in all, at this cost."""

    matches: int
    cost: float


@dataclass(frozen=True, slots=True)
class Expected:
    """The expectations of a process of one tenant's searches, for so many seconds."""

    clock: Callable[[], float] = time.monotonic
    _kept: OrderedDict[Hashable, tuple[float, Counting]] = field(default_factory=OrderedDict)

    def of(self, search: Hashable) -> Counting | None:
        """Return what was expected of a statement with its values; None if that is long ago."""
        asked, found = self._kept.get(search, (0.0, None))
        return found if found is not None and self.clock() - asked < SECONDS else None

    def keep(self, search: Hashable, found: Counting) -> Counting:
        """Remember what is expected, and return it."""
        self._kept.pop(search, None)
        self._kept[search] = (self.clock(), found)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return found
