"""Resources removed for good: every version, index row, edge and change.

What is deleted by a client is only marked so; here nothing stays.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final, NamedTuple

from fhir_server.database import Connection, Database
from fhir_server.store import consents, index_rows

_AT_ONCE: Final = 20_000

_LAST: Final = """
SELECT max(key) FROM (SELECT key FROM resource WHERE key > %s ORDER BY key LIMIT %s) AS next
"""
_NAMING: Final = """
SELECT DISTINCT b.key FROM body b
WHERE b.key > %(after)s AND b.key <= %(last)s AND EXISTS (
    SELECT FROM unnest(%(needles)s::text[]) AS n(needle) WHERE position(n.needle IN b.json) > 0)
"""
_VERSIONS: Final = """
SELECT r.key, r.type_id, r.id, b.version, b.json
FROM resource r JOIN body b ON b.key = r.key WHERE r.key = ANY(%s) ORDER BY r.key, b.version
"""
_REFERRING: Final = """
SELECT DISTINCT r.key
FROM unnest(%s::smallint[], %s::text[]) AS t(type_id, id)
     JOIN edge e ON e.target_type = t.type_id AND e.target_id = t.id
     JOIN resource r ON r.key = e.source_key
WHERE r.key > 0 AND r.type_id <> ALL(%s::smallint[])
"""
_CONTAINED: Final = """
SELECT substr(target_id, 2)::bigint FROM edge WHERE source_key = ANY(%s) AND target_type < 0
"""
_REPLACE: Final = "UPDATE body SET json = %s WHERE key = %s AND version = %s"
_FORGET_BEFORE: Final = """
WITH gone AS (DELETE FROM body WHERE key = %(key)s AND version < %(version)s)
DELETE FROM change WHERE key = %(key)s AND version < %(version)s
"""
_HOLDING: Final = """
SELECT EXISTS (
    SELECT FROM resource r JOIN body b ON b.key = r.key
    WHERE r.type_id = %s AND position(%s IN b.json) > 0)
"""

_BESIDE: Final = ("business_key", "consent", "change", "body", "resource")
_OF_KEYS: Final = ("terms", *index_rows.TABLES, *_BESIDE)
_OF_CONSENTS: Final = ("consent_part", "consent_node")
# Who opened the record stays known, whose it was does not. A patient's account is one no more.
_OF_PATIENT: Final = (
    "DELETE FROM idx_care WHERE patient = %(id)s OR actor = %(literal)s",
    "UPDATE break_glass SET patient = '', words = '' WHERE patient = %(id)s",
    "DELETE FROM identity_launch WHERE context ->> 'patient' = %(id)s",
    """UPDATE identity_grant SET context = '{}', ended_at = coalesce(ended_at, now()),
        reason = 'erased' WHERE context ->> 'patient' = %(id)s""",
    """UPDATE identity_session SET ended_at = coalesce(ended_at, now()), address = '', device = ''
        WHERE user_id IN (SELECT id FROM identity_user WHERE fhir_user = %(literal)s)""",
    """DELETE FROM identity_passkey
        WHERE user_id IN (SELECT id FROM identity_user WHERE fhir_user = %(literal)s)""",
    """UPDATE identity_user SET name = 'erased ' || id, display = '', fhir_user = NULL,
        password = '', seed = NULL, recovery = '{}', active = false
        WHERE fhir_user = %(literal)s""",
)
_JOBS: Final = """
DELETE FROM job WHERE state <> 'running' AND EXISTS (
    SELECT FROM unnest(%s::text[]) AS n(needle) WHERE position(n.needle IN payload::text) > 0)
"""
# What is kept for a while, and may quote anybody.
_PASSING: Final = {
    "asynchronous_request": "position(convert_to({needle}, 'UTF8') IN body) > 0"
    " OR position(convert_to({needle}, 'UTF8') IN coalesce(answer, '')) > 0"
    " OR position({needle} IN url) > 0",
    "resource_cache": "position({needle} IN content) > 0",
}


class Version(NamedTuple):
    """One version of a resource; its text is empty for a deletion."""

    key: int
    type_id: int
    id: str
    version: int
    text: str


async def naming(database: Database, needles: Sequence[str]) -> AsyncIterator[list[int]]:
    """Yield the keys of resources of which some version has one of the texts.

    Each statement looks through so many resources as takes some seconds at most.
    """
    after = 0
    while True:
        async with database.statement() as connection:
            row = await (await connection.execute(_LAST, (after, _AT_ONCE))).fetchone()
            if row is None or row[0] is None:
                return
            given = {"after": after, "last": row[0], "needles": list(needles)}
            found = await (await connection.execute(_NAMING, given)).fetchall()
        yield [one[0] for one in found]
        after = row[0]


async def versions(connection: Connection, keys: Sequence[int]) -> dict[int, list[Version]]:
    """Return all versions of resources, oldest first, by key."""
    rows = await (await connection.execute(_VERSIONS, (list(keys),))).fetchall()
    found: dict[int, list[Version]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(Version(*row))
    return found


async def referring(
    connection: Connection, places: Iterable[tuple[int, str]], besides: Iterable[int]
) -> set[int]:
    """Return the keys of resources that refer to (type id, id), but for types `besides`."""
    pairs = sorted(set(places))
    values = ([t for t, _ in pairs], [i for _, i in pairs], list(besides))
    return {row[0] for row in await (await connection.execute(_REFERRING, values)).fetchall()}


async def replace_text(connection: Connection, one: Version, text: str) -> None:
    """Put another text in the place of a version's."""
    await connection.execute(_REPLACE, (text, one.key, one.version))


async def forget_before(connection: Connection, key: int, version: int) -> None:
    """Remove the versions of a resource before one."""
    await connection.execute(_FORGET_BEFORE, {"key": key, "version": version})


async def remove(connection: Connection, keys: Sequence[int]) -> None:
    """Remove resources with all that is stored of them and of what they contain."""
    rows = await (await connection.execute(_CONTAINED, (list(keys),))).fetchall()
    whole = [*keys, *(row[0] for row in rows)]
    await consents.forget(connection, whole)
    await connection.execute("DELETE FROM edge WHERE source_key = ANY(%s)", (whole,))
    for table in _OF_CONSENTS:
        await connection.execute(f"DELETE FROM {table} WHERE consent = ANY(%s)", (whole,))
    for table in _OF_KEYS:
        await connection.execute(f"DELETE FROM {table} WHERE key = ANY(%s)", (whole,))


async def remove_access(connection: Connection, patient: str) -> None:
    """Remove who cares for a patient, and the account of one who logs in."""
    given = {"id": patient, "literal": f"Patient/{patient}"}
    for statement in _OF_PATIENT:
        await connection.execute(statement, given)


async def remove_passing(
    connection: Connection, needles: Sequence[str], words: Sequence[str]
) -> int:
    """Remove what waits and has one of the texts; return how much that was.

    Jobs go by the `needles` alone, which are in nobody else's; requests that are answered
    later, and caches, by the `words` as well: a client can ask again.
    """
    count = (await connection.execute(_JOBS, (list(needles),))).rowcount
    for table, condition in _PASSING.items():
        where = condition.format(needle="%(needle)s::text")
        for needle in (*needles, *words):
            given = {"needle": needle}
            count += (
                await connection.execute(f"DELETE FROM {table} WHERE {where}", given)
            ).rowcount
    return count


async def is_held(connection: Connection, type_id: int, digest: str) -> bool:
    """Whether a Binary (`type_id`) still has the blob of this digest."""
    row = await (await connection.execute(_HOLDING, (type_id, f'"sha256":"{digest}"'))).fetchone()
    return bool(row and row[0])
