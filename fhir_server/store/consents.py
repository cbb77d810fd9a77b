"""The rows of Consents, which follow each of their versions in its transaction.

docs/decisions/0048
"""

from collections.abc import Sequence

from fhir_server.access.provision_rows import ConsentRow, columns
from fhir_server.database import Connection
from fhir_server.search.consents import Kind

_GONE = """
WITH parts AS (DELETE FROM consent_part WHERE consent = ANY(%(keys)s)),
     nodes AS (DELETE FROM consent_node WHERE consent = ANY(%(keys)s))
DELETE FROM consent WHERE key = ANY(%(keys)s)
"""

_ADD = """
INSERT INTO consent (key, patient, low, high, denies, readable, weight)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""

_ADD_NODE = "INSERT INTO consent_node (consent, node, depth, permit) VALUES (%s, %s, %s, %s)"

_ADD_PART = """
INSERT INTO consent_part
    (consent, node, part, kind, names, related, dependents, authors, terms, types, low, high)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""

_NAMING = f"""
SELECT EXISTS (
    SELECT FROM consent c
    JOIN consent_node n ON n.consent = c.key AND n.permit
    JOIN consent_part p ON p.consent = n.consent AND p.node = n.node
    WHERE c.patient = %(patient)s AND c.low <= %(now)s AND c.high > %(now)s
      AND p.kind = {int(Kind.ACTOR)} AND %(place)s = ANY(p.names)
)
"""

_NEXT = """
SELECT r.key, b.json FROM resource r JOIN body b ON b.key = r.key AND b.version = r.version
WHERE r.type_id = %s AND r.key > %s AND NOT r.deleted ORDER BY r.key LIMIT %s
FOR NO KEY UPDATE OF r
"""

_UNNAME = """
WITH gone AS (
    SELECT array_agg(concat(type_id, '/', id)) AS places FROM resource WHERE key = ANY(%(keys)s)
)
UPDATE consent_part
SET names = ARRAY(SELECT unnest(names) EXCEPT SELECT unnest(places)),
    related = ARRAY(SELECT unnest(related) EXCEPT SELECT unnest(places)),
    dependents = ARRAY(SELECT unnest(dependents) EXCEPT SELECT unnest(places)),
    authors = ARRAY(SELECT unnest(authors) EXCEPT SELECT unnest(places))
FROM gone WHERE (names || related || dependents || authors) && places
"""


async def follow(connection: Connection, rows: Sequence[tuple[int, ConsentRow | None]]) -> None:
    """Put these rows, by the key of the Consent, in the place of those that there were."""
    await connection.execute(_GONE, {"keys": [key for key, _ in rows]})
    for key, row in rows:
        if row is not None:
            await _add(connection, key, row)


async def forget(connection: Connection, keys: Sequence[int]) -> None:
    """Remove what is kept of these resources: the rows of Consents, and names in those of others.

    Done before the resources themselves are gone.
    """
    await connection.execute(_GONE, {"keys": list(keys)})
    await connection.execute(_UNNAME, {"keys": list(keys)})


async def _add(connection: Connection, key: int, row: ConsentRow) -> None:
    said = (key, row.patient, *row.span, row.denies, row.readable, row.weight)
    await connection.execute(_ADD, said)
    nodes = list(enumerate(row.nodes))
    parts = [(key, number, *part) for number, node in nodes for part in columns(node)]
    async with connection.cursor() as cursor:
        await cursor.executemany(
            _ADD_NODE, [(key, number, node.depth, node.permit) for number, node in nodes]
        )
        if parts:
            await cursor.executemany(_ADD_PART, parts)


async def locked(
    connection: Connection, type_id: int, after: int, most: int
) -> list[tuple[int, str]]:
    """Return key and text of the next Consents after a key, and keep others from changing them."""
    cursor = await connection.execute(_NEXT, (type_id, after, most))
    return await cursor.fetchall()


async def is_named(connection: Connection, patient: str, place: str, now: int) -> bool:
    """Return whether a consent of the patient permits something to `place` (`type id/id`) now.

    `now` is in microseconds since 1970.
    """
    given = {"patient": patient, "now": now, "place": place}
    row = await (await connection.execute(_NAMING, given)).fetchone()
    return bool(row and row[0])
