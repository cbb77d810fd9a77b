"""Compiled searches run on a connection."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg import AsyncRawCursor

from fhir_server.database import Connection
from fhir_server.search import compile as compiled
from fhir_server.search import explain, versions
from fhir_server.search.compile import Position, Statement
from fhir_server.search.context import Context
from fhir_server.search.query import Query
from fhir_server.search.settle import FEW, many, named, with_keys, with_members, with_types

ANY_SIZE = 1 << 62


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


async def matches(
    connection: Connection,
    query: Query,
    position: Position | None,
    limit: int,
    most_bytes: int = ANY_SIZE,
) -> list[Found]:
    """Return up to `limit` matches after `position`, in the query's order.

    When their bodies have reached `most_bytes`, the rest are without a body.
    """
    found: list[Found] = []
    # So many bodies of this length are a page; longer ones are fetched when they are seen to fit.
    longest = most_bytes // limit
    for phase in compiled.phases(query, position):
        statement = compiled.page(query, position, phase, limit - len(found), longest)
        missing: tuple[None, ...] = (None,) if phase == compiled.MISSING else ()
        for key, version, at, body, snapshot, *values in await rows(connection, statement):
            place = position.snapshot if position else snapshot
            found.append(Found(key, version, at, body or b"", place, (*missing, *values)))
        if len(found) >= limit:
            break
    if all(one.body for one in found):
        return found
    return await _fitting(connection, found, most_bytes)


async def _fitting(connection: Connection, found: Sequence[Found], most_bytes: int) -> list[Found]:
    """Return the matches with the long bodies that fit, and without any beyond."""
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


async def count(connection: Connection, query: Query, cap: int | None) -> int:
    """Return the number of matches; with a cap, no more than that are counted."""
    ((number,),) = await rows(connection, compiled.count(query, cap))
    return int(number)


async def estimate(connection: Connection, query: Query) -> int:
    """Return the planner's estimate of the number of matches."""
    return int((await _plan(connection, compiled.ids(query, 1 << 40)))["Plan Rows"])


@dataclass(frozen=True, slots=True)
class Counting:
    """What the planner expects of a count: so many matches in all, at this cost."""

    matches: int
    cost: float


async def counting(connection: Connection, query: Query, cap: int) -> Counting:
    """Return what the planner expects of counting up to `cap` matches."""
    whole = await _plan(connection, compiled.count(query, cap))
    (limit,) = (one for one in whole["Plans"] if one["Node Type"] == "Limit")
    (found,) = (one for one in limit["Plans"] if one["Parent Relationship"] == "Outer")
    return Counting(int(found["Plan Rows"]), float(whole["Total Cost"]))


async def _plan(connection: Connection, statement: Statement) -> dict[str, Any]:
    """Return the uppermost node of the planner's plan."""
    explained = Statement(f"EXPLAIN (FORMAT JSON) {statement.sql}", statement.values)
    ((plan,),) = await rows(connection, explained, binary=False)
    return dict(plan[0]["Plan"])


async def explained(connection: Connection, query: Query, position: Position | None) -> str:
    """Carry out the statements of a page, or of its count, and return how that was done."""
    limit = query.count + 1
    statements = {
        phase: compiled.page(query, position, phase, limit, ANY_SIZE)
        for phase in (compiled.phases(query, position) if query.count else ())
    } or {"count": compiled.count(query, None)}
    told = []
    for part, statement in statements.items():
        asked = Statement(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.sql}", statement.values)
        (((plan,),),) = await rows(connection, asked, binary=False)
        told.append(explain.explained(part, statement.sql, plan))
    return explain.text(told)


async def ids(connection: Connection, query: Query, limit: int) -> list[tuple[int, str]]:
    """Return type id and id of up to `limit` matches."""
    return [(row[0], row[1]) for row in await rows(connection, compiled.ids(query, limit))]


async def outdated(connection: Connection, query: Query, keys: Sequence[int]) -> bool:
    """Return whether the query led to these matches by a reference to a version not current."""
    statement = versions.outdated(query, keys)
    if statement is None:
        return False
    ((found,),) = await rows(connection, statement)
    return bool(found)


async def listed(connection: Connection, context: Context, query: Query) -> Query:
    """Return the query restricted to the members of its Lists; BadRequest where there is none."""
    for ids_ in query.lists:
        lists = await _bodies(connection, context.type_ids["List"], ids_)
        query = with_members(context, query, ids_, lists)
    return query


async def settled(connection: Connection, query: Query) -> Query:
    """Return the query with what only the database knows put in (search/settle.py).

    BadRequest when a bare id exists in several types.
    """
    open_ids = named(query)
    if open_ids:
        type_ids = {type_id for one in open_ids for type_id, _ in one.candidates}
        found = await homes(connection, sorted({one.id for one in open_ids}), sorted(type_ids))
        query = with_types(query, found)
    for condition in many(query):
        cursor = await connection.execute(
            _WITH_TERMS, ["{" + ",".join(map(str, condition.alternatives)) + "}", FEW + 1]
        )
        keys = [row[0] for row in await cursor.fetchall()]
        if len(keys) <= FEW:
            query = with_keys(query, condition, keys)
    return query


async def _bodies(connection: Connection, type_id: int, ids: Sequence[str]) -> list[bytes]:
    """Return the texts of the resources of a type that have one of these ids."""
    cursor = await connection.execute(_BODIES, (type_id, list(ids)))
    return [row[0] for row in await cursor.fetchall()]


_BODIES = """
SELECT convert_to(b.json, 'UTF8')
FROM resource r JOIN body b ON b.key = r.key AND b.version = r.version
WHERE r.type_id = %s AND r.id = ANY(%s) AND NOT r.deleted
"""

_WITH_TERMS = """
SELECT t.key
FROM unnest(%s::bigint[]) AS q(term)
     JOIN terms t ON t.terms @> ARRAY[q.term]
LIMIT %s
"""


async def homes(
    connection: Connection, ids: Sequence[str], type_ids: Sequence[int]
) -> dict[str, list[int]]:
    """Return for each id those of the types in which a resource of this id exists."""
    cursor = await connection.execute(
        "SELECT id, type_id FROM resource"
        " WHERE type_id = ANY(%s) AND id = ANY(%s) AND NOT deleted ORDER BY id, type_id",
        (list(type_ids), list(ids)),
    )
    found: dict[str, list[int]] = {}
    for id_, type_id in await cursor.fetchall():
        found.setdefault(id_, []).append(type_id)
    return found


async def rows(
    connection: Connection, statement: Statement, *, binary: bool = True
) -> list[tuple[Any, ...]]:
    """Return all rows; each search is planned for its own values, so it is not prepared."""
    async with AsyncRawCursor(connection) as cursor:
        await cursor.execute(statement.sql.encode(), statement.values, prepare=False, binary=binary)
        return await cursor.fetchall()
