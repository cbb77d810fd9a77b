"""Current resources found by one index term each, many at once."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from fhir_server.database import Connection
from fhir_server.store.arrays import array, arrays

# The type is compared in a way that no index knows: by that of types PostgreSQL went through
# all resources of the type, once for each term (docs/decisions/0067).
_BY_TERM: Final = """
SELECT q.n, r.id, r.version
FROM unnest(%s::int[], %s::smallint[], %s::bigint[]) AS q(n, type_id, term)
     CROSS JOIN LATERAL (
         SELECT t.key FROM terms t
         WHERE t.terms @> ARRAY[q.term] AND t.type_id + 0 = q.type_id
         LIMIT %s
     ) AS t
     JOIN resource r ON r.key = t.key
"""

# The index is gone through once for all terms, as each search of it reads its pending list. The
# limit stands outside, so that it is not for fear of many matches that the table is walked.
_BY_TERMS: Final = """
WITH met AS MATERIALIZED (
    SELECT t.key, t.type_id, t.terms FROM terms t WHERE t.terms && %s::bigint[]
)
SELECT met.type_id, met.terms, r.id, r.version
FROM (SELECT * FROM met LIMIT %s) AS met JOIN resource r ON r.key = met.key
"""

_FEW: Final = 4
"""Up to so many are looked for one by one."""

_MOST: Final = 1_000
"""Resources that are looked at for all together; an identifier that many share means nobody."""


async def by_terms(
    connection: Connection, wanted: Sequence[tuple[int, int, int]], limit: int
) -> list[tuple[int, str, int]]:
    """Return (n, id, version) of up to `limit` resources for each (n, type id, term)."""
    if len(wanted) > _FEW:
        found = await _together(connection, wanted, limit)
        if found is not None:
            return found
    if not wanted:
        return []
    cursor = await connection.execute(_BY_TERM, (*arrays(wanted, 3), limit))
    return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]


async def _together(
    connection: Connection, wanted: Sequence[tuple[int, int, int]], limit: int
) -> list[tuple[int, str, int]] | None:
    """Return what `by_terms` does; None where too many resources have any of the terms."""
    asked: dict[tuple[int, int], list[int]] = {}
    for number, type_id, term in wanted:
        asked.setdefault((type_id, term), []).append(number)
    terms = array({term for _, _, term in wanted})
    # Planned each time, for the table as it is: a plan that was kept since there was little in it
    # would compare all of these terms with those of each resource.
    values = (terms, _MOST)
    cursor = await connection.execute(_BY_TERMS, values, prepare=False, binary=True)
    rows = await cursor.fetchall()
    if len(rows) == _MOST:
        return None
    taken: Counter[int] = Counter()
    found: list[tuple[int, str, int]] = []
    for type_id, had, id_, version in rows:
        for term in had:
            for number in asked.get((type_id, term), ()):
                taken[number] += 1
                if taken[number] <= limit:
                    found.append((number, id_, version))
    return found
