"""One page of what a search finds.

Where PostgreSQL plans that all matches are found at a bounded cost, they are gathered by
one statement, which sorts, cuts and counts them; else an index is walked in the order of
the page, so that a search that most resources match ends early (docs/decisions/0016).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from fhir_server.database import Connection
from fhir_server.errors import Unavailable
from fhir_server.search import compile as compiled
from fhir_server.search import explain
from fhir_server.search.compile import Position, Statement
from fhir_server.search.condition import Among, Condition, Not, is_met_by_few
from fhir_server.search.each import walled_nowhere
from fhir_server.search.expected import Expected
from fhir_server.search.query import Query
from fhir_server.search.sieve import sieved
from fhir_server.store.find import counting, rows
from fhir_server.store.shown import hidden

ANY_SIZE = 1 << 62
# The planner may be wrong by so much about the number of matches.
_FAR_BEYOND = 4
# So many times what a page holds is looked at first for what may be seen.
_AHEAD = 4
_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Reach:
    """What may be gathered: so many matches, at this cost as PostgreSQL plans it.

    `expected` remembers what it planned.
    """

    matches: int
    cost: float
    expected: Expected


@dataclass(frozen=True, slots=True)
class Found:
    """A resource on a page: its text as stored, and where it stands in the order."""

    key: int
    version: int
    last_updated: datetime
    body: bytes
    snapshot: str = ""
    values: tuple[Any, ...] = ()

    @property
    def position(self) -> Position:
        """Return the place in the order behind which the next page starts."""
        return Position(self.values, self.key, self.snapshot)


@dataclass(frozen=True, slots=True)
class Cut:
    """A page of a query: where it starts, how many matches, and how many bytes, it takes."""

    position: Position | None
    limit: int
    most_bytes: int = ANY_SIZE

    @property
    def longest(self) -> int:
        """So many bodies of this length are a page; longer ones are fetched if they fit."""
        return self.most_bytes // self.limit


async def gatherable(connection: Connection, query: Query, reach: Reach) -> bool:
    """Return whether PostgreSQL expects that all matches are gathered within `reach`.

    What is asked besides, for the rights of who searches, can only make them fewer. PostgreSQL
    cannot tell by how many, and would take as long to think about it as to search.
    """
    if any(map(is_met_by_few, query.asked)):
        return True
    query = replace(query, top=None, conditions=tuple(map(walled_nowhere, query.conditions)))
    # So many are among many that only what else is asked can make them few.
    rest = tuple(one for one in query.conditions if not _is_among(one))
    if len(rest) < len(query.conditions):
        if not rest:
            return False
        query = replace(query, conditions=rest)
    expected = await counting(connection, query, reach.matches + 1, reach.expected)
    return expected.cost <= reach.cost and expected.matches <= reach.matches * _FAR_BEYOND


def _is_among(condition: Condition) -> bool:
    return isinstance(condition.condition if isinstance(condition, Not) else condition, Among)


async def gathered(
    connection: Connection, query: Query, cut: Cut, most: int
) -> tuple[list[Found], int] | None:
    """Return the matches of the page and how many follow its start; None if more than `most`.

    Of a page that is full, where rights are put off, so many as are on it.
    """
    if compiled.put_off(query):
        return await _let_through(connection, query, cut, most)
    statement = compiled.gathered(query, cut.position, most + 1, cut.limit, cut.longest)
    found = await rows(connection, statement)
    number = found[0][0] if found else 0
    if number > most:
        return None
    page = [_found(row, cut) for _, *row in found]
    return await _fitting(connection, page, cut.most_bytes), number


async def _let_through(
    connection: Connection, query: Query, cut: Cut, most: int
) -> tuple[list[Found], int] | None:
    """Gather what the query alone asks for, and look from the first on at what may be seen.

    No further than it takes to fill the page; and again, if what was gathered has changed
    before it was looked at.
    """
    assert query.top is not None
    asked = cut.limit * _AHEAD
    for _ in range(_ATTEMPTS):
        gathering = compiled.ordered(query, cut.position, most + 1, asked)
        found = await rows(connection, gathering)
        number = found[0][0] if found else 0
        if number > most:
            return None
        places = [(row[1], row[2]) for row in found]
        sieve = sieved(query.top, *_apart(places), cut.limit, cut.longest)
        seen = await rows(connection, sieve) if places else []
        if any(moved for _, moved, _ in seen):
            continue
        if len(seen) == cut.limit or len(found) == number:
            page = [_found(_with_body(found[n - 1], body), cut) for n, _, body in seen]
            return await _fitting(connection, page, cut.most_bytes), len(page)
        asked = most + 1
    raise Unavailable("What is searched changes too fast", headers={"Retry-After": "1"})


def _apart(places: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [key for key, _ in places], [version for _, version in places]


def _with_body(row: Sequence[Any], body: bytes | None) -> list[Any]:
    _, key, version, at, _, *rest = row
    return [key, version, at, body, *rest]


async def walked(connection: Connection, query: Query, cut: Cut) -> list[Found]:
    """Return the matches of the page, found in its order."""
    page: list[Found] = []
    for phase in compiled.phases(query, cut.position):
        statement = _walk(query, cut, phase, cut.limit - len(page))
        # What is walked last has no first sort value.
        missing: tuple[None, ...] = (None,) if phase == compiled.MISSING else ()
        page += [_found(row, cut, missing) for row in await rows(connection, statement)]
        if len(page) >= cut.limit:
            break
    return await _fitting(connection, page, cut.most_bytes)


def _walk(query: Query, cut: Cut, phase: str, limit: int) -> Statement:
    return compiled.page(query, cut.position, phase, limit, cut.longest)


def _found(row: Sequence[Any], cut: Cut, missing: tuple[None, ...] = ()) -> Found:
    key, version, at, body, snapshot, *values = row
    if body == b"":
        raise hidden()
    place = cut.position.snapshot if cut.position else snapshot
    return Found(key, version, at, body or b"", place, (*missing, *values))


async def _fitting(connection: Connection, found: list[Found], most_bytes: int) -> list[Found]:
    """Return the matches with the long bodies that fit, and without any beyond."""
    if all(one.body for one in found):
        return found
    sizes = [len(one.body) or None for one in found]
    given = ([one.key for one in found], [one.version for one in found], sizes, most_bytes)
    cursor = await connection.execute(_LONG, given, binary=True)
    long = {row[0]: row[1] for row in await cursor.fetchall()}
    fitting: list[Found] = []
    size = 0
    for one in found:
        body = (one.body or long.get(one.key, b"")) if size < most_bytes else b""
        size += len(body) if body else most_bytes
        fitting.append(replace(one, body=body))
    return fitting


_LONG = """
WITH asked AS (
    SELECT a.key, a.version, a.n, b.json, a.size IS NULL AS long,
           coalesce(a.size, octet_length(b.json)) AS size
    FROM unnest(%s::bigint[], %s::int[], %s::bigint[]) WITH ORDINALITY AS a(key, version, size, n)
         JOIN body b USING (key, version)
), placed AS (
    SELECT *, sum(size) OVER (ORDER BY n ROWS UNBOUNDED PRECEDING) - size AS before FROM asked
)
SELECT key, convert_to(json, 'UTF8') FROM placed WHERE long AND before < %s::bigint
"""


async def explained(connection: Connection, query: Query, cut: Cut | None, reach: Reach) -> str:
    """Carry out the statements of a page, or without one of the count; return how it was done."""
    if cut is None:
        statements = {"count": compiled.count(query, None)}
    elif await gatherable(connection, query, reach):
        most = reach.matches + 1
        statement = compiled.gathered(query, cut.position, most, cut.limit, ANY_SIZE)
        if compiled.put_off(query):
            statement = compiled.ordered(query, cut.position, most, cut.limit)
        statements = {"gathered": statement}
    else:
        parts = compiled.phases(query, cut.position)
        statements = {part: _walk(query, cut, part, cut.limit) for part in parts}
    told = []
    for part, statement in statements.items():
        asked = Statement(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.sql}", statement.values)
        (((plan,),),) = await rows(connection, asked, binary=False)
        told.append(explain.explained(part, statement.sql, plan))
    return explain.text(told)
