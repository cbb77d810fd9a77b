"""The change feed, read without missing a late commit.

Positions are given out before commit, so a reader that remembered only the last
position would miss a transaction that commits late. A row is shown once every
transaction older than its own has ended (its `feed_xid` is below the snapshot's
xmin); what becomes visible later then always sorts after what was read.

https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from fhir_server.database import Connection


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in the feed: the last change that was read."""

    feed_xid: int = 0
    position: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """A new version of a resource; `method` is that of store.transact."""

    cursor: Cursor
    key: int
    version: int
    type_id: int
    method: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Changes, oldest first; how far the feed was read for them; whether there may be more."""

    changes: tuple[Change, ...]
    reached: Cursor
    more: bool


_DELETE = 3  # store.transact.Method
# Who wants few types passes over the others here, so many at a time.
_SCANNED = 5_000

_READ = """
WITH scanned AS MATERIALIZED (
    SELECT feed_xid, position, key, version, type_id, method, at,
        row_number() OVER (ORDER BY feed_xid, position) AS number
    FROM change
    WHERE (feed_xid, position) > (%(xid)s::text::xid8, %(position)s)
      AND feed_xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY feed_xid, position LIMIT %(scanned)s
)
(
    SELECT feed_xid::text::bigint, position, key, version, type_id, method, at, NULL
    FROM scanned
    WHERE (%(types)s::smallint[] IS NULL OR type_id = ANY(%(types)s))
      AND (NOT %(deletions)s OR method = %(delete)s)
    ORDER BY number LIMIT %(limit)s
) UNION ALL (
    SELECT feed_xid::text::bigint, position, key, version, type_id, method, at, number
    FROM scanned ORDER BY number DESC LIMIT 1
)
"""

_NAMED = "SELECT key, id FROM resource WHERE key = ANY(%s)"

# Nothing that is not yet shown sorts before the oldest transaction under way.
_LATEST = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"

_LAG = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(at)), 0)::float8
FROM change WHERE feed_xid >= pg_snapshot_xmin(pg_current_snapshot())
"""


async def read(
    connection: Connection,
    after: Cursor,
    limit: int,
    types: Collection[int] | None = None,
    *,
    deletions: bool = False,
) -> Page:
    """Return up to `limit` changes after a place, of some types of resources or of all.

    `deletions`: of those that deleted a resource alone.

    Nothing that commits later sorts before the place reached. A page that is empty may have
    passed over other changes.
    """
    given = {
        "xid": str(after.feed_xid),
        "position": after.position,
        "types": None if types is None else list(types),
        "deletions": deletions,
        "delete": _DELETE,
        "limit": limit,
        "scanned": max(limit, _SCANNED),
    }
    rows = await (await connection.execute(_READ, given)).fetchall()
    if not rows:
        return Page((), after, more=False)
    *found, last = rows
    changes = tuple(Change(Cursor(row[0], row[1]), *row[2:7]) for row in found)
    if len(changes) == limit:
        return Page(changes, changes[-1].cursor, more=True)
    return Page(changes, Cursor(last[0], last[1]), more=last[7] == given["scanned"])


async def named(connection: Connection, found: Sequence[Change]) -> dict[int, str]:
    """Return the id of each resource that changed, by its key."""
    keys = list({one.key for one in found})
    rows = await (await connection.execute(_NAMED, (keys,))).fetchall()
    return dict(rows)


async def latest(connection: Connection) -> Cursor:
    """Return a place before all that is committed from now on."""
    row = await (await connection.execute(_LATEST)).fetchone()
    return Cursor(row[0], 0) if row else Cursor()


async def lag_seconds(connection: Connection) -> float:
    """Return how old the oldest change is that is committed and not yet shown."""
    row = await (await connection.execute(_LAG)).fetchone()
    return float(row[0]) if row else 0.0
