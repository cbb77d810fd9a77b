"""A library that is asked everything once in a call, or for many questions together.

The rules ask for the same code system again and again, and each question costs a look into the
database. What is written meanwhile is for the next call, so that a call sees one state.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any

from terminology.code_system import CodeSystem
from terminology.concept_map import ConceptMap
from terminology.library import Library
from terminology.value_set import ValueSet


class Once:
    """Another library, its answers kept."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._known: dict[Hashable, Any] = {}

    async def code_systems(self, url: str) -> Sequence[CodeSystem]:
        """Code systems of a url."""
        found: Sequence[CodeSystem] = await self._asked(self._library.code_systems, url)
        return found

    async def value_sets(self, url: str) -> Sequence[ValueSet]:
        """Value sets of a url."""
        found: Sequence[ValueSet] = await self._asked(self._library.value_sets, url)
        return found

    async def concept_maps(self, url: str | None, system: str | None) -> Sequence[ConceptMap]:
        """Concept maps of a url, or of a system."""
        found: Sequence[ConceptMap] = await self._asked(self._library.concept_maps, url, system)
        return found

    async def systems(self) -> Mapping[str, Sequence[str]]:
        """The code systems with content."""
        found: Mapping[str, Sequence[str]] = await self._asked(self._library.systems)
        return found

    async def _asked(self, ask: Callable[..., Awaitable[Any]], *given: str | None) -> Any:  # noqa: ANN401
        key = ask.__name__, given
        if key not in self._known:
            self._known[key] = await ask(*given)
        return self._known[key]
