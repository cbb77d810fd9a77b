"""A code system whose concepts lie in PostgreSQL.

https://hl7.org/fhir/R4/codesystem.html
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from terminology.code_system import Head, Query, Selection
from terminology.concepts import Concept
from terminology.filters import HIERARCHY, Filter, regex
from terminology.implicit_maps import Mapped
from terminology.postgres.conditions import Condition, Constraint, both, negated
from terminology.postgres.entries import (
    BODIES,
    BY_CODE,
    BY_LOWER,
    Entry,
    read_concept,
    read_entry,
)
from terminology.postgres.filters import CODE, condition, values
from terminology.postgres.mapped import mapped
from terminology.postgres.patterns import matching, texts_of
from terminology.postgres.releases import Release
from terminology.postgres.rows import Connections, Row, rows
from terminology.postgres.selection import Wanted, Window, fitting, page, window
from terminology.recent import Recent

CHUNK = 1000
"""Concepts read at once."""
MANY = 1000
"""Codes from which on they are tested by a list of all that fit."""

PARENTS = """
SELECT c.code, array_agg(o.code ORDER BY o.seq)
FROM tx.concept_{id} c JOIN tx.edge_{id} e ON e.child = c.cid
JOIN tx.concept_{id} o ON o.cid = e.parent
WHERE c.code {match} GROUP BY c.code
"""
CHILDREN = """
SELECT c.code, array_agg(o.code ORDER BY o.seq)
FROM tx.concept_{id} c JOIN tx.edge_{id} e ON e.parent = c.cid
JOIN tx.concept_{id} o ON o.cid = e.child
WHERE c.code {match} GROUP BY c.code
"""
KEPT = "SELECT c.code FROM tx.concept_{id} c WHERE c.cid = ANY(%s::int[]) AND ({sql})"


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept of all releases: concepts by code, and the beginnings of selections."""

    entries: Recent[tuple[int, str], Entry]
    windows: Recent[tuple[int, Wanted], Window]


def memory(concepts: int = 10_000, selections: int = 500) -> Memory:
    """Room for so many concepts (some 3 KB each) and selections (some 4 KB each)."""
    return Memory(Recent(concepts), Recent(selections))


class PostgresCodeSystem:
    """One release; what was asked of late is kept, since a release never changes."""

    def __init__(
        self,
        connections: Connections,
        release: Release,
        kept: Memory,
        constraint: Constraint | None = None,
    ) -> None:
        """`constraint` evaluates expression constraints; without it they are not understood."""
        self._connections, self._release, self._kept = connections, release, kept
        self._constraint = constraint
        self.head: Head = release.head

    async def find(self, codes: Collection[str]) -> Mapping[str, Concept]:
        """Concepts by the code asked for."""
        found = await self._entries(codes)
        return {code: entry.concept for code, entry in found.items()}

    async def _entries(self, codes: Iterable[str]) -> dict[str, Entry]:
        number = self._release.id
        found: dict[str, Entry] = {}
        missing: list[str] = []
        for code in dict.fromkeys(codes):
            entry = self._kept.entries.get((number, code))
            if entry is not None:
                found[code] = entry
            elif "\0" not in code:
                missing.append(code)
        for start in range(0, len(missing), CHUNK):
            for code, entry in (await self._read(missing[start : start + CHUNK])).items():
                found[code] = entry
                self._kept.entries.put((number, code), entry)
        return found

    async def _read(self, codes: list[str]) -> dict[str, Entry]:
        if self.head.case_sensitive:
            found = [self._entry(row) for row in await self._about(BY_CODE, codes)]
            return {entry.concept.code: entry for entry in found}
        lower = list({_lower(code) for code in codes})
        found = [self._entry(row) for row in await self._about(BY_LOWER, lower)]
        exact = {entry.concept.code: entry for entry in found}
        folded = {_lower(entry.concept.code): entry for entry in reversed(found)}
        matched = ((code, exact.get(code) or folded.get(_lower(code))) for code in codes)
        return {code: entry for code, entry in matched if entry is not None}

    def _entry(self, row: Row) -> Entry:
        return read_entry(self._release, row)

    async def _about(self, sql: str, codes: list[str]) -> list[Row]:
        """Rows of a statement about codes."""
        # Of an array PostgreSQL expects ten elements, and so plans anew for each shorter one,
        # which takes longer than to run the plan; most questions are about one code.
        one = len(codes) == 1
        match = "= %s::text" if one else "= ANY(%s::text[])"
        sql = sql.format(id=self._release.id, match=match)
        return await rows(self._connections, sql, [codes[0] if one else codes])

    async def test(self, filters: tuple[Filter, ...], codes: Collection[str]) -> frozenset[str]:
        """Those of the codes for which every filter holds."""
        if len(codes) > MANY and self.head.case_sensitive:
            # Cheaper than to read each concept: all codes that fit, and nothing but codes.
            where = [await self._condition(one) for one in filters]
            listed = await fitting(self._connections, self._release, where)
            return listed.intersection(codes)
        known = await self._entries(codes)
        left = []
        for one in filters:
            test = await self._test(one)
            if test is None:
                left.append(one)
            else:
                known = {code: entry for code, entry in known.items() if test(entry)}
        if not left:
            return frozenset(known)
        wanted = both([await self._condition(one) for one in left])
        numbers = [entry.number for entry in known.values()]
        sql = KEPT.format(id=self._release.id, sql=wanted.sql)
        found = await rows(self._connections, sql, (numbers, *wanted.parameters), prepare=False)
        kept = {row[0] for row in found}
        return frozenset(code for code, entry in known.items() if entry.concept.code in kept)

    async def _test(self, asked: Filter) -> Callable[[Entry], bool] | None:
        """A filter as a test of an entry, where the entry knows enough: else None."""
        if asked.op == "regex":
            matched = regex(asked)
            read = texts_of(self._release, asked)
            return lambda entry: any(matched(text) for text in read(entry.concept))
        if asked.op not in HIERARCHY or asked.property not in CODE:
            return None
        focus = (await self._entries([asked.value or ""])).get(asked.value or "")
        if focus is None:
            return lambda _: asked.op == "is-not-a"
        return _TESTS[asked.op](focus)

    async def _condition(self, asked: Filter) -> Condition:
        if "\0" in (asked.value or ""):
            # PostgreSQL has no text with that character; nothing is like this one.
            asked = replace(asked, value=(asked.value or "").replace("\0", "\ufffd"))
        if asked.property == "constraint" and asked.op == "=" and self._constraint:
            return await self._constraint(self._release, asked)
        if asked.op == "regex":
            return await matching(self._connections, self._release, asked)
        numbers = {code: one.number for code, one in (await self._entries(values(asked))).items()}
        return condition(self._release, asked, numbers)

    async def select(self, query: Query) -> Selection:
        """One page of the concepts that a query wants."""
        wanted = Wanted.of(query)
        key = self._release.id, wanted
        known = self._kept.windows.get(key)
        if known is None:
            where = await self._where(wanted)
            known = await window(self._connections, self._release, wanted, where)
            self._kept.windows.put(key, known)
        end = known.total if query.limit is None else query.offset + query.limit
        place = slice(query.offset, min(end, known.total))
        if place.start >= place.stop:
            return Selection((), known.total)
        numbers = known.first[place]
        if place.stop > len(known.first):
            where = await self._where(wanted)
            numbers = await page(self._connections, self._release, wanted, where, place)
        return Selection(await self._concepts(numbers), known.total)

    async def _where(self, wanted: Wanted) -> list[Condition]:
        held = [await self._condition(one) for one in wanted.filters]
        groups = [[await self._condition(one) for one in group] for group in wanted.excluded]
        held += [negated(both(group)) for group in groups]
        if wanted.active_only:
            held.append(Condition("c.active"))
        if wanted.selectable_only:
            held.append(Condition("NOT c.abstract"))
        return held

    async def _concepts(self, numbers: Sequence[int]) -> tuple[Concept, ...]:
        bodies = BODIES.format(id=self._release.id)
        found: dict[int, Concept] = {}
        for start in range(0, len(numbers), CHUNK):
            chunk = list(numbers[start : start + CHUNK])
            for row in await rows(self._connections, bodies, [chunk]):
                found[row[0]] = read_concept(self._release, row)
        return tuple(found[number] for number in numbers)

    async def parents(self, codes: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Direct parents of each code."""
        return await self._edges(PARENTS, codes)

    async def children(self, codes: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Direct children of each code."""
        return await self._edges(CHILDREN, codes)

    async def _edges(self, sql: str, codes: Collection[str]) -> dict[str, tuple[str, ...]]:
        if not self.head.hierarchical:
            return {}
        asked = [code for code in codes if "\0" not in code]
        found: dict[str, tuple[str, ...]] = {}
        for start in range(0, len(asked), CHUNK):
            for code, others in await self._about(sql, asked[start : start + CHUNK]):
                found[code] = tuple(others)
        return found

    async def subsumes(self, ancestor: str, descendant: str) -> bool:
        """True when the first is an ancestor of the second."""
        found = await self._entries([ancestor, descendant])
        if len(found) < len({ancestor, descendant}):
            return False
        return found[ancestor].number in found[descendant].ancestors

    async def mapped(
        self, refset: str, codes: Collection[str], *, reverse: bool
    ) -> Sequence[Mapped] | None:
        """Active members of a reference set about the codes, or (reverse) that lead to them."""
        column = "m.map_target" if reverse else "c.code"
        asked = [code for code in codes if "\0" not in code]
        return await mapped(self._connections, self._release, refset, asked, column)


def _lower(code: str) -> str:
    """As PostgreSQL lowers text of collation C: letters of ASCII alone."""
    return code.translate(_ASCII)


_ASCII = {number: number + 32 for number in range(ord("A"), ord("Z") + 1)}

_TESTS: Mapping[str, Callable[[Entry], Callable[[Entry], bool]]] = {
    "is-a": lambda focus: lambda e: e.number == focus.number or focus.number in e.ancestors,
    "descendent-of": lambda focus: lambda e: focus.number in e.ancestors,
    "is-not-a": lambda focus: (
        lambda e: e.number != focus.number and focus.number not in e.ancestors
    ),
    "generalizes": lambda focus: lambda e: e.number == focus.number or e.number in focus.ancestors,
    "child-of": lambda focus: lambda e: focus.concept.code in e.parents,
    "descendent-leaf": lambda focus: lambda e: e.leaf and focus.number in e.ancestors,
}
