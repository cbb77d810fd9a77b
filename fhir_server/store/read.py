"""Reading resources by type and id.

https://hl7.org/fhir/R4/http.html#read
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from fhir_server.database import Connection
from fhir_server.search.condition import Condition
from fhir_server.search.passing import passing
from fhir_server.store.shown import hidden, shown
from fhir_server.store.transact import Current, Method


@dataclass(frozen=True, slots=True)
class Stored:
    """One version as it lies; `body` is empty for a deletion."""

    version: int
    last_updated: datetime
    method: Method
    body: bytes

    @property
    def deleted(self) -> bool:
        """Whether this version is a deletion."""
        return self.method is Method.DELETE


_CURRENT = """
SELECT b.version, b.last_updated, b.method, convert_to(b.json, 'UTF8')
FROM resource r LEFT JOIN body b ON b.key = r.key AND b.version = r.version
WHERE r.type_id = %s AND r.id = %s
"""

_CURRENTS = """
SELECT r.type_id, r.id, b.version, b.last_updated, b.method, convert_to(b.json, 'UTF8')
FROM unnest(%s::smallint[], %s::text[]) AS t(type_id, id)
     JOIN resource r USING (type_id, id)
     LEFT JOIN body b ON b.key = r.key AND b.version = r.version
"""

_VERSION = """
SELECT b.version, b.last_updated, b.method, convert_to(b.json, 'UTF8')
FROM resource r JOIN body b ON b.key = r.key
WHERE r.type_id = %s AND r.id = %s AND b.version = %s
"""

_EVER = """
SELECT FROM resource r JOIN change c USING (key)
WHERE r.type_id = %s AND r.id = %s AND c.version = %s
"""

_KEPT_BACK = """
SELECT EXISTS (
    SELECT FROM unnest(%s::smallint[], %s::text[]) AS t(type_id, id)
         JOIN resource r USING (type_id, id)
         LEFT JOIN body b ON b.key = r.key AND b.version = r.version
    WHERE b.key IS NULL AND NOT r.deleted)
"""

_VERSIONS = """
SELECT r.type_id, r.id, b.version, b.last_updated, b.method, convert_to(b.json, 'UTF8')
FROM unnest(%s::smallint[], %s::text[], %s::integer[]) AS t(type_id, id, version)
     JOIN resource r USING (type_id, id)
     JOIN body b ON b.key = r.key AND b.version = t.version
"""

_LOCK = """
SELECT r.key, r.type_id, r.id, r.version, r.last_updated, r.deleted, r.content_hash,
       r.feed_xid::text::bigint, convert_to(r.security, 'UTF8')
FROM unnest(%s::smallint[], %s::text[]) AS t(type_id, id)
     JOIN resource r USING (type_id, id)
ORDER BY r.type_id, r.id
FOR {strength} OF r
"""

_REFERRERS = """
SELECT t.type_id, t.id, r.type_id, r.id
FROM unnest(%s::smallint[], %s::text[]) AS t(type_id, id)
     CROSS JOIN LATERAL (
         SELECT DISTINCT e.source_key FROM edge e JOIN resource s ON s.key = e.source_key
         WHERE e.target_type = t.type_id AND e.target_id = t.id
           AND e.source_key <> ALL (%s::bigint[]) AND e.target_version IS NULL
           AND e.source_key > 0  -- a contained resource's reference is its container's too
           AND s.type_id <> ALL (%s::smallint[])
         LIMIT 10
     ) AS e
     JOIN resource r ON r.key = e.source_key
"""

_REFERRING = """
SELECT e.source_key, r.type_id, r.id, b.version, convert_to(b.json, 'UTF8')
FROM (
    SELECT DISTINCT source_key FROM edge
    WHERE target_type = %(type)s AND target_id = %(id)s AND target_version IS NULL
      AND source_key > %(after)s
) AS e
     JOIN resource r ON r.key = e.source_key
     JOIN body b ON b.key = r.key AND b.version = r.version
WHERE NOT r.deleted AND r.type_id <> ALL (%(besides)s::smallint[])
ORDER BY e.source_key LIMIT %(most)s
"""

_REFERRING_COUNT = """
SELECT count(DISTINCT e.source_key)
FROM edge e JOIN resource r ON r.key = e.source_key
WHERE e.target_type = %(type)s AND e.target_id = %(id)s AND e.target_version IS NULL
  AND e.source_key > 0 AND NOT r.deleted AND r.type_id <> ALL (%(besides)s::smallint[])
"""


async def current(
    connection: Connection, type_id: int, id_: str, wall: Condition | None = None
) -> Stored | None:
    """Return the present version (which may be a deletion), None when never stored.

    Behind a `wall` are those that meet it, and no deletions.
    """
    clause = passing(wall)
    sql = f"{_CURRENT}{clause.sql}" if clause.sql else _CURRENT
    return await _one(connection, sql, (type_id, id_, *clause.values))


async def currents(
    connection: Connection, wanted: Iterable[tuple[int, str]], wall: Condition | None = None
) -> dict[tuple[int, str], Stored]:
    """Return the present versions of (type id, id) pairs, those that were ever stored.

    Behind a `wall` are those that meet it, and no deletions.
    """
    pairs = sorted(set(wanted))
    if not pairs:
        return {}
    clause = passing(wall)
    sql = f"{_CURRENTS} WHERE true{clause.sql}" if clause.sql else _CURRENTS
    values = ([t for t, _ in pairs], [i for _, i in pairs], *clause.values)
    cursor = await connection.execute(sql, values, binary=True)
    return {(row[0], row[1]): _stored(*row[2:]) for row in await cursor.fetchall()}


async def version(
    connection: Connection, type_id: int, id_: str, number: int, wall: Condition | None = None
) -> Stored | None:
    """Return one version, None when there is none of that number.

    Behind a `wall` are those of resources that meet it now.
    """
    clause = passing(wall)
    sql = f"{_VERSION}{clause.sql}" if clause.sql else _VERSION
    return await _one(connection, sql, (type_id, id_, number, *clause.values))


async def require_none(
    connection: Connection, type_id: int, id_: str, number: int, wall: Condition | None
) -> None:
    """Raise HiddenError where there is such a version, which was not found, behind the wall."""
    clause = passing(wall)
    values = (type_id, id_, number, *clause.values)
    cursor = await connection.execute(f"{_EVER}{clause.sql}", values)
    if await cursor.fetchone() is not None:
        raise hidden()


async def require_all(connection: Connection, wanted: Iterable[tuple[int, str]]) -> None:
    """Raise HiddenError where the database keeps back one of (type id, id) pairs."""
    pairs = sorted(set(wanted))
    values = ([t for t, _ in pairs], [i for _, i in pairs])
    row = await (await connection.execute(_KEPT_BACK, values)).fetchone()
    if row and row[0]:
        raise hidden()


async def versions(
    connection: Connection,
    wanted: Iterable[tuple[int, str, int]],
    wall: Condition | None = None,
) -> dict[tuple[int, str, int], Stored]:
    """Return the versions of (type id, id, number) triples, those that there are.

    Behind a `wall` are those of resources that meet it now.
    """
    triples = sorted(set(wanted))
    if not triples:
        return {}
    clause = passing(wall)
    sql = f"{_VERSIONS} WHERE true{clause.sql}" if clause.sql else _VERSIONS
    values = [*(list(column) for column in zip(*triples, strict=True)), *clause.values]
    cursor = await connection.execute(sql, values, binary=True)
    return {
        (row[0], row[1], row[2]): Stored(row[2], row[3], Method(row[4]), row[5])
        for row in await cursor.fetchall()
    }


async def _one(connection: Connection, sql: str, values: tuple[Any, ...]) -> Stored | None:
    cursor = await connection.execute(sql, values, binary=True)
    row = await cursor.fetchone()
    return _stored(*row) if row else None


def _stored(number: int, at: datetime, method: int, body: bytes | None) -> Stored:
    text = shown(body)  # of the same row as the rest
    return Stored(number, at, Method(method), text)


Strength: TypeAlias = Literal["KEY SHARE", "NO KEY UPDATE", "UPDATE"]
"""To keep from deletion, to change, to delete: who changes lets others refer meanwhile."""


async def lock(
    connection: Connection, wanted: Iterable[tuple[int, str]], strength: Strength
) -> dict[tuple[int, str], Current]:
    """Lock the present rows of (type id, id) pairs in one fixed order and return them."""
    pairs = sorted(set(wanted))
    if not pairs:
        return {}
    sql = _LOCK.format(strength=strength)
    cursor = await connection.execute(sql, ([t for t, _ in pairs], [i for _, i in pairs]))
    return {(row[1], row[2]): Current(*row) for row in await cursor.fetchall()}


async def referrers(
    connection: Connection,
    wanted: Iterable[tuple[int, str]],
    *,
    besides: Iterable[int] = (),
    types: Iterable[int] = (),
) -> dict[tuple[int, str], list[tuple[int, str]]]:
    """Return for (type id, id) pairs up to 10 current resources each that refer to them.

    Those that nothing refers to are left out. A reference to a version does not count,
    as a deletion leaves that version where it is. `besides` are surrogate keys that do
    not count, such as of resources that the same transaction deletes; `types` are ids of
    types that do not, such as of those that tell what was.
    """
    pairs = sorted(set(wanted))
    values = ([t for t, _ in pairs], [i for _, i in pairs], list(besides), list(types))
    cursor = await connection.execute(_REFERRERS, values)
    found: dict[tuple[int, str], list[tuple[int, str]]] = {}
    for type_id, id_, source_type, source_id in await cursor.fetchall():
        found.setdefault((type_id, id_), []).append((source_type, source_id))
    return found


async def referring(
    connection: Connection,
    target: tuple[int, str],
    *,
    besides: Iterable[int],
    after: int,
    most: int,
) -> list[tuple[int, int, str, int, bytes]]:
    """Return (key, type id, id, version, body) of current resources that refer to one.

    They come in the order of their keys, from the first one above `after`. References to
    a version of it do not count, nor do resources of the types `besides`.
    """
    asked = {"type": target[0], "id": target[1], "besides": list(besides)}
    cursor = await connection.execute(_REFERRING, {**asked, "after": after, "most": most})
    return [(row[0], row[1], row[2], row[3], bytes(row[4])) for row in await cursor.fetchall()]


async def referring_count(
    connection: Connection, target: tuple[int, str], *, besides: Iterable[int]
) -> int:
    """Return how many there are of these."""
    asked = {"type": target[0], "id": target[1], "besides": list(besides)}
    row = await (await connection.execute(_REFERRING_COUNT, asked)).fetchone()
    return int(row[0]) if row else 0
