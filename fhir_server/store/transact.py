"""The one write path: versions, index rows, change feed and jobs in one statement.

A write is a value; `transact` turns any number of them into a single SQL
statement, which is its own transaction on a connection in autocommit and a part
of the caller's on one that is in a transaction.

https://hl7.org/fhir/R4/http.html#transaction
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from functools import cache
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from fhir_server import tables
from fhir_server.database import Connection
from fhir_server.errors import Issue, Unprocessable
from fhir_server.search.extract import IndexRows
from fhir_server.store.arrays import array, arrays
from fhir_server.store.text import Text

NO_SEARCH_PARAMETER = 0


class Method(IntEnum):
    """How a version came to be; stored with it and shown in the history."""

    POST = 1
    PUT = 2
    DELETE = 3
    PATCH = 4


@dataclass(frozen=True, slots=True)
class Current:
    """The present state of a resource that a write has locked."""

    key: int
    type_id: int
    id: str
    version: int
    last_updated: datetime
    deleted: bool
    content_hash: bytes
    feed_xid: int
    security: bytes | None


@dataclass(frozen=True, slots=True)
class Write:
    """One new version. `text` and `index` are None for a deletion.

    `references` are the literal local references (type id, id) that must exist,
    with the FHIRPath of each; `previous` is the locked current state, None for a
    new resource.
    """

    key: int
    type_id: int
    id: str
    version: int
    method: Method
    text: Text | None
    content_hash: bytes
    security: bytes | None
    index: IndexRows | None
    references: tuple[tuple[int, str, str], ...]
    previous: Current | None


@dataclass(frozen=True, slots=True)
class Written:
    """What a write became: its version's time, exactly as in the body."""

    key: int
    last_updated: datetime


async def transact(
    connection: Connection, writes: Sequence[Write], *, integrity: bool
) -> dict[int, Written]:
    """Write all versions or none; return them by key.

    With `integrity`, each reference of a write must lead to a resource that is
    stored and not deleted, or is among the writes; else Unprocessable names the
    paths. The targets stay locked against deletion until the transaction ends.
    """
    if not writes:
        return {}
    needed = _needed(writes) if integrity else {}
    deleted = {(write.type_id, write.id) for write in writes if write.text is None}
    if lost := sorted(deleted & needed.keys()):
        raise _dangling(needed, lost)
    tables_used = tuple(sorted({n for w in writes if w.index for n in w.index.ranges}))
    parameters = [
        *_columns(writes),
        *arrays(sorted(needed), 2),
        *_index_columns(writes, tables_used),
    ]
    revising = any(write.previous for write in writes)
    cursor = await connection.execute(_statement(tables_used, revising=revising), parameters)
    written: dict[int, Written] = {}
    missing: list[tuple[int, str]] = []
    for key, at, type_id, id_ in await cursor.fetchall():
        if key is None:
            missing.append((type_id, id_))
        else:
            written[key] = Written(key, at)
    if missing:
        raise _dangling(needed, missing)
    return written


def _needed(writes: Sequence[Write]) -> dict[tuple[int, str], list[str]]:
    own = {(write.type_id, write.id) for write in writes if write.text is not None}
    needed: dict[tuple[int, str], list[str]] = {}
    for write in writes:
        for type_id, id_, path in write.references:
            if (type_id, id_) not in own:
                needed.setdefault((type_id, id_), []).append(path)
    return needed


def _dangling(
    needed: dict[tuple[int, str], list[str]], missing: Iterable[tuple[int, str]]
) -> Unprocessable:
    issues = [
        Issue("error", "not-found", "The referenced resource is not stored here", path)
        for target in missing
        for path in needed[target]
    ]
    return Unprocessable("A reference leads nowhere", issues=issues)


def _columns(writes: Sequence[Write]) -> list[str]:
    rows = [
        (
            write.key,
            write.type_id,
            write.id,
            write.version,
            int(write.method),
            write.text.head.decode() if write.text else None,
            write.text.tail.decode() if write.text else None,
            f"\\x{write.content_hash.hex()}",
            write.security.decode() if write.security else None,
            write.previous.last_updated.isoformat() if write.previous else None,
            write.previous.feed_xid if write.previous else None,
        )
        for write in writes
    ]
    return arrays(rows, 11)


def _index_columns(writes: Sequence[Write], tables_used: Sequence[str]) -> list[str]:
    indexed = [(write.key, write.index) for write in writes if write.index]
    columns = arrays([(key, array(index.terms)) for key, index in indexed], 2)
    columns += arrays([(key, *edge) for key, index in indexed for edge in index.edges], 5)
    for name in tables_used:
        rows = [(key, *row) for key, index in indexed for row in index.ranges.get(name, ())]
        columns += arrays(rows, len(tables.metadata.tables[name].columns))
    return columns


_HEAD = """
WITH given AS MATERIALIZED (
    SELECT g.*,
           greatest(date_trunc('milliseconds', now()), g.prev + interval '1 ms') AS at,
           greatest(pg_current_xact_id(), g.prev_feed) AS feed
    FROM unnest(%s::bigint[], %s::smallint[], %s::text[], %s::int[], %s::smallint[],
                %s::text[], %s::text[], %s::bytea[], %s::text[], %s::timestamptz[], %s::xid8[])
         AS g(key, type_id, id, version, method, head, tail, hash, security, prev, prev_feed)
),
target AS (SELECT * FROM unnest(%s::smallint[], %s::text[]) AS t(type_id, id)),
present AS MATERIALIZED (
    SELECT r.type_id, r.id
    FROM target JOIN resource r USING (type_id, id)
    WHERE NOT r.deleted
    FOR KEY SHARE OF r
),
missing AS MATERIALIZED (SELECT type_id, id FROM target EXCEPT SELECT type_id, id FROM present),
w AS MATERIALIZED (SELECT * FROM given WHERE NOT EXISTS (SELECT FROM missing)),
created AS (
    INSERT INTO resource
        (key, type_id, id, version, last_updated, deleted, content_hash, feed_xid, security)
    SELECT key, type_id, id, version, at, false, hash, feed, security FROM w WHERE prev IS NULL
),
updated AS (
    UPDATE resource r
    SET version = w.version, last_updated = w.at, deleted = w.tail IS NULL,
        content_hash = w.hash, feed_xid = w.feed, security = w.security
    FROM w WHERE r.key = w.key AND w.prev IS NOT NULL
),
texts AS (
    INSERT INTO body (key, version, last_updated, method, json)
    SELECT key, version, at, method,
           coalesce(head || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
                    || tail, '')
    FROM w
),
feed AS (
    INSERT INTO change (feed_xid, key, version, type_id, method, at)
    SELECT feed, key, version, type_id, method, at FROM w
),
terms_new AS (
    INSERT INTO terms (key, type_id, version, last_updated, terms)
    SELECT w.key, w.type_id, w.version, w.at, t.terms::bigint[]
    FROM unnest(%s::bigint[], %s::text[]) AS t(key, terms) JOIN w ON w.key = t.key
    ON CONFLICT (key) DO UPDATE SET version = excluded.version,
        last_updated = excluded.last_updated, terms = excluded.terms
),
edge_new AS (
    INSERT INTO edge (source_key, param, target_type, target_id, target_version)
    SELECT e.* FROM unnest(%s::bigint[], %s::int[], %s::smallint[], %s::text[], %s::int[])
        AS e(source_key, param, target_type, target_id, target_version)
    WHERE EXISTS (SELECT FROM w)
)"""

_TAIL = """
SELECT key, at, NULL::smallint, NULL::text FROM w
UNION ALL
SELECT NULL, NULL, type_id, id FROM missing
"""


_REVISING = """,
gone AS MATERIALIZED (SELECT key, tail IS NULL AS deleted FROM w WHERE prev IS NOT NULL),
terms_gone AS (DELETE FROM terms t USING gone WHERE t.key = gone.key AND gone.deleted),
edge_gone AS (DELETE FROM edge e USING gone WHERE e.source_key = gone.key)"""

_INDEX_TABLES = tuple(sorted(name for name in tables.metadata.tables if name.startswith("idx_")))
_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


@cache
def _statement(tables_used: tuple[str, ...], *, revising: bool) -> str:
    """Return the statement for these index tables; `revising` when old rows must go."""
    parts = [_HEAD]
    if revising:
        parts.append(_REVISING)
        parts += [
            f", {name}_gone AS (DELETE FROM {name} i USING gone WHERE i.key = gone.key)"
            for name in _INDEX_TABLES
        ]
    parts += [_insert(name) for name in tables_used]
    return "".join(parts) + _TAIL


def _insert(name: str) -> str:
    columns = tables.metadata.tables[name].columns
    names = ", ".join(f'"{column.name}"' for column in columns)
    arrays = ", ".join(f"%s::{_type_name(column.type)}[]" for column in columns)
    return (
        f", {name}_new AS (INSERT INTO {name} ({names}) "
        f"SELECT i.* FROM unnest({arrays}) AS i WHERE EXISTS (SELECT FROM w))"
    )


def _type_name(kind: TypeEngine[Any]) -> str:
    return str(kind.compile(_DIALECT)).partition(" COLLATE")[0]
