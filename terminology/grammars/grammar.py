"""A code system whose codes are those that a rule accepts.

https://hl7.org/fhir/R4/valueset.html#infinite
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cached_property

from terminology.code_system import Head, Query, Selection
from terminology.concepts import Concept
from terminology.filters import Filter
from terminology.memory import MemoryCodeSystem

LONGEST = 200
"""Characters of a code."""


class GrammarCodeSystem:
    """Concepts read from their codes; a selection has the `common` ones alone.

    `filters` may rewrite a filter before it is applied, such as one that names a unit.
    """

    def __init__(
        self,
        head: Head,
        read: Callable[[str], Concept | None],
        common: Callable[[], Collection[str]] = tuple,
        rewrite: Callable[[Filter], Filter] = lambda asked: asked,
    ) -> None:
        """`read` gives the concept of a code, None where the rule refuses it."""
        self.head = replace(head, grammar=True)
        self._read, self._common, self._rewrite = read, common, rewrite

    async def find(self, codes: Collection[str]) -> Mapping[str, Concept]:
        """Concepts by the code asked for."""
        found = {code: self._read(code) for code in codes if len(code) <= LONGEST}
        return {code: concept for code, concept in found.items() if concept is not None}

    async def test(self, filters: tuple[Filter, ...], codes: Collection[str]) -> frozenset[str]:
        """Those of the codes for which every filter holds."""
        found = await self.find(codes)
        memory = MemoryCodeSystem(self.head, found.values(), ())
        held = await memory.test(self._rewritten(filters), {one.code for one in found.values()})
        return frozenset(code for code, concept in found.items() if concept.code in held)

    async def select(self, query: Query) -> Selection:
        """One page of the common concepts; a code that was typed whole is one of them."""
        query = replace(
            query,
            filters=self._rewritten(query.filters),
            excluded=tuple(self._rewritten(group) for group in query.excluded),
        )
        typed = await self.find([query.text] if query.text else [])
        if not typed:
            return await self._memory.select(query)
        known = await self._memory.find([one.code for one in typed.values()])
        new = [one for one in typed.values() if one.code not in known]
        memory = MemoryCodeSystem(self.head, (*new, *self._listed), ())
        return await memory.select(query)

    async def parents(self, codes: Collection[str]) -> Mapping[str, tuple[str, ...]]:  # noqa: ARG002 (CodeSystem)
        """None: there is no hierarchy."""
        return {}

    async def children(self, codes: Collection[str]) -> Mapping[str, tuple[str, ...]]:  # noqa: ARG002 (CodeSystem)
        """None: there is no hierarchy."""
        return {}

    async def subsumes(self, ancestor: str, descendant: str) -> bool:  # noqa: ARG002 (CodeSystem)
        """False: there is no hierarchy."""
        return False

    def _rewritten(self, filters: tuple[Filter, ...]) -> tuple[Filter, ...]:
        return tuple(self._rewrite(one) for one in filters)

    @cached_property
    def _listed(self) -> tuple[Concept, ...]:
        return tuple(one for one in map(self._read, self._common()) if one is not None)

    @cached_property
    def _memory(self) -> MemoryCodeSystem:
        return MemoryCodeSystem(self.head, self._listed, ())
