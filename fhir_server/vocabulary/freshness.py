"""Whether terminology was written since it was last looked at, by any process.

What is kept of the store is right as long as nothing was written, so each question begins
with one small statement. Questions that come while it runs share the next one: under load
there is one statement at a time, however many ask.

Every write adds a row to `change`. A row that was not visible in a snapshot belongs to a
transaction not older than the snapshot's xmin; so between two looks the rows from that xmin
on are counted, and an equal number means that nothing was added.
"""

import asyncio
from collections.abc import Mapping, Sequence

from fhir_server.database import Database

_LOOK = """
WITH now AS MATERIALIZED (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin)
SELECT now.xmin::text, t.type_id,
       (SELECT count(*) FROM change c
        WHERE c.type_id = t.type_id AND c.feed_xid >= %s::text::xid8),
       (SELECT count(*) FROM change c WHERE c.type_id = t.type_id AND c.feed_xid >= now.xmin)
FROM now CROSS JOIN unnest(%s::smallint[]) AS t(type_id)
"""


class Freshness:
    """Counts, for each resource type, how often its resources were seen to have changed."""

    def __init__(self, database: Database, type_ids: Sequence[int]) -> None:
        self._database = database
        self._type_ids = list(type_ids)
        self._lock = asyncio.Lock()
        self._begun = self._ended = 0
        self._since: str | None = None
        self._counted: Mapping[int, int] = {}
        self._generations: Mapping[int, int] = dict.fromkeys(self._type_ids, 0)

    async def now(self) -> Mapping[int, int]:
        """Return a number for each type, another one when a resource of it was written since."""
        before = self._begun
        async with self._lock:
            if self._ended <= before:
                await self._look()
            return self._generations

    async def _look(self) -> None:
        self._begun += 1
        number = self._begun
        async with self._database.connection() as connection:
            cursor = await connection.execute(_LOOK, (self._since, self._type_ids))
            rows = await cursor.fetchall()
        self._generations = {
            type_id: self._generations[type_id] + (added != self._counted.get(type_id))
            for _, type_id, added, _ in rows
        }
        self._since = rows[0][0]
        self._counted = {type_id: open_ for _, type_id, _, open_ in rows}
        self._ended = number
