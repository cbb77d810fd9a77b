"""Business keys: identifiers that one resource has and no other may have.

A row for each makes writers that race meet; what was stored before the systems
were named in the settings is found by its index terms. A row whose resource has
the identifier no longer, because it was written while the setting was off, is
taken over.
"""

from collections.abc import Sequence

from fhir_server.database import Connection

_RELEASE = "DELETE FROM business_key WHERE key = ANY(%s::bigint[])"

_CLAIM = """
INSERT INTO business_key (type_id, term, key)
SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::bigint[]) AS q(type_id, term, key)
ORDER BY type_id, term
ON CONFLICT DO NOTHING
RETURNING type_id, term
"""

# The type is compared in a way that no index knows (identifiers.py).
_HELD = """
SELECT q.type_id, q.term
FROM unnest(%s::smallint[], %s::bigint[]) AS q(type_id, term)
WHERE EXISTS (
    SELECT FROM terms t
    WHERE t.terms @> ARRAY[q.term] AND t.type_id + 0 = q.type_id AND t.key <> ALL (%s::bigint[])
)
"""

_TAKE_OVER = """
UPDATE business_key b SET key = q.key
FROM unnest(%s::smallint[], %s::bigint[], %s::bigint[]) AS q(type_id, term, key)
WHERE b.type_id = q.type_id AND b.term = q.term
  AND NOT EXISTS (SELECT FROM terms t WHERE t.key = b.key AND t.terms @> ARRAY[q.term])
RETURNING b.type_id, b.term
"""

Key = tuple[int, int]
"""Type id and term of the identifier."""


async def claim(
    connection: Connection, wanted: Sequence[tuple[int, int, int]], written: Sequence[int]
) -> set[Key]:
    """Claim (type id, term, key) for the resources being written; return what others hold.

    `written` are the keys of all that is written: what they held is released first.
    """
    await connection.execute(_RELEASE, (list(written),))
    if not wanted:
        return set()
    type_ids, terms, keys = (list(column) for column in zip(*wanted, strict=True))
    cursor = await connection.execute(_CLAIM, (type_ids, terms, keys))
    claimed = {(row[0], row[1]) for row in await cursor.fetchall()}
    # A new statement, so that it sees what those have committed on whom the claim had to wait.
    cursor = await connection.execute(_HELD, (type_ids, terms, list(written)))
    held = {(row[0], row[1]) for row in await cursor.fetchall()}
    open_ = [one for one in wanted if one[:2] not in claimed | held]
    if open_:
        columns = [list(column) for column in zip(*open_, strict=True)]
        cursor = await connection.execute(_TAKE_OVER, columns)
        claimed |= {(row[0], row[1]) for row in await cursor.fetchall()}
    return held | {one[:2] for one in open_ if one[:2] not in claimed}
