"""Walks over the resources of a type that bring their index rows up to date.

A walk has parts, ranges of keys. Who takes a part locks its row, so that any number of
workers share a walk and one that dies leaves its part to the others; its cursor moves in
the transaction that writes the rows.

https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.database import Connection
from fhir_server.search.delta import SORT_TABLE, Present
from fhir_server.search.rows import IndexRows
from fhir_server.store import index_rows
from fhir_server.store.arrays import array, arrays


@dataclass(frozen=True, slots=True)
class Part:
    """The keys (cursor, last] that are left of a part of a walk over a type.

    A `whole` walk makes all index rows anew, another those of some search parameters.
    """

    walk: int
    type_id: int
    whole: bool
    number: int
    cursor: int
    last: int


@dataclass(frozen=True, slots=True)
class Body:
    """A resource on the way; `json` is None when it was deleted meanwhile."""

    key: int
    version: int
    json: bytes | None


_TAKE = """
SELECT w.id, w.type_id, w.whole, p.part, p.cursor, p.last
FROM reindex_part p JOIN reindex w ON w.id = p.reindex
WHERE NOT p.finished AND w.state = 'running'
ORDER BY w.id, p.part
LIMIT 1
FOR UPDATE OF p SKIP LOCKED
"""

_BODIES = """
SELECT t.key, r.version, convert_to(b.json, 'UTF8')
FROM (SELECT key FROM terms WHERE type_id = %s AND key > %s AND key <= %s
      ORDER BY key LIMIT %s) AS t
     LEFT JOIN resource r ON r.key = t.key AND NOT r.deleted
     LEFT JOIN body b ON b.key = r.key AND b.version = r.version
ORDER BY t.key
"""

# In the order in which writers lock. Whoever changes a resource meanwhile has indexed it.
_HOLD = """
SELECT r.key, t.terms, c.least, c.greatest
FROM unnest(%s::bigint[], %s::int[]) AS g(key, version)
     JOIN resource r ON r.key = g.key AND r.version = g.version
     JOIN terms t ON t.key = r.key
     LEFT JOIN idx_code c ON c.key = r.key
ORDER BY r.type_id, r.id
FOR NO KEY UPDATE OF r
"""

_REPLACE = """
WITH w AS MATERIALIZED (
    SELECT g.key, r.version, r.last_updated AS at, r.feed_xid AS feed
    FROM unnest(%s::bigint[]) AS g(key) JOIN resource r USING (key)
    WHERE NOT EXISTS (SELECT FROM search_registry WHERE version <> %s::bigint)
),
terms_new AS (
    UPDATE terms t SET terms = g.terms::bigint[]
    FROM unnest(%s::bigint[], %s::text[]) AS g(key, terms) JOIN w USING (key)
    WHERE t.key = g.key
)"""

_GONE = f""",
inner_gone AS MATERIALIZED ({index_rows.CONTAINED_GONE}),
gone AS MATERIALIZED (SELECT key FROM w UNION ALL SELECT * FROM inner_gone),
contained_gone AS (DELETE FROM resource r USING inner_gone g(key) WHERE r.key = g.key),
contained_terms_gone AS (DELETE FROM terms t USING inner_gone g(key) WHERE t.key = g.key)"""

_KEPT = ", gone AS MATERIALIZED (SELECT key FROM w)"

_ADVANCE = """
UPDATE reindex_part SET cursor = %s, done = done + %s, finished = %s
WHERE reindex = %s AND part = %s
"""

# Whoever holds this lock in this way may be writing by an older registry: it is taken
# before the statement's snapshot and kept until the transaction ends.
_WRITERS = """
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'terms'::regclass AND mode = 'RowExclusiveLock'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND pid IS DISTINCT FROM pg_backend_pid()
"""


async def writers(connection: Connection, among: Sequence[str] | None = None) -> list[str]:
    """Return the transactions that write resources now; with `among`, those of them."""
    cursor = await connection.execute(_WRITERS)
    found = {row[0] for row in await cursor.fetchall()}
    return sorted(found if among is None else found & set(among))


async def take(connection: Connection) -> Part | None:
    """Lock a part that nobody has, None when there is none."""
    row = await (await connection.execute(_TAKE)).fetchone()
    return Part(*row) if row else None


async def bodies(connection: Connection, part: Part, limit: int) -> list[Body]:
    """Return the next resources of a part; fewer than `limit` are its last."""
    given = (part.type_id, part.cursor, part.last, limit)
    cursor = await connection.execute(_BODIES, given, binary=True)
    return [Body(*row) for row in await cursor.fetchall()]


async def hold(connection: Connection, versions: Sequence[tuple[int, int]]) -> dict[int, Present]:
    """Lock the resources that are still of these versions (key, version); what they have."""
    cursor = await connection.execute(_HOLD, arrays(versions, 2), binary=True)
    return {
        key: Present(terms, least or {}, greatest or {})
        for key, terms, least, greatest in await cursor.fetchall()
    }


async def replace(
    connection: Connection,
    indexed: Sequence[tuple[int, IndexRows]],
    *,
    scopes: Sequence[int] | None = None,
    sorts: bool = False,
    registry: int | None = None,
) -> bool:
    """Write the rows of held resources (key, rows) in place of what they have.

    All of it, or with `scopes` the range rows and edges of these parameters, and with
    `sorts` the sort values. False when `registry` is given and no longer in force.
    """
    if not indexed:
        return True
    rows = index_rows.spread(indexed)
    keys = array(key for key, _ in indexed)
    parts, gone = [_REPLACE, _GONE if scopes is None else _KEPT], []
    for name, clause in _leaving(scopes, sorts=sorts):
        own = "source_key" if name == "edge" else "key"
        parts.append(
            f", {name}_gone AS (DELETE FROM {name} i USING gone WHERE i.{own} = gone.key{clause})"
        )
        gone += [array(scopes or ())] if clause else []
    parts.append(f", edge_new AS ({index_rows.EDGES})")
    parts.append(index_rows.CONTAINED if rows.contained else "")
    parts += [f", {name}_new AS ({index_rows.insert(name)})" for name in rows.used]
    parts.append(" SELECT count(*) FROM w")
    columns = rows.columns
    parameters: list[Any] = [keys, registry, *columns[:2], *gone, *columns[2:]]
    cursor = await connection.execute("".join(parts), parameters)
    ((count,),) = await cursor.fetchall()
    return int(count) > 0


def _leaving(scopes: Sequence[int] | None, *, sorts: bool) -> list[tuple[str, str]]:
    """Return the tables that rows leave, each with what else a row must meet."""
    if scopes is None:
        return [(name, "") for name in ("edge", *index_rows.TABLES)]
    within = " AND i.param = ANY(%s::bigint[])"
    named = [(name, within) for name in ("edge", *sorted(index_rows.SCOPED))] if scopes else []
    return [*named, *([(SORT_TABLE, "")] if sorts else [])]


async def advance(
    connection: Connection, part: Part, *, cursor: int, done: int, finished: bool
) -> None:
    """Move a part's cursor over `done` resources."""
    await connection.execute(_ADVANCE, (cursor, done, finished, part.walk, part.number))


async def note(connection: Connection, walk: int, errors: Sequence[tuple[int, int, str]]) -> None:
    """List what could not be indexed: (coverage, key, error)."""
    if errors:
        await connection.execute(
            "INSERT INTO reindex_error (reindex, coverage, key, error)"
            " SELECT %s, * FROM unnest(%s::bigint[], %s::bigint[], %s::text[])"
            " ON CONFLICT DO NOTHING",
            (walk, *arrays(errors, 3)),
        )
