"""The loaded code systems as a library.

https://hl7.org/fhir/R4/terminology-module.html
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from terminology.code_system import CodeSystem
from terminology.concept_map import ConceptMap
from terminology.library import whole_system
from terminology.postgres.code_system import Memory, PostgresCodeSystem, memory
from terminology.postgres.conditions import Constraint
from terminology.postgres.releases import Release, current_releases
from terminology.postgres.rows import Connections
from terminology.value_set import ValueSet


class PostgresLibrary:
    """What serves is looked up anew every `seconds`: a switch is seen within that time.

    Between two looks nothing is asked of the database to find a code system.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        constraint: Constraint | None = None,
        kept: Memory | None = None,
        seconds: float = 1.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`constraint` evaluates expression constraints, `kept` is what memory may hold."""
        self._connections, self._constraint = connections, constraint
        self._kept = kept or memory()
        self._seconds, self._clock = seconds, clock
        self._looked: float | None = None
        self._looking = asyncio.Lock()
        self._releases: dict[int, Release] = {}
        self._systems: dict[str, list[CodeSystem]] = {}
        self._value_sets: dict[str, list[ValueSet]] = {}

    async def code_systems(self, url: str) -> Sequence[CodeSystem]:
        """The releases of a url."""
        await self._look()
        return self._systems.get(url, ())

    async def value_sets(self, url: str) -> Sequence[ValueSet]:
        """The value sets of all codes of a release."""
        await self._look()
        return self._value_sets.get(url, ())

    async def concept_maps(self, url: str | None, system: str | None) -> Sequence[ConceptMap]:  # noqa: ARG002 - the Protocol's
        """None: maps are resources."""
        return ()

    async def systems(self) -> Mapping[str, Sequence[str]]:
        """The versions of the releases by url."""
        await self._look()
        return {
            url: [one.head.version for one in known if one.head.version]
            for url, known in self._systems.items()
        }

    async def _look(self) -> None:
        """Look what serves, where the last look is too long ago; one look at a time."""
        if self._is_fresh():
            return
        async with self._looking:
            if not self._is_fresh():
                self._serve(await current_releases(self._connections, self._releases))
                self._looked = self._clock()

    def _is_fresh(self) -> bool:
        return self._looked is not None and self._clock() - self._looked < self._seconds

    def _serve(self, releases: dict[int, Release]) -> None:
        if releases.keys() == self._releases.keys() and self._looked is not None:
            return
        systems: dict[str, list[CodeSystem]] = defaultdict(list)
        value_sets: dict[str, list[ValueSet]] = defaultdict(list)
        for release in releases.values():
            system = PostgresCodeSystem(self._connections, release, self._kept, self._constraint)
            systems[release.head.url].append(system)
            if release.head.value_set:
                value_sets[release.head.value_set].append(whole_system(system))
        self._releases, self._systems, self._value_sets = releases, systems, value_sets
