"""Compiled searches run on a connection."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, TypeAlias

from psycopg import AsyncRawCursor

from fhir_server.database import Connection
from fhir_server.search import compile as compiled
from fhir_server.search import versions
from fhir_server.search.compile import Statement
from fhir_server.search.condition import Condition
from fhir_server.search.context import Context
from fhir_server.search.each import walled_nowhere
from fhir_server.search.expected import Counting, Expected
from fhir_server.search.passing import Clause, passing
from fhir_server.search.query import Query
from fhir_server.search.settle import FEW, many, named, with_keys, with_members, with_types
from fhir_server.store.shown import shown

Walls: TypeAlias = Callable[[int], Condition | None]
"""From a type id to what its resources must meet to be there for who asks; None is nothing."""


async def count(connection: Connection, query: Query) -> int:
    """Return the number of matches."""
    ((number,),) = await rows(connection, compiled.count(query, None))
    return int(number)


async def estimate(connection: Connection, query: Query) -> int:
    """Return the planner's estimate of the number of matches."""
    return int((await _plan(connection, compiled.ids(query, 1 << 40)))["Plan Rows"])


async def counting(connection: Connection, query: Query, cap: int, expected: Expected) -> Counting:
    """Return what the planner expects, or just expected, of counting up to `cap` matches."""
    statement = compiled.count(query, cap)
    # Of values there may be thousands, and of searches as many.
    values = blake2b(repr(statement.values).encode(), digest_size=16).digest()
    search = (statement.sql, values)
    known = expected.of(search)
    return known or expected.keep(search, await _counting(connection, statement))


async def _counting(connection: Connection, statement: Statement) -> Counting:
    whole = await _plan(connection, statement)
    (limit,) = (one for one in whole["Plans"] if one["Node Type"] == "Limit")
    (found,) = (one for one in limit["Plans"] if one["Parent Relationship"] == "Outer")
    return Counting(int(found["Plan Rows"]), float(whole["Total Cost"]))


async def _plan(connection: Connection, statement: Statement) -> dict[str, Any]:
    """Return the uppermost node of the planner's plan."""
    explained = Statement(f"EXPLAIN (FORMAT JSON) {statement.sql}", statement.values)
    ((plan,),) = await rows(connection, explained, binary=False)
    return dict(plan[0]["Plan"])


async def ids(connection: Connection, query: Query, limit: int) -> list[tuple[int, str]]:
    """Return type id and id of up to `limit` matches."""
    return [(row[0], row[1]) for row in await rows(connection, compiled.ids(query, limit))]


async def outdated(connection: Connection, query: Query, keys: Sequence[int]) -> bool:
    """Return whether the query led to these matches by a reference to a version not current."""
    # Hardly ever: so it is asked first as if all could be seen, which is planned sooner.
    seeing_all = replace(query, conditions=tuple(map(walled_nowhere, query.conditions)))
    for one in (seeing_all, query) if query.guard == "walled" else (query,):
        statement = versions.outdated(one, keys)
        if statement is None or not (await rows(connection, statement))[0][0]:
            return False
    return True


async def listed(
    connection: Connection, context: Context, query: Query, readable: Condition | None = None
) -> Query:
    """Return the query restricted to the members of its Lists; BadRequest where there is none.

    Those that are not `readable` are as if they were not there.
    """
    for ids_ in query.lists:
        lists = await _bodies(connection, context.type_ids["List"], ids_, passing(readable))
        query = with_members(context, query, ids_, lists)
    return query


async def settled(connection: Connection, query: Query, walls: Walls | None = None) -> Query:
    """Return the query with what only the database knows put in (search/settle.py).

    BadRequest when a bare id exists in several types, of what the `walls` let through.
    """
    open_ids = named(query)
    if open_ids:
        type_ids = {type_id for one in open_ids for type_id, _ in one.candidates}
        asked = sorted({one.id for one in open_ids})
        if walls is None:
            found = await homes(connection, asked, sorted(type_ids))
        else:
            found = await _homes_behind(connection, asked, sorted(type_ids), walls)
        query = with_types(query, found)
    for condition in many(query):
        cursor = await connection.execute(
            _WITH_TERMS, ["{" + ",".join(map(str, condition.alternatives)) + "}", FEW + 1]
        )
        keys = [row[0] for row in await cursor.fetchall()]
        if len(keys) <= FEW:
            query = with_keys(query, condition, keys)
    return query


async def _bodies(
    connection: Connection, type_id: int, ids: Sequence[str], wall: Clause
) -> list[bytes]:
    """Return the texts of the resources of a type that have one of these ids."""
    cursor = await connection.execute(f"{_BODIES}{wall.sql}", (type_id, list(ids), *wall.values))
    return [shown(row[0]) for row in await cursor.fetchall()]


_BODIES = """
SELECT convert_to(b.json, 'UTF8')
FROM resource r LEFT JOIN body b ON b.key = r.key AND b.version = r.version
WHERE r.type_id = %s AND r.id = ANY(%s) AND NOT r.deleted
"""

_WITH_TERMS = """
SELECT t.key
FROM unnest(%s::bigint[]) AS q(term)
     JOIN terms t ON t.terms @> ARRAY[q.term]
LIMIT %s
"""


async def _homes_behind(
    connection: Connection, ids: Sequence[str], type_ids: Sequence[int], walls: Walls
) -> dict[str, list[int]]:
    """Return the same of what each type's wall lets through."""
    found: dict[str, list[int]] = {}
    for type_id in type_ids:
        for id_, home in (await homes(connection, ids, [type_id], walls(type_id))).items():
            found.setdefault(id_, []).extend(home)
    return found


async def homes(
    connection: Connection,
    ids: Sequence[str],
    type_ids: Sequence[int],
    wall: Condition | None = None,
) -> dict[str, list[int]]:
    """Return for each id those of the types in which a resource of this id exists.

    Those that do not meet the `wall` are as if they were not there.
    """
    clause = passing(wall)
    cursor = await connection.execute(
        "SELECT id, type_id FROM resource r"
        f" WHERE type_id = ANY(%s) AND id = ANY(%s) AND NOT deleted{clause.sql}"
        " ORDER BY id, type_id",
        (list(type_ids), list(ids), *clause.values),
    )
    found: dict[str, list[int]] = {}
    for id_, type_id in await cursor.fetchall():
        found.setdefault(id_, []).append(type_id)
    return found


async def rows(
    connection: Connection, statement: Statement, *, binary: bool = True
) -> list[tuple[Any, ...]]:
    """Return all rows; but for what is planned once, each search is planned for its own values."""
    async with AsyncRawCursor(connection) as cursor:
        # At once: rights written out are long to plan, so that each time counts.
        await cursor.execute(
            statement.sql.encode(), statement.values, prepare=statement.kept, binary=binary
        )
        return await cursor.fetchall()
