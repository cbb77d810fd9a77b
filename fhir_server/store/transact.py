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

from psycopg import errors
from psycopg.pq import TransactionStatus

from fhir_server.database import Connection
from fhir_server.errors import Conflict, Issue, Unprocessable
from fhir_server.r4 import definitions
from fhir_server.search import care
from fhir_server.search.extract import IndexRows
from fhir_server.store import index_rows
from fhir_server.store.arrays import array, arrays
from fhir_server.store.business import claim
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
    new resource; `business` are the terms of the identifiers that no other resource
    may have, with the FHIRPath of each, None where the type has no such systems.
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
    business: tuple[tuple[int, str], ...] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What a write became: its version's time, exactly as in the body."""

    key: int
    last_updated: datetime


class Outdated(errors.SerializationFailure):
    """The search parameters have changed since the index rows were made."""


async def transact(
    connection: Connection,
    writes: Sequence[Write],
    *,
    integrity: bool,
    registry: int,
    said: str | None = None,
) -> dict[int, Written]:
    """Write all versions or none; return them by key.

    `registry` is the version of the registry that was in force before any index row
    was made; Outdated when it is no longer (store/coverage.py).

    With `integrity`, each reference of a write must lead to a resource that is
    stored and not deleted, or is among the writes; else Unprocessable names the
    paths. The targets stay locked against deletion until the transaction ends.
    What is `said` of the writes for the audit is written with them.
    Conflict (code `duplicate`) names the identifiers that others have.
    """
    if not writes:
        return {}
    if any(write.business is not None for write in writes):
        if connection.info.transaction_status == TransactionStatus.IDLE:
            async with connection.transaction():
                return await transact(
                    connection, writes, integrity=integrity, registry=registry, said=said
                )
        await _claim(connection, writes)
    needed = _needed(writes) if integrity else {}
    deleted = {(write.type_id, write.id) for write in writes if write.text is None}
    if lost := sorted(deleted & needed.keys()):
        raise dangling(needed, lost)
    indexed = [(write.key, write.index) for write in writes if write.index]
    rows = index_rows.spread(indexed)
    told = array([said] if said else [])
    parameters = [*_columns(writes), *arrays(sorted(needed), 2), registry, told, *rows.columns]
    left = _left(writes)
    statement = _statement(rows.used, left, containing=bool(rows.contained))
    cursor = await connection.execute(statement, parameters)
    written: dict[int, Written] = {}
    missing: list[tuple[int, str]] = []
    for key, at, type_id, id_ in await cursor.fetchall():
        if key is None and type_id is None:
            raise Outdated
        if key is None:
            missing.append((type_id, id_))
        else:
            written[key] = Written(key, at)
    if missing:
        raise dangling(needed, missing)
    return written


async def _claim(connection: Connection, writes: Sequence[Write]) -> None:
    """Hold the business keys of the writes, or refuse."""
    paths: dict[tuple[int, int], list[str]] = {}
    wanted: dict[tuple[int, int], int] = {}
    for write in writes:
        for term, path in write.business or ():
            paths.setdefault((write.type_id, term), []).append(path)
            wanted[write.type_id, term] = write.key
    keys = [write.key for write in writes]
    held = await claim(connection, [(*one, key) for one, key in wanted.items()], keys)
    held |= {one for one, found in paths.items() if len(found) > 1}
    if held:
        issues = [
            Issue("error", "duplicate", "Another resource has this identifier", path)
            for one, found in paths.items()
            if one in held
            for path in found
        ]
        raise Conflict("An identifier is another resource's", issues=issues)


def _needed(writes: Sequence[Write]) -> dict[tuple[int, str], list[str]]:
    needed: dict[tuple[int, str], list[str]] = {}
    for write in writes:
        for type_id, id_, path in write.references:
            needed.setdefault((type_id, id_), []).append(path)
    for write in writes:
        if write.text is not None:
            needed.pop((write.type_id, write.id), None)
    return needed


def dangling(
    needed: dict[tuple[int, str], list[str]], missing: Iterable[tuple[int, str]]
) -> Unprocessable:
    """Return the refusal of the references, by their paths, to what is not stored."""
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
    ORDER BY type_id, id
    FOR KEY SHARE OF r
),
missing AS MATERIALIZED (SELECT type_id, id FROM target EXCEPT SELECT type_id, id FROM present),
outdated AS (
    -- A change by this very transaction concerns those that come after it.
    SELECT FROM search_registry WHERE version <> %s AND xmin <> pg_current_xact_id()::xid
),
w AS MATERIALIZED (
    SELECT * FROM given
    WHERE NOT EXISTS (SELECT FROM missing) AND NOT EXISTS (SELECT FROM outdated)
),
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
audited AS (
    INSERT INTO audit_record (position, said)
    SELECT nextval('audit_position'), a.said FROM unnest(%s::text[]) AS a(said)
    WHERE EXISTS (SELECT FROM w)
),
terms_new AS (
    INSERT INTO terms (key, type_id, version, last_updated, terms)
    SELECT w.key, w.type_id, w.version, w.at, t.terms::bigint[]
    FROM unnest(%s::bigint[], %s::text[]) AS t(key, terms) JOIN w ON w.key = t.key
    ON CONFLICT (key) DO UPDATE SET version = excluded.version,
        last_updated = excluded.last_updated, terms = excluded.terms
),
edge_new AS ("""

_TAIL = """
SELECT key, at, NULL::smallint, NULL::text FROM w
UNION ALL
SELECT NULL, NULL, type_id, id FROM missing
UNION ALL
SELECT NULL, NULL, NULL, NULL FROM outdated
"""


_REVISING = f""",
inner_gone AS MATERIALIZED ({index_rows.CONTAINED_GONE} AND w.prev IS NOT NULL),
gone AS MATERIALIZED (
    SELECT key, tail IS NULL AS deleted FROM w WHERE prev IS NOT NULL
    UNION ALL
    SELECT inner_gone.*, true FROM inner_gone
),
contained_gone AS (DELETE FROM resource r USING gone WHERE r.key = gone.key AND r.key < 0),
terms_gone AS (DELETE FROM terms t USING gone WHERE t.key = gone.key AND gone.deleted),
edge_gone AS (DELETE FROM edge e USING gone WHERE e.source_key = gone.key)"""


def _left(writes: Sequence[Write]) -> tuple[str, ...]:
    """Return the tables that the rows of older versions leave; none where there are no such."""
    revised = {write.type_id for write in writes if write.previous}
    if not revised:
        return ()
    return index_rows.TABLES if revised & _relating() else _BUT_CARE


_BUT_CARE = tuple(name for name in index_rows.TABLES if name != care.TABLE)


@cache
def _relating() -> frozenset[int]:
    """Return the types whose resources establish care relationships: others have no such rows."""
    type_ids = definitions.load().type_ids
    return frozenset(type_ids[name] for name in care.SOURCES)


@cache
def _statement(tables_used: tuple[str, ...], left: tuple[str, ...], *, containing: bool) -> str:
    """Return the statement for these index tables.

    `left` are the tables that old rows leave, `containing` when there are contained resources.
    """
    parts = [_HEAD, index_rows.EDGES, ")", index_rows.CONTAINED if containing else ""]
    if left:
        parts.append(_REVISING)
        parts += [
            f", {name}_gone AS (DELETE FROM {name} i USING gone WHERE i.key = gone.key)"
            for name in left
        ]
    parts += [f", {name}_new AS ({index_rows.insert(name)})" for name in tables_used]
    return "".join(parts) + _TAIL
