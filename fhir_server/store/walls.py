"""Which resources meet a condition, of those that are given.

https://hl7.org/fhir/R4/http.html#transaction
"""

from collections.abc import Iterable, Sequence

from fhir_server.database import Connection
from fhir_server.search.condition import Condition
from fhir_server.search.passing import passing

_KEYS = "SELECT r.key FROM unnest(%s::bigint[]) AS r(key) WHERE "

_PLACES = """
SELECT r.type_id, r.id
FROM unnest(%s::smallint[], %s::text[]) AS q(type_id, id) JOIN resource r USING (type_id, id)
WHERE NOT r.deleted AND """

_REFERRED = "SELECT DISTINCT target_type, target_id FROM edge WHERE source_key = ANY(%s)"


async def meeting(connection: Connection, keys: Iterable[int], wall: Condition) -> set[int]:
    """Return those of the keys whose resources meet the condition now."""
    wanted, clause = sorted(keys), passing(wall)
    if not wanted:
        return set()
    cursor = await connection.execute(f"{_KEYS}{clause.test}", (wanted, *clause.values))
    return {row[0] for row in await cursor.fetchall()}


async def there(
    connection: Connection, places: Iterable[tuple[int, str]], wall: Condition | None
) -> set[tuple[int, str]]:
    """Return those of the (type id, id) pairs whose resources exist and meet the condition.

    None: all that exist.
    """
    pairs, clause = sorted(set(places)), passing(wall)
    if not pairs:
        return set()
    values = ([t for t, _ in pairs], [i for _, i in pairs], *clause.values)
    cursor = await connection.execute(f"{_PLACES}{clause.test}", values)
    return {(row[0], row[1]) for row in await cursor.fetchall()}


async def referred(connection: Connection, keys: Sequence[int]) -> set[tuple[int, str]]:
    """Return the (type id, id) pairs to which resources refer as they lie."""
    if not keys:
        return set()
    cursor = await connection.execute(_REFERRED, (list(keys),))
    return {(row[0], row[1]) for row in await cursor.fetchall()}
