"""Current resources found by one index term each, many at once."""

from collections.abc import Sequence

from fhir_server.database import Connection
from fhir_server.store.arrays import arrays

_BY_TERM = """
SELECT q.n, r.id, r.version
FROM unnest(%s::int[], %s::smallint[], %s::bigint[]) AS q(n, type_id, term)
     CROSS JOIN LATERAL (
         SELECT t.key FROM terms t
         WHERE t.terms @> ARRAY[q.term] AND t.type_id = q.type_id
         LIMIT %s
     ) AS t
     JOIN resource r ON r.key = t.key
"""


async def by_terms(
    connection: Connection, wanted: Sequence[tuple[int, int, int]], limit: int
) -> list[tuple[int, str, int]]:
    """Return (n, id, version) of up to `limit` resources for each (n, type id, term)."""
    if not wanted:
        return []
    cursor = await connection.execute(_BY_TERM, (*arrays(wanted, 3), limit))
    return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]
