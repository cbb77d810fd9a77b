"""Reading resources by type and id.

https://hl7.org/fhir/R4/http.html#read
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from fhir_server.database import Connection
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
FROM resource r JOIN body b ON b.key = r.key AND b.version = r.version
WHERE r.type_id = %s AND r.id = %s
"""

_VERSION = """
SELECT b.version, b.last_updated, b.method, convert_to(b.json, 'UTF8')
FROM resource r JOIN body b ON b.key = r.key
WHERE r.type_id = %s AND r.id = %s AND b.version = %s
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
SELECT r.type_id, r.id
FROM edge e JOIN resource r ON r.key = e.source_key
WHERE e.target_type = %s AND e.target_id = %s AND e.source_key <> ALL (%s::bigint[])
GROUP BY r.type_id, r.id
LIMIT 10
"""


async def current(connection: Connection, type_id: int, id_: str) -> Stored | None:
    """Return the present version (which may be a deletion), None when never stored."""
    return await _one(connection, _CURRENT, (type_id, id_))


async def version(connection: Connection, type_id: int, id_: str, number: int) -> Stored | None:
    """Return one version, None when there is none of that number."""
    return await _one(connection, _VERSION, (type_id, id_, number))


async def _one(connection: Connection, sql: str, values: tuple[int | str, ...]) -> Stored | None:
    cursor = await connection.execute(sql, values, binary=True)
    row = await cursor.fetchone()
    return Stored(row[0], row[1], Method(row[2]), row[3]) if row else None


async def lock(
    connection: Connection, wanted: Iterable[tuple[int, str]], *, deleting: bool = False
) -> dict[tuple[int, str], Current]:
    """Lock the present rows of (type id, id) pairs in one fixed order and return them.

    An update lets others refer to the row meanwhile; a deletion does not.
    """
    pairs = sorted(set(wanted))
    if not pairs:
        return {}
    sql = _LOCK.format(strength="UPDATE" if deleting else "NO KEY UPDATE")
    cursor = await connection.execute(sql, ([t for t, _ in pairs], [i for _, i in pairs]))
    return {(row[1], row[2]): Current(*row) for row in await cursor.fetchall()}


async def referrers(
    connection: Connection, type_id: int, id_: str, *, besides: Iterable[int] = ()
) -> list[tuple[int, str]]:
    """Return up to 10 current resources (type id, id) that refer to this one.

    `besides` are surrogate keys that do not count, such as of resources that the
    same transaction deletes.
    """
    cursor = await connection.execute(_REFERRERS, (type_id, id_, list(besides)))
    return [(row[0], row[1]) for row in await cursor.fetchall()]
