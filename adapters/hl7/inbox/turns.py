"""The line of unfinished messages, and who writes which of them.

A process claims messages by advisory locks of one connection, so that the claims of one
that was killed are gone with it. They only save work: what a message writes and the end
of its row are one transaction, so nothing is applied twice without them either.

https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from collections.abc import Collection, Sequence
from typing import Final

from adapters.hl7.inbox.apply import Row
from adapters.hl7.inbox.barriers import claims
from adapters.hl7.inbox.lanes import Place
from adapters.hl7.inbox.understand import KeptOrigin
from fhir_server.database import OWN, Connection
from fhir_server.server import Server

WINDOW: Final = 256
"""So far a process looks past the first message that it cannot take yet."""

# Added to the number of a message, so that its lock is nobody else's.
_LOCKS: Final = 7_261_964_007 << 24

_LINE: Final = """
SELECT id, partition_keys, channel, coalesce(event, ''), coalesce(next_attempt <= now(), true),
       octet_length(raw)
FROM hl7_message WHERE state = 'stored' AND id > %s ORDER BY id LIMIT %s
"""
_CLAIM: Final = f"""
SELECT id FROM unnest(%s::bigint[]) AS id WHERE pg_try_advisory_lock((%s + id) # {OWN})
"""
_ELSEWHERE: Final = f"""
SELECT ((classid::bigint << 32) | objid::bigint) # {OWN} FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid <> pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_RELEASE: Final = f"SELECT pg_advisory_unlock((%s + id) # {OWN}) FROM unnest(%s::bigint[]) AS id"
_RELEASE_ALL: Final = "SELECT pg_advisory_unlock_all()"
_LOAD: Final = """
SELECT id, raw, partition_keys, attempts, ack_mode, confirmed, channel, coalesce(event, ''),
       peer, sender
FROM hl7_message
WHERE id = ANY(%s) AND state = 'stored' AND coalesce(next_attempt <= now(), true) ORDER BY id
"""
_SAME: Final = "SELECT key, name FROM hl7_alias WHERE key = ANY(%s)"
_HOLDING: Final = """
SELECT id, partition_keys, channel, coalesce(event, '') FROM hl7_message
WHERE holds AND state = 'dead' ORDER BY id
"""


async def line(server: Server, connection: Connection, after: int) -> list[Place]:
    """Return the places of the unfinished messages after the one with this number.

    The names of patients are read after the messages: they are as new at least.
    """
    scope = server.settings.hl7.ordering_scope
    cursor = await connection.execute(_LINE, (after, WINDOW))
    found = await cursor.fetchall()
    same = await _same(connection, {key for row in found for key in row[1]})
    return [
        Place(id_, claims(keys, channel, event, same, scope=scope), due, size)
        for id_, keys, channel, event, due, size in found
    ]


async def _same(connection: Connection, keys: Collection[str]) -> dict[str, str]:
    """Return the names under which these partitions go since their patients were merged."""
    if not keys:
        return {}
    cursor = await connection.execute(_SAME, (list(keys),))
    return dict(await cursor.fetchall())


async def claim(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Claim messages for this connection and return those that nobody else has."""
    cursor = await connection.execute(_CLAIM, (list(ids), _LOCKS))
    return [row[0] for row in await cursor.fetchall()]


async def elsewhere(connection: Connection) -> set[int]:
    """Return the messages that other connections have, among other numbers."""
    cursor = await connection.execute(_ELSEWHERE)
    return {row[0] - _LOCKS for row in await cursor.fetchall()}


async def release(connection: Connection, ids: Sequence[int]) -> None:
    """Give up claims of this connection."""
    await connection.execute(_RELEASE, (_LOCKS, list(ids)))


async def release_all(connection: Connection) -> None:
    """Give up all claims of this connection."""
    await connection.execute(_RELEASE_ALL)


async def load(server: Server, ids: Sequence[int]) -> list[Row]:
    """Return those of the messages that are still to be processed now, in their order."""
    scope = server.settings.hl7.ordering_scope
    async with server.database.connection() as connection:
        cursor = await connection.execute(_LOAD, (list(ids),), binary=True)
        found = await cursor.fetchall()
        same = await _same(connection, {key for row in found for key in row[2]})
    rows: list[Row] = []
    for id_, raw, keys, attempts, mode, confirmed, channel, event, *origin in found:
        said = claims(keys, channel, event, same, scope=scope)
        rows.append(
            Row(
                *(id_, bytes(raw), frozenset(keys), attempts, mode, True, confirmed),
                *(said.holds, said.waits, said.alone),
                KeptOrigin(channel, *origin),
            )
        )
    return rows


async def holding(server: Server, connection: Connection) -> dict[str, int]:
    """Return the claims of dead letters behind which messages wait, with the first one's id."""
    scope = server.settings.hl7.ordering_scope
    cursor = await connection.execute(_HOLDING)
    rows = await cursor.fetchall()
    same = await _same(connection, {key for row in rows for key in row[1]})
    held: dict[str, int] = {}
    for id_, keys, channel, event in rows:
        for one in claims(keys, channel, event, same, scope=scope).holds:
            held.setdefault(one, id_)
    return held
