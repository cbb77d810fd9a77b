"""Included resources, gathered round by round.

A round is what the includes add to the matches, then what `:iterate` adds to that.
Each is walked in order of creation, so that a page can end anywhere and the next
one goes on there.

https://hl7.org/fhir/R4/search.html#include
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fhir_server.database import Connection
from fhir_server.search.follow import follow
from fhir_server.search.query import Include
from fhir_server.store.find import rows
from fhir_server.store.page import ANY_SIZE, Found
from fhir_server.store.shown import hidden

MOST_SOURCES = 100_000
"""Resources of one round beyond which `:iterate` is not followed: they are held in memory."""


class Stage(NamedTuple):
    """Where a page of includes begins: in which round, behind which key."""

    round: int
    after: int


START = Stage(1, 0)


@dataclass(frozen=True, slots=True)
class Included:
    """A page of includes; where the next one begins, and whether iteration stopped short."""

    found: list[Found]
    rest: Stage | None = None
    beyond: bool = False


async def included(
    connection: Connection,
    includes: Sequence[Include],
    matches: Sequence[int],
    *,
    limit: int,
    rounds: int,
    start: Stage = START,
    most_bytes: int = ANY_SIZE,
) -> Included:
    """Return up to `limit` resources that the includes add to the matches, each once.

    The page ends when their bodies have reached `most_bytes`. `beyond` says that
    there is more behind the last of the `rounds`, or behind so many resources that
    they were not followed.
    """
    walk = _Walk(connection, includes, list(matches))
    found: list[Found] = []
    for number in range(1, rounds + 1):
        if not walk.goes_on:
            return Included(found)
        if number < start.round:
            if not await walk.skip():
                return Included(found, beyond=True)
            continue
        after = start.after if number == start.round else 0
        room = limit - len(found)
        added = await walk.page(after, room + 1, most_bytes - sum(len(one.body) for one in found))
        shown = [one for one in added[:room] if one.body]
        found += shown
        if len(added) > len(shown):
            return Included(found, Stage(number, shown[-1].key if shown else after))
        if not await walk.done(after, added):
            return Included(found, beyond=True)
    return Included(found, beyond=walk.goes_on and bool(await walk.keys(1)))


class _Walk:
    """From which resources the next round starts, and which were there before."""

    def __init__(
        self, connection: Connection, includes: Sequence[Include], matches: list[int]
    ) -> None:
        self.connection = connection
        self.asked = list(includes)
        self.sources = matches
        self.seen = matches
        self.iterates = [one for one in includes if one.iterate]

    @property
    def goes_on(self) -> bool:
        """Return whether there is anything to follow from."""
        return bool(self.sources and self.asked)

    async def page(self, after: int, limit: int, most_bytes: int) -> list[Found]:
        """Return resources of this round behind a key, without bodies that do not fit."""
        statement = follow(
            self.asked, self.sources, self.seen, limit, after=after, most_bytes=most_bytes
        )
        found = await rows(self.connection, statement)
        if any(one[3] == b"" for one in found):
            raise hidden()
        return [Found(key, version, at, body or b"") for key, version, at, body in found]

    async def keys(self, limit: int) -> list[int]:
        """Return the keys of this round."""
        statement = follow(self.asked, self.sources, self.seen, limit)
        return [row[0] for row in await rows(self.connection, statement)]

    async def skip(self) -> bool:
        """Go on to the next round; False when this one has too many resources to go on from."""
        keys = await self.keys(MOST_SOURCES + 1)
        self._follow_from(keys)
        return len(keys) <= MOST_SOURCES

    async def done(self, after: int, added: Sequence[Found]) -> bool:
        """Go on to the next round after its last page, `added`, which began behind `after`."""
        if after and self.iterates:
            return await self.skip()
        self._follow_from([one.key for one in added])
        return True

    def _follow_from(self, keys: list[int]) -> None:
        self.seen = [*self.seen, *keys]
        self.sources = keys
        self.asked = self.iterates
