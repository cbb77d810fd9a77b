"""Reading the versions of resources, newest first.

https://hl7.org/fhir/R4/http.html#history
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.database import Connection
from fhir_server.search.condition import Condition
from fhir_server.search.passing import passing
from fhir_server.store.shown import shown as shown_
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


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which versions: of one resource (by its surrogate key), of a type, or all.

    `since` keeps those updated at or after it; `at` those current at some moment of
    [start, end). Behind a `wall` are those of resources that meet it now, and all of the
    types `open`.
    """

    key: int | None = None
    type_id: int | None = None
    since: datetime | None = None
    at: tuple[datetime, datetime] | None = None
    wall: Condition | None = None
    open: tuple[int, ...] = ()


# The texts are measured where they lie, and only those that are shown are fetched: the last is
# the one that passes the size of a page, and there is always one.
_PAGE = """
WITH page AS MATERIALIZED (
    SELECT c.feed_xid, c.position, c.key, c.version, c.type_id, c.at, c.method
    FROM change c {where}
    ORDER BY c.feed_xid DESC, c.position DESC LIMIT %(limit)s
), sized AS (
    SELECT page.*, r.id, b.json, count(*) OVER () AS found,
           sum(coalesce(octet_length(b.json), 0)) OVER (
               ORDER BY page.feed_xid DESC, page.position DESC ROWS UNBOUNDED PRECEDING
           ) - coalesce(octet_length(b.json), 0) AS before
    FROM page
         JOIN resource r ON r.key = page.key
         LEFT JOIN body b ON b.key = page.key AND b.version = page.version
)
SELECT found, type_id, id, version, at, method, convert_to(json, 'UTF8'),
       feed_xid::text::bigint, position
FROM sized WHERE before < %(most_bytes)s
ORDER BY feed_xid DESC, position DESC
"""

_SETTLED = "c.feed_xid < pg_snapshot_xmin(pg_current_snapshot())"
_BEFORE = "(c.feed_xid, c.position) < (%(xid)s::text::xid8, %(position)s)"
_CURRENT = """c.at < %(at_end)s AND NOT EXISTS (
    SELECT FROM body n
    WHERE n.key = c.key AND n.version = c.version + 1 AND n.last_updated <= %(at_start)s
)"""


async def versions(
    connection: Connection,
    bounds: Bounds,
    *,
    limit: int,
    most_bytes: int,
    before: tuple[int, int] | None = None,
) -> tuple[list[Version], bool]:
    """Return up to `limit` versions, newest commit first, and whether there are more.

    There are fewer when their texts pass `most_bytes`; `before` continues after the
    cursor of the last one of a page.
    """
    conditions = _conditions(bounds)
    # The order of the feed is settled only below the oldest running transaction; the
    # versions of one resource come one after the other.
    if bounds.key is None:
        conditions.append(_SETTLED)
    if before is not None:
        conditions.append(_BEFORE)
    xid, position = before or (0, 0)
    values = {"xid": str(xid), "position": position, "limit": limit + 1, "most_bytes": most_bytes}
    cursor = await connection.execute(
        _PAGE.format(where=_where(conditions)), _values(bounds) | values, binary=True
    )
    rows = await cursor.fetchall()
    shown = [
        Version(row[1], row[2], row[3], row[4], Method(row[5]), shown_(row[6]), (row[7], row[8]))
        for row in rows[:limit]
    ]
    return shown, bool(rows) and rows[0][0] > len(shown)


async def key_of(
    connection: Connection, type_id: int, id_: str, wall: Condition | None = None
) -> int | None:
    """Return the surrogate key of a resource, also of a deleted one; None when there was none.

    Behind a `wall` are those that meet it, and no deleted ones.
    """
    clause = passing(wall)
    cursor = await connection.execute(
        f"SELECT key FROM resource r WHERE type_id = %s AND id = %s{clause.sql}",
        (type_id, id_, *clause.values),
    )
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def count(connection: Connection, bounds: Bounds) -> int:
    """Return how many versions there are within the bounds."""
    where = _where(_conditions(bounds))
    cursor = await connection.execute(f"SELECT count(*) FROM change c {where}", _values(bounds))
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


def _conditions(bounds: Bounds) -> list[str]:
    given = {
        "c.key = %(key)s": bounds.key,
        "c.type_id = %(type_id)s": bounds.type_id if bounds.key is None else None,
        "c.at >= %(since)s": bounds.since,
        _CURRENT: bounds.at,
        f"(c.type_id = ANY(%(open)s) OR {_walled(bounds)[0]})": bounds.wall,
    }
    return [condition for condition, value in given.items() if value is not None]


def _walled(bounds: Bounds) -> tuple[str, dict[str, Any]]:
    return passing(bounds.wall, "c.key").named()


def _where(conditions: list[str]) -> str:
    return "WHERE " + " AND ".join(conditions) if conditions else ""


def _values(bounds: Bounds) -> dict[str, Any]:
    start, end = bounds.at or (None, None)
    return {
        "key": bounds.key,
        "type_id": bounds.type_id,
        "since": bounds.since,
        "at_start": start,
        "at_end": end,
        **({"open": list(bounds.open), **_walled(bounds)[1]} if bounds.wall else {}),
    }
