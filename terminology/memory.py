"""A code system kept in memory, built from a CodeSystem resource.

https://hl7.org/fhir/R4/codesystem.html
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

from terminology.code_system import Head, Query, Selection
from terminology.concepts import Concept
from terminology.filters import (
    HIERARCHY,
    OPS,
    Filter,
    Test,
    UnsupportedFilter,
    every,
    property_test,
)
from terminology.pausing import aside, sift
from terminology.words import relevance, searched

Values = Callable[[Concept], tuple[str, ...]]


class MemoryCodeSystem:
    """Concepts by code in definition order, with their edges both ways."""

    def __init__(
        self, head: Head, concepts: Iterable[Concept], edges: Iterable[tuple[str, str]]
    ) -> None:
        """`edges` are (parent, child); those that name an unknown code are left out."""
        self.head = head
        self._concepts = {concept.code: concept for concept in concepts}
        self._folded = (
            {} if head.case_sensitive else {code.casefold(): code for code in self._concepts}
        )
        self._parents: dict[str, list[str]] = defaultdict(list)
        self._children: dict[str, list[str]] = defaultdict(list)
        for parent, child in dict.fromkeys(edges):
            if parent in self._concepts and child in self._concepts:
                self._parents[child].append(parent)
                self._children[parent].append(child)

    async def find(self, codes: Collection[str]) -> Mapping[str, Concept]:
        """Concepts by the code asked for."""
        found = {code: self._get(code) for code in codes}
        return {code: concept for code, concept in found.items() if concept is not None}

    def _get(self, code: str) -> Concept | None:
        known = self._concepts.get(code)
        if known is None and self._folded:
            known = self._concepts.get(self._folded.get(code.casefold(), ""))
        return known

    async def test(self, filters: tuple[Filter, ...], codes: Collection[str]) -> frozenset[str]:
        """Those of the codes for which every filter holds."""
        test = every(self._test(one) for one in filters)
        found = ((code, one) for code in codes if (one := self._get(code)) is not None)
        kept = await sift(found, lambda pair: test(pair[1]), len(filters))
        return frozenset(code for code, _ in kept)

    async def select(self, query: Query) -> Selection:
        """One page of the concepts that a query wants."""
        wanted = every(self._test(one) for one in query.filters)
        unwanted = [every(self._test(one) for one in group) for group in query.excluded]

        def keep(concept: Concept) -> bool:
            return (
                not (query.active_only and concept.inactive)
                and not (query.selectable_only and concept.abstract)
                and wanted(concept)
                and not any(test(concept) for test in unwanted)
            )

        tests = len(query.filters) + sum(map(len, query.excluded))
        chosen = await sift(self._concepts.values(), keep, tests)
        if query.text:
            chosen = await aside(len(chosen), _ranked, chosen, query.text, query.languages)
        end = None if query.limit is None else query.offset + query.limit
        return Selection(tuple(chosen[query.offset : end]), len(chosen))

    async def parents(self, codes: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Direct parents of each code."""
        return {code: tuple(self._parents[code]) for code in codes if code in self._parents}

    async def children(self, codes: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Direct children of each code."""
        return {code: tuple(self._children[code]) for code in codes if code in self._children}

    async def subsumes(self, ancestor: str, descendant: str) -> bool:
        """True when the first is an ancestor of the second."""
        return ancestor != descendant and ancestor in self._reach(descendant, self._parents)

    def _reach(self, start: str, edges: Mapping[str, list[str]]) -> set[str]:
        """All that edges lead to; a cycle ends where it began."""
        seen: set[str] = set()
        todo = list(edges.get(start, ()))
        while todo:
            code = todo.pop()
            if code not in seen:
                seen.add(code)
                todo.extend(edges.get(code, ()))
        return seen

    def _test(self, asked: Filter) -> Test:
        if asked.op not in OPS:
            raise UnsupportedFilter(asked, "the operation is unknown")
        if asked.op in HIERARCHY:
            return self._hierarchy_test(asked)
        return property_test(asked, self._values(asked))

    def _hierarchy_test(self, asked: Filter) -> Test:
        if asked.property not in {"concept", "code"}:
            raise UnsupportedFilter(asked, "the operation is one of the hierarchy")
        focus = self._get(asked.value or "")
        if focus is None:
            return lambda _: asked.op == "is-not-a"
        below = self._reach(focus.code, self._children)
        match asked.op:
            case "is-a":
                codes = below | {focus.code}
            case "is-not-a":
                codes = self._concepts.keys() - below - {focus.code}
            case "generalizes":
                codes = self._reach(focus.code, self._parents) | {focus.code}
            case "child-of":
                codes = set(self._children.get(focus.code, ()))
            case "descendent-leaf":
                codes = {code for code in below if code not in self._children}
            case _:
                codes = below
        return lambda concept: concept.code in codes

    def _values(self, asked: Filter) -> Values:
        code = asked.property
        if code in {"concept", "code"}:
            return lambda concept: (concept.code,)
        if code == "display":
            return lambda concept: (concept.display,) if concept.display else ()
        defined = self.head.defined(code)
        role = defined.role if defined else code
        if role == "parent":
            return lambda concept: tuple(self._parents.get(concept.code, ()))
        if role == "child":
            return lambda concept: tuple(self._children.get(concept.code, ()))
        if defined is None and role == "inactive":
            return lambda concept: (written(concept.inactive),)
        if defined is None and role not in {"status", "notSelectable", "definition"}:
            raise UnsupportedFilter(asked, "the property is unknown")
        name = defined.code if defined else code
        return lambda concept: tuple(written(p.value) for p in concept.properties if p.code == name)


def written(value: object) -> str:
    """The value of a property as filters compare it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return str(value.get("code", ""))
    return str(value)


def _ranked(concepts: list[Concept], text: str, languages: tuple[str, ...]) -> list[Concept]:
    scored = []
    for position, concept in enumerate(concepts):
        score = relevance(text, searched(concept, languages))
        if score is not None:
            scored.append((score, concept.code, position))
    return [concepts[position] for _, _, position in sorted(scored)]
