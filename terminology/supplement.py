"""A code system with supplements laid over it.

https://hl7.org/fhir/R4/codesystem.html#supplements
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from terminology.code_system import CodeSystem, Head, Query, Selection
from terminology.concepts import Concept, extended
from terminology.filters import Filter


class Supplemented:
    """Designations and properties are added to concepts; codes and hierarchy are the system's."""

    def __init__(self, system: CodeSystem, supplements: tuple[CodeSystem, ...]) -> None:
        self._system, self._supplements = system, supplements
        added = tuple(one for each in supplements for one in each.head.properties)
        self.head: Head = replace(system.head, properties=system.head.properties + added)

    async def find(self, codes: Collection[str]) -> Mapping[str, Concept]:
        """Concepts by the code asked for."""
        found = await self._system.find(codes)
        full = await self._extend(tuple(found.values()))
        return dict(zip(found, full, strict=True))

    async def _extend(self, concepts: tuple[Concept, ...]) -> tuple[Concept, ...]:
        codes = [concept.code for concept in concepts]
        for supplement in self._supplements:
            extra = await supplement.find(codes)
            source = supplement.head.canonical
            concepts = tuple(
                extended(one, extra[one.code], source) if one.code in extra else one
                for one in concepts
            )
        return concepts

    async def test(self, filters: tuple[Filter, ...], codes: Collection[str]) -> frozenset[str]:
        """Those of the codes for which every filter holds."""
        return await self._system.test(filters, codes)

    async def select(self, query: Query) -> Selection:
        """One page of the concepts that a query wants."""
        selection = await self._system.select(query)
        return replace(selection, concepts=await self._extend(selection.concepts))

    async def parents(self, codes: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Direct parents of each code."""
        return await self._system.parents(codes)

    async def children(self, codes: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Direct children of each code."""
        return await self._system.children(codes)

    async def subsumes(self, ancestor: str, descendant: str) -> bool:
        """True when the first is an ancestor of the second."""
        return await self._system.subsumes(ancestor, descendant)
