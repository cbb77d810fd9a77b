"""Reading the versions of resources, newest first.

https://hl7.org/fhir/R4/http.html#history
"""

from dataclasses import dataclass
from datetime import datetime

from fhir_server.database import Connection
from fhir_server.store.transact import Method


@dataclass(frozen=True, slots=True)
class Version:
    """One entry of a history; `cursor` is its place in the change feed."""

    type_id: int
    id: str
    version: int
    last_updated: datetime
    method: Method
    body: bytes
    cursor: tuple[int, int]


_COLUMNS = """
SELECT c.type_id, r.id, c.version, c.at, c.method, convert_to(b.json, 'UTF8'),
       c.feed_xid::text::bigint, c.position
FROM change c
     JOIN resource r ON r.key = c.key
     JOIN body b ON b.key = c.key AND b.version = c.version
"""

_ORDER = "ORDER BY c.feed_xid DESC, c.position DESC LIMIT %(limit)s"
_SETTLED = "c.feed_xid < pg_snapshot_xmin(pg_current_snapshot())"
_BEFORE = "(c.feed_xid, c.position) < (%(xid)s::text::xid8, %(position)s)"


async def versions(
    connection: Connection,
    *,
    limit: int,
    type_id: int | None = None,
    id_: str | None = None,
    since: datetime | None = None,
    at: tuple[datetime, datetime] | None = None,
    before: tuple[int, int] | None = None,
) -> list[Version]:
    """Return up to `limit` versions, newest commit first.

    `since` keeps versions updated at or after it; `at` those current at some
    moment of [start, end); `before` continues after the last entry's cursor.
    """
    # The order of the feed is settled only below the oldest running transaction.
    conditions = [] if id_ is not None else [_SETTLED]
    if type_id is not None:
        conditions.append("c.type_id = %(type_id)s")
    if id_ is not None:
        conditions.append(
            "c.key = (SELECT key FROM resource WHERE type_id = %(type_id)s AND id = %(id)s)"
        )
    if since is not None:
        conditions.append("c.at >= %(since)s")
    if at is not None:
        conditions.append(
            "c.at < %(at_end)s AND NOT EXISTS (SELECT FROM body n WHERE n.key = c.key "
            "AND n.version = c.version + 1 AND n.last_updated <= %(at_start)s)"
        )
    if before is not None:
        conditions.append(_BEFORE)
    where = "WHERE " + " AND ".join(conditions) if conditions else ""
    start, end = at or (None, None)
    xid, position = before or (0, 0)
    cursor = await connection.execute(
        f"{_COLUMNS} {where} {_ORDER}",
        {
            "type_id": type_id,
            "id": id_,
            "since": since,
            "at_start": start,
            "at_end": end,
            "xid": str(xid),
            "position": position,
            "limit": limit,
        },
        binary=True,
    )
    return [
        Version(row[0], row[1], row[2], row[3], Method(row[4]), row[5], (row[6], row[7]))
        for row in await cursor.fetchall()
    ]


async def count(connection: Connection, type_id: int, id_: str) -> int:
    """Return how many versions a resource has; 0 when it was never stored."""
    cursor = await connection.execute(
        "SELECT count(*) FROM body b JOIN resource r ON r.key = b.key "
        "WHERE r.type_id = %s AND r.id = %s",
        (type_id, id_),
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
