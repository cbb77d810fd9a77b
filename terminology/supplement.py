"""A code system with supplements laid over it.

https://hl7.org/fhir/R4/codesystem.html#supplements
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from operator import itemgetter

from terminology.code_system import CodeSystem, Head, Query, Selection
from terminology.concepts import Concept, extended
from terminology.filters import Filter
from terminology.words import relevance, searched


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
        """One page of the concepts that a query wants.

        Those that only a text of a supplement finds come first.
        """
        more = await self._found_here(query, query.text) if query.text else []
        end = None if query.limit is None else query.offset + query.limit
        here = more[query.offset : end]
        left = None if query.limit is None else query.limit - len(here)
        rest = replace(query, offset=max(0, query.offset - len(more)), limit=left)
        selection = await self._system.select(rest)
        concepts = (*here, *await self._extend(selection.concepts))
        return Selection(concepts, len(more) + selection.total)

    async def _found_here(self, query: Query, text: str) -> list[Concept]:
        """The concepts of which only the supplements have a text with the words, best first."""
        named = [await each.select(Query(text=text)) for each in self._supplements]
        codes = {one.code for selection in named for one in selection.concepts}
        own = await self._system.find(codes)
        bare = [one for one in own.values() if _rank(one, query, text) is None]
        ranked = [
            (rank, one.code, one)
            for one in await self._extend(tuple(bare))
            if (rank := _rank(one, query, text)) is not None
        ]
        wanted = await self._wanted(query, {code for _, code, _ in ranked})
        return [
            one
            for _, code, one in sorted(ranked, key=itemgetter(0, 1))
            if code in wanted
            and not (query.active_only and one.inactive)
            and not (query.selectable_only and one.abstract)
        ]

    async def _wanted(self, query: Query, codes: Collection[str]) -> set[str]:
        kept = set(await self._system.test(query.filters, codes))
        for filters in query.excluded:
            kept -= await self._system.test(filters, kept)
        return kept

    async def parents(self, codes: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Direct parents of each code."""
        return await self._system.parents(codes)

    async def children(self, codes: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Direct children of each code."""
        return await self._system.children(codes)

    async def subsumes(self, ancestor: str, descendant: str) -> bool:
        """True when the first is an ancestor of the second."""
        return await self._system.subsumes(ancestor, descendant)


def _rank(concept: Concept, query: Query, text: str) -> tuple[int, int] | None:
    return relevance(text, searched(concept, query.languages))
