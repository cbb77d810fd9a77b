"""How far reindexes and search parameters have come."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fhir_server.database import Connection

# So many of the resources that could not be indexed are listed.
LISTED = 100


@dataclass(frozen=True, slots=True)
class Progress:
    """State, resources done of all, and how many of them failed.

    `parameter` is the id of a SearchParameter, with the `code` and the `version` of its
    that is meant; without one this is a walk over all index rows of the type. `errors`
    lists some of the resources (type id, id) that failed, and why.
    """

    type_id: int
    state: str
    done: int
    total: int
    failed: int
    parameter: str = ""
    code: str = ""
    version: int = 0
    errors: Mapping[tuple[int, str], str] = field(default_factory=dict)


_WALKS = """
SELECT w.type_id, w.state,
       CASE WHEN w.state = 'running'
            THEN (SELECT coalesce(sum(done), 0) FROM reindex_part p WHERE p.reindex = w.id)
            ELSE w.done END::bigint,
       w.total, (SELECT count(*) FROM reindex_error e WHERE e.reindex = w.id AND e.coverage = 0),
       w.id
FROM reindex w WHERE w.whole
ORDER BY w.id
"""

_COVERAGES = """
SELECT c.type_id, c.state,
       CASE WHEN c.state = 'indexing'
            THEN (SELECT coalesce(sum(done), 0) FROM reindex_part p WHERE p.reindex = c.reindex)
            ELSE c.done END::bigint,
       CASE WHEN c.state = 'indexing' THEN coalesce(w.total, 0) ELSE c.total END,
       (SELECT count(*) FROM reindex_error e
        WHERE e.reindex = c.reindex AND e.coverage IN (0, c.id)),
       r.id, c.definition ->> 'code', c.version, c.reindex, c.id
FROM search_coverage c JOIN resource r ON r.key = c.parameter
     LEFT JOIN reindex w ON w.id = c.reindex
WHERE %(parameter)s::bigint IS NULL OR c.parameter = %(parameter)s
ORDER BY r.id, c.type_id, c.id
"""

_ERRORS = """
SELECT r.type_id, r.id, e.error
FROM reindex_error e JOIN resource r ON r.key = e.key
WHERE e.reindex = %s AND e.coverage = ANY(%s)
ORDER BY e.key
LIMIT %s
"""


async def walks(connection: Connection) -> list[Progress]:
    """Return the rebuilding of each type, as it goes on or last went."""
    found = []
    for *numbers, walk in await (await connection.execute(_WALKS)).fetchall():
        progress = Progress(*numbers)
        errors = await _errors(connection, walk, [0], progress.failed)
        found.append(replace(progress, errors=errors))
    return found


async def coverages(connection: Connection, parameter: int | None = None) -> list[Progress]:
    """Return each search parameter of the site on each type, or those of one SearchParameter."""
    cursor = await connection.execute(_COVERAGES, {"parameter": parameter})
    found = []
    for *values, walk, coverage in await cursor.fetchall():
        progress = Progress(*values)
        errors = await _errors(connection, walk, [0, coverage], progress.failed)
        found.append(replace(progress, errors=errors))
    return found


async def _errors(
    connection: Connection, walk: int | None, coverages: list[int], failed: int
) -> dict[tuple[int, str], str]:
    if not failed:
        return {}
    cursor = await connection.execute(_ERRORS, (walk, coverages, LISTED))
    return {(type_id, id_): error for type_id, id_, error in await cursor.fetchall()}
