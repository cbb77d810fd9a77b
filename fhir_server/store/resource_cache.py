"""Resources that clients sent to `$cache-control`, as JSON arrays by the id of their cache."""

from fhir_server.database import Connection

# The time of use is written when it has moved by this part of the time that a cache is kept.
_PART = 20


async def add(connection: Connection, id_: str, content: str) -> None:
    """Keep an array of resources."""
    await connection.execute(
        "INSERT INTO resource_cache (id, content) VALUES (%s, %s)", (id_, content)
    )


async def use(connection: Connection, id_: str, seconds: int) -> bool:
    """Note that a cache is used; False when there is none that was used in the last seconds."""
    cursor = await connection.execute(
        "SELECT used < now() - make_interval(secs => %(part)s) FROM resource_cache"
        " WHERE id = %(id)s AND used > now() - make_interval(secs => %(seconds)s)",
        {"id": id_, "seconds": seconds, "part": seconds / _PART},
    )
    row = await cursor.fetchone()
    if row is not None and row[0]:
        await connection.execute("UPDATE resource_cache SET used = now() WHERE id = %s", (id_,))
    return row is not None


async def content(connection: Connection, id_: str) -> str | None:
    """Return the array of a cache, None where there is none."""
    cursor = await connection.execute("SELECT content FROM resource_cache WHERE id = %s", (id_,))
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def drop(connection: Connection, id_: str) -> bool:
    """Let a cache go; False when there is none."""
    cursor = await connection.execute("DELETE FROM resource_cache WHERE id = %s", (id_,))
    return cursor.rowcount > 0


async def sweep(connection: Connection, seconds: int, most: int) -> None:
    """Let those go that were not used in the last seconds, and of more than `most` the oldest."""
    await connection.execute(
        "DELETE FROM resource_cache WHERE id IN ("
        " SELECT id FROM resource_cache"
        " WHERE used <= now() - make_interval(secs => %(seconds)s)"
        " OR id NOT IN (SELECT id FROM resource_cache ORDER BY used DESC LIMIT %(most)s)"
        # Two that sweep at once must not wait for one another.
        " FOR UPDATE SKIP LOCKED)",
        {"seconds": seconds, "most": most},
    )
