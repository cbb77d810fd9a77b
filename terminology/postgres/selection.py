"""Which concepts a query wants, and in which order.

The beginning of a selection is read at once with its total and kept: pages that follow need no
search. Those far behind are found by their offset, over a release that never changes.

https://hl7.org/fhir/R4/valueset-operation-expand.html
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from terminology.code_system import Query
from terminology.filters import Filter
from terminology.postgres.conditions import ALWAYS, Condition, both
from terminology.postgres.releases import Release
from terminology.postgres.rows import Connections, rows
from terminology.postgres.texts import query_text
from terminology.words import fold

WINDOW = 1000
"""Concepts at the beginning of a selection that are kept."""

# A text that is what was typed comes first, then one that begins so, then the shorter one.
HITS = """
SELECT t.cid, min(CASE WHEN t.folded = %s THEN 0 WHEN starts_with(t.folded, %s) THEN 1000000
                  ELSE 2000000 END + length(t.folded)) AS place
FROM tx.search_text_{id} t WHERE {sql} GROUP BY t.cid
"""
WORDS = "array_to_tsvector(string_to_array(t.words, ' ')) @@ %s::tsquery"
LANGUAGES = "t.language IS NULL OR lower(t.language) || '-' ^@ ANY(%s::text[])"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query without its page."""

    filters: tuple[Filter, ...] = ()
    excluded: tuple[tuple[Filter, ...], ...] = ()
    active_only: bool = False
    selectable_only: bool = False
    text: str | None = None
    languages: tuple[str, ...] = ()

    @staticmethod
    def of(query: Query) -> "Wanted":
        """What a query wants; languages count only for a text."""
        # PostgreSQL has no text with the character 0.
        text = fold(query.text.replace("\0", " ")).strip() if query.text else None
        return Wanted(
            query.filters,
            query.excluded,
            query.active_only,
            query.selectable_only,
            text,
            tuple(one.lower() for one in query.languages) if text is not None else (),
        )


@dataclass(frozen=True, slots=True)
class Window:
    """The numbers of the first concepts of a selection, and how many there are in all."""

    first: "array[int]"
    total: int


Where = Sequence[Condition]
"""Conditions that all hold."""


async def window(
    connections: Connections, release: Release, wanted: Wanted, where: Where
) -> Window:
    """The beginning of what is wanted, and its total; `where` says which concepts may be."""
    if wanted.text is not None:
        hits = _hits(release, wanted, where)
        sql = (
            f"WITH hit AS MATERIALIZED ({hits.sql}) SELECT (SELECT count(*) FROM hit),"
            f" ARRAY(SELECT cid FROM hit ORDER BY place, cid LIMIT {WINDOW})"
        )
        ((count, first),) = await rows(connections, sql, hits.parameters, prepare=False)
        return Window(array("i", first), count)
    first = await page(connections, release, wanted, where, slice(0, WINDOW))
    if len(first) < WINDOW:
        return Window(first, len(first))
    if not where:
        return Window(first, release.concepts)
    source = _source(release, where, "cid")
    sql = f"SELECT count(*) FROM {source.sql}"
    ((count,),) = await rows(connections, sql, source.parameters, prepare=False)
    return Window(first, count)


async def page(
    connections: Connections, release: Release, wanted: Wanted, where: Where, place: slice
) -> "array[int]":
    """The numbers of the concepts from a place to another, in the order wanted."""
    if wanted.text is not None:
        hits = _hits(release, wanted, where)
        sql, parameters = f"SELECT cid FROM ({hits.sql}) h ORDER BY place, cid", hits.parameters
    else:
        source = _source(release, where, release.order)
        sql = f"SELECT c.cid FROM {source.sql} ORDER BY c.{release.order}"
        parameters = source.parameters
    sql = f"SELECT ARRAY({sql} LIMIT %s OFFSET %s)"
    numbers = (place.stop - place.start, place.start)
    ((found,),) = await rows(connections, sql, (*parameters, *numbers), prepare=False)
    return array("i", found)


async def fitting(connections: Connections, release: Release, where: Where) -> frozenset[str]:
    """All codes for which the conditions hold, in no order."""
    source = _source(release, where, "code")
    sql = f"SELECT ARRAY(SELECT c.code FROM {source.sql})"
    ((found,),) = await rows(connections, sql, source.parameters, prepare=False)
    return frozenset(found)


def _source(release: Release, where: Where, column: str) -> Condition:
    """What follows FROM: concepts `c` for which the conditions hold, with a column of theirs."""
    concepts = f"tx.concept_{release.id}"
    first, rest = _parted(where)
    if first is None:
        return Condition(f"{concepts} c WHERE {rest.sql}", rest.parameters)
    members = " UNION ALL ".join(f"({one})" for one in first.members)
    if rest == ALWAYS and column == "cid":
        return Condition(f"({members}) c", first.parameters)
    sql = f"({members}) m JOIN {concepts} c ON c.cid = m.cid WHERE {rest.sql}"
    return Condition(sql, (*first.parameters, *rest.parameters))


def _parted(where: Where) -> tuple[Condition | None, Condition]:
    """The first condition that lists its concepts, with which to begin, and the others."""
    first = next((one for one in where if one.members), None)
    return first, both(one for one in where if one is not first)


def _hits(release: Release, wanted: Wanted, where: Where) -> Condition:
    """A statement of `cid` and `place`, where each concept has a text that fits."""
    found = _fitting(release, wanted)
    if not where:
        return found
    first, rest = _parted(where)
    narrowed = f"JOIN tx.concept_{release.id} c USING (cid) WHERE {rest.sql}"
    if rest == ALWAYS:
        narrowed = ""
    joins = [
        Condition(f"JOIN ({one.sql}) m USING (cid)", one.parameters)
        for one in (first.lists if first else ())
    ]
    parts = [
        Condition(
            f"SELECT cid, place FROM found {one.sql} {narrowed}",
            (*one.parameters, *rest.parameters),
        )
        for one in joins or [Condition("")]
    ]
    sql = " UNION ALL ".join(one.sql for one in parts)
    own = [value for one in parts for value in one.parameters]
    return Condition(f"WITH found AS MATERIALIZED ({found.sql}) {sql}", (*found.parameters, *own))


def _fitting(release: Release, wanted: Wanted) -> Condition:
    """A statement of `cid` and `place` of all concepts that have a text that fits."""
    phrase = wanted.text or ""
    query = query_text(phrase)
    texts = both(
        [
            Condition(WORDS, (query,)) if query else ALWAYS,
            Condition(LANGUAGES, ([f"{one}-" for one in wanted.languages],))
            if wanted.languages
            else ALWAYS,
        ]
    )
    sql = HITS.format(id=release.id, sql=texts.sql)
    return Condition(sql, (phrase, phrase, *texts.parameters))
