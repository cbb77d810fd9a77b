"""Compiled searches run on a connection."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncRawCursor

from fhir_server.database import Connection
from fhir_server.search import compile as compiled
from fhir_server.search.compile import Position, Statement
from fhir_server.search.follow import follow
from fhir_server.search.query import Include, Query
from fhir_server.search.settle import FEW, many, named, with_keys, with_types

ROUNDS = 3
"""How often `:iterate` follows from what it found."""


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
    connection: Connection, query: Query, position: Position | None, limit: int
) -> list[Found]:
    """Return up to `limit` matches after `position`, in the query's order."""
    found: list[Found] = []
    for phase in compiled.phases(query, position):
        statement = compiled.page(query, position, phase, limit - len(found))
        missing: tuple[None, ...] = (None,) if phase == compiled.MISSING else ()
        for key, version, at, body, snapshot, *values in await _rows(connection, statement):
            place = position.snapshot if position else snapshot
            found.append(Found(key, version, at, body, place, (*missing, *values)))
        if len(found) >= limit:
            break
    return found


async def count(connection: Connection, query: Query, cap: int | None) -> int:
    """Return the number of matches; with a cap, no more than that are counted."""
    ((number,),) = await _rows(connection, compiled.count(query, cap))
    return int(number)


async def estimate(connection: Connection, query: Query) -> int:
    """Return the planner's estimate of the number of matches."""
    statement = compiled.ids(query, 1 << 40)
    explained = Statement(f"EXPLAIN (FORMAT JSON) {statement.sql}", statement.values)
    ((plan,),) = await _rows(connection, explained, binary=False)
    return int(plan[0]["Plan"]["Plan Rows"])


async def ids(connection: Connection, query: Query, limit: int) -> list[tuple[int, str]]:
    """Return type id and id of up to `limit` matches."""
    return [(row[0], row[1]) for row in await _rows(connection, compiled.ids(query, limit))]


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


async def included(
    connection: Connection, includes: Sequence[Include], keys: Sequence[int], limit: int
) -> list[Found]:
    """Return what the includes add to the matches with these keys, each once.

    Up to `limit` resources; `:iterate` goes on from what was added.
    """
    found: list[Found] = []
    sources, asked = list(keys), list(includes)
    for _ in range(ROUNDS):
        if not sources or not asked or len(found) >= limit:
            break
        seen = [*keys, *(one.key for one in found)]
        statement = follow(asked, sources, seen, limit - len(found))
        added = [Found(*row) for row in await _rows(connection, statement)]
        found += added
        sources = [one.key for one in added]
        asked = [one for one in includes if one.iterate]
    return found


async def _rows(
    connection: Connection, statement: Statement, *, binary: bool = True
) -> list[tuple[Any, ...]]:
    """Return all rows; each search is planned for its own values, so it is not prepared."""
    async with AsyncRawCursor(connection) as cursor:
        await cursor.execute(statement.sql.encode(), statement.values, prepare=False, binary=binary)
        return await cursor.fetchall()
