"""Readers of the change feed, each with a name and the place that it has reached.

A reader takes the next changes in the transaction in which it acts on them: both commit, or
neither does and the changes come again. Readers of one name, in whatever processes, take turns.
Who acts in transactions of his own asks for the place, reads from there (changes.read), acts,
and moves then; what he does may happen twice, so it must come to the same.
"""

from collections.abc import Collection, Sequence

from fhir_server import changes
from fhir_server.changes import Cursor, Page
from fhir_server.database import Connection

_ONCE = 200

_PLACE = "SELECT feed_xid::text::bigint, position FROM feed_reader WHERE name = %s"
_HELD = f"{_PLACE} FOR UPDATE"
_BEGIN = """
INSERT INTO feed_reader (name, feed_xid, position) VALUES (%s, %s::text::xid8, %s)
ON CONFLICT (name) DO NOTHING
"""
_MOVE = """
INSERT INTO feed_reader (name, feed_xid, position) VALUES (%s, %s::text::xid8, %s)
ON CONFLICT (name) DO UPDATE
SET feed_xid = excluded.feed_xid, position = excluded.position, moved_at = now()
"""
_FORGET = "DELETE FROM feed_reader WHERE name = %s"
# The reader `audit` has its place in audit_record; the changes after it are AuditEvents
# that it wrote itself.
_LAGS = """
SELECT name, coalesce(extract(epoch FROM clock_timestamp() - CASE name WHEN 'audit' THEN (
    SELECT at FROM audit_record AS a WHERE (a.feed_xid, a.position) > (r.feed_xid, r.position)
    ORDER BY a.feed_xid, a.position LIMIT 1
) ELSE (
    SELECT at FROM change AS c WHERE (c.feed_xid, c.position) > (r.feed_xid, r.position)
    ORDER BY c.feed_xid, c.position LIMIT 1
) END), 0)::float8 FROM feed_reader AS r ORDER BY name
"""


async def take(
    connection: Connection,
    name: str,
    types: Collection[int] | None = None,
    limit: int = _ONCE,
    begin: Cursor | None = None,
    *,
    deletions: bool = False,
) -> Page:
    """Return the next changes of a reader, and move it past them when the transaction commits.

    `types` are type ids, None for all; `deletions`: what was deleted alone. A reader that is
    new begins at `begin`, by default with what is committed from now on; Cursor() is the
    beginning of the feed.
    """
    place = await _held(connection, name, begin)
    page = await changes.read(connection, place, limit, types, deletions=deletions)
    if page.reached != place:
        await move(connection, name, page.reached)
    return page


async def place(connection: Connection, name: str) -> Cursor | None:
    """Return how far a reader has read, None for one that is new."""
    row = await (await connection.execute(_PLACE, (name,))).fetchone()
    return Cursor(*row) if row else None


async def move(connection: Connection, name: str, reached: Cursor) -> None:
    """Note how far a reader has acted on what it read."""
    await connection.execute(_MOVE, (name, str(reached.feed_xid), reached.position))


async def forget(connection: Connection, name: str) -> None:
    """Let a reader that waits for nothing begin anew when it comes again."""
    await connection.execute(_FORGET, (name,))


async def lags(connection: Connection) -> Sequence[tuple[str, float]]:
    """Return each reader's name, and the age in seconds of the oldest change it has not passed."""
    return await (await connection.execute(_LAGS)).fetchall()


async def _held(connection: Connection, name: str, begin: Cursor | None) -> Cursor:
    row = await (await connection.execute(_HELD, (name,))).fetchone()
    if row is None:
        first = begin or await changes.latest(connection)
        await connection.execute(_BEGIN, (name, str(first.feed_xid), first.position))
        row = await (await connection.execute(_HELD, (name,))).fetchone()
    # None: another forgot it in this moment, as nothing is waited for.
    return Cursor(*row) if row else await changes.latest(connection)
