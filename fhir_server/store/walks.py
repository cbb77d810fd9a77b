"""When walks begin and end, and what that means for the search parameters in them.

https://hl7.org/fhir/R4/searchparameter.html
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fhir_server.database import Connection
from fhir_server.store import coverage

# Resources of one part; a larger type has more parts.
PART = 20_000
MOST_PARTS = 500


@dataclass(frozen=True, slots=True)
class Due:
    """A type that needs a walk, for these coverages and perhaps to be made anew."""

    type_id: int
    coverages: tuple[int, ...]


_ASK = """
INSERT INTO reindex (type_id, whole, state)
SELECT t, true, 'pending' FROM unnest(%s::smallint[]) AS t
ON CONFLICT (type_id, state) WHERE state IN ('pending', 'running') DO NOTHING
"""

_DROP = """
UPDATE search_coverage SET state = 'dropping', since = now()
WHERE state = 'retired' AND since <= now() - %s * interval '1 second'
"""

_DUE = """
SELECT type_id, array_agg(id) FILTER (WHERE id IS NOT NULL)
FROM (SELECT type_id, id FROM search_coverage WHERE state IN ('pending', 'dropping')
      UNION ALL
      SELECT type_id, NULL FROM reindex WHERE state = 'pending') AS t
GROUP BY type_id ORDER BY type_id LIMIT 1
"""

_LATER = """
SELECT extract(epoch FROM min(since) - now())::float8 + %s
FROM search_coverage WHERE state = 'retired'
"""

_RUNNING = """
SELECT id, EXISTS (SELECT FROM reindex_part p WHERE p.reindex = w.id AND NOT p.finished)
FROM reindex w WHERE state = 'running' ORDER BY id
"""

_FORGET = """
WITH old AS (
    DELETE FROM reindex WHERE type_id = %s AND state NOT IN ('pending', 'running') RETURNING id
), parts AS (
    DELETE FROM reindex_part p USING old WHERE p.reindex = old.id
)
DELETE FROM reindex_error e USING old
WHERE e.reindex = old.id AND NOT EXISTS (SELECT FROM search_coverage c WHERE c.id = e.coverage)
"""

_START = """
UPDATE reindex SET state = 'running', since = now() WHERE type_id = %s AND state = 'pending'
RETURNING id
"""

_NEW = """
INSERT INTO reindex (type_id, whole, state) VALUES (%s, false, 'running')
RETURNING id
"""

_ADOPT = """
WITH mine AS (
    UPDATE search_coverage
    SET reindex = %s, since = now(), done = 0, total = 0, failed = 0,
        state = CASE state WHEN 'pending' THEN 'indexing' ELSE state END
    WHERE id = ANY(%s) AND state IN ('pending', 'dropping')
    RETURNING id
)
DELETE FROM reindex_error e USING mine WHERE e.coverage = mine.id
"""

_PARTS = """
INSERT INTO reindex_part (reindex, part, cursor, last)
SELECT %s, n, min(key) - 1, max(key)
FROM (SELECT key, ntile(%s) OVER (ORDER BY key) AS n FROM terms WHERE type_id = %s) AS t
GROUP BY n
"""

# An error without a coverage is one of all that the walk makes anew.
_COVER = """
UPDATE search_coverage c
SET state = CASE WHEN e.n > 0 THEN 'failed' ELSE 'complete' END, since = now(),
    done = w.done, total = w.total, failed = e.n
FROM reindex w, LATERAL (
    SELECT d.id, (SELECT count(*) FROM reindex_error e
                  WHERE e.reindex = w.id AND e.coverage IN (0, d.id)) AS n
    FROM search_coverage d WHERE d.reindex = w.id AND d.state = 'indexing'
) AS e
WHERE w.id = %s AND c.id = e.id
"""

_SUCCEED = """
UPDATE search_coverage old SET state = 'retired', since = now()
FROM search_coverage new
WHERE new.reindex = %s AND new.state = 'complete'
  AND old.parameter = new.parameter AND old.type_id = new.type_id
  AND old.state = 'complete' AND old.id < new.id
"""

_DROPPED = "DELETE FROM search_coverage WHERE reindex = %s AND state = 'dropping'"

_COUNT = """
UPDATE reindex w
SET done = (SELECT coalesce(sum(done), 0) FROM reindex_part p WHERE p.reindex = w.id),
    failed = (SELECT count(*) FROM reindex_error e WHERE e.reindex = w.id),
    state = CASE WHEN EXISTS (SELECT FROM reindex_error e WHERE e.reindex = w.id AND e.coverage = 0)
                 THEN 'failed' ELSE 'complete' END,
    since = now()
WHERE id = %s
"""


async def ask(connection: Connection, type_ids: Sequence[int]) -> None:
    """Have the index rows of these types made anew, by walks that wait for a worker."""
    await connection.execute(_ASK, (list(type_ids),))


async def due(connection: Connection, grace: float) -> Due | None:
    """Return the next type that needs a walk, None without one.

    Parameters retired for `grace` seconds are no longer searched by anybody: from now
    on their rows are not written either.
    """
    if (await connection.execute(_DROP, (grace,))).rowcount:
        await coverage.changed(connection)
    row = await (await connection.execute(_DUE)).fetchone()
    return None if row is None else Due(row[0], tuple(row[1] or ()))


async def later(connection: Connection, grace: float) -> float | None:
    """Return in how many seconds the next one retired is due, None without one."""
    row = await (await connection.execute(_LATER, (grace,))).fetchone()
    return None if row is None or row[0] is None else max(0.0, float(row[0]))


async def begin(connection: Connection, due: Due) -> int:
    """Start a walk over the type, the one that waits or a new one; return its parts."""
    await connection.execute(_FORGET, (due.type_id,))
    cursor = await connection.execute(_START, (due.type_id,))
    row = await cursor.fetchone()
    if row is None:
        cursor = await connection.execute(_NEW, (due.type_id,))
        row = await cursor.fetchone()
    assert row is not None
    (walk,) = row
    await connection.execute(_ADOPT, (walk, list(due.coverages)))
    await connection.execute("SET LOCAL statement_timeout = 0")  # a large type is counted
    counted = await connection.execute(
        "SELECT count(*) FROM terms WHERE type_id = %s", (due.type_id,)
    )
    ((total,),) = await counted.fetchall()
    parts = min(MOST_PARTS, total // PART + 1)
    await connection.execute(_PARTS, (walk, parts, due.type_id))
    await connection.execute("UPDATE reindex SET total = %s WHERE id = %s", (total, walk))
    return int(parts)


async def running(connection: Connection) -> bool:
    """End the walks whose parts are all finished; return whether others go on."""
    cursor = await connection.execute(_RUNNING)
    found = await cursor.fetchall()
    for walk, parts_left in found:
        if not parts_left:
            await _end(connection, walk)
    return any(parts_left for _, parts_left in found)


async def _end(connection: Connection, walk: int) -> None:
    """End a walk whose parts are finished.

    Its parameters become searchable, or failed if something could not be indexed; what
    they replace is retired, and what was taken away is forgotten.
    """
    touched = 0
    for statement in (_COUNT, _COVER, _SUCCEED, _DROPPED):
        touched += (await connection.execute(statement, (walk,))).rowcount
    await connection.execute("DELETE FROM reindex_part WHERE reindex = %s", (walk,))
    if touched > 1:  # more than the walk's own row
        await coverage.changed(connection)


async def cancel(connection: Connection, parameter: int | None) -> None:
    """Stop what goes on, or what goes on for one SearchParameter.

    What is not searchable yet stays so, as failed. What is being taken away needs a
    walk still.
    """
    for statement in (_STOP, _CANCEL):
        await connection.execute(statement, {"parameter": parameter})


_STOP = """
UPDATE search_coverage SET state = 'failed', since = now()
WHERE state IN ('pending', 'indexing')
  AND (parameter = %(parameter)s OR %(parameter)s::bigint IS NULL)
"""

_CANCEL = """
UPDATE reindex w SET state = 'cancelled', since = now(),
    done = (SELECT coalesce(sum(done), 0) FROM reindex_part p WHERE p.reindex = w.id)
WHERE state IN ('pending', 'running')
  AND CASE WHEN whole THEN %(parameter)s::bigint IS NULL ELSE NOT EXISTS (
      SELECT FROM search_coverage c
      WHERE c.reindex = w.id AND c.state IN ('indexing', 'dropping')) END
"""


async def retry(connection: Connection, parameter: int | None) -> int:
    """Have what failed, all or of one SearchParameter, indexed again; return how many."""
    cursor = await connection.execute(
        "UPDATE search_coverage SET state = 'pending', since = now() WHERE state = 'failed'"
        " AND (parameter = %(parameter)s OR %(parameter)s::bigint IS NULL)",
        {"parameter": parameter},
    )
    return cursor.rowcount
