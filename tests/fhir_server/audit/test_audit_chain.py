"""The chain shows what was done to AuditEvents behind the server's back."""

import httpx
import pytest

from fhir_server.audit import chain
from fhir_server.database import Connection
from fhir_server.interactions import auditing
from fhir_server.server import Server

FIRST = "(SELECT min(key) FROM audit_link)"


async def verified(server: Server) -> list[str]:
    async with server.database.connection() as connection:
        return await found(server, connection)


async def found(server: Server, connection: Connection) -> list[str]:
    type_id = server.definitions.type_ids["AuditEvent"]
    faults = await chain.verify(connection, server.registry.context.page_key, type_id)
    return sorted({one.what for one in faults})


@pytest.fixture
async def chained(client: httpx.AsyncClient, server: Server) -> Server:
    """Three events in the chain."""
    for id_ in "abc":
        (await client.put(f"Patient/{id_}", json={"resourceType": "Patient", "id": id_}))
    await auditing.settle(server)
    assert await verified(server) == []
    return server


# What somebody does to the database, and what is found.
DONE: list[tuple[str, list[str]]] = [
    (
        f"UPDATE body SET json = replace(json, '\"C\"', '\"R\"') WHERE key = {FIRST}",
        ["The event was changed"],
    ),
    (
        f"DELETE FROM body WHERE key = {FIRST}",
        ["The event was removed, or has another version"],
    ),
    (
        f"DELETE FROM resource WHERE key = {FIRST}",
        ["The event was removed, or has another version"],
    ),
    (
        "DELETE FROM audit_link WHERE number = 1",
        ["A link was removed", "The chain is broken", "The event was put in"],
    ),
    (
        "DELETE FROM audit_link WHERE number = 3",
        ["Links at the end of the day were removed", "The event was put in"],
    ),
    (
        "DELETE FROM audit_link",
        ["The event was put in", "The links of the day were removed"],
    ),
    ("DELETE FROM audit_head", ["The end of the day was removed"]),
    (
        """UPDATE audit_head SET links = 2,
            chain = (SELECT chain FROM audit_link WHERE number = 2)""",
        ["Links at the end of the day were removed", "The end of the day was changed"],
    ),
    (
        "UPDATE audit_link SET event = chain WHERE number = 2",
        ["The chain is broken", "The event was changed"],
    ),
    (
        f"""INSERT INTO resource SELECT key + 7777, type_id, id || 'x', version, last_updated,
            deleted, content_hash, feed_xid, security FROM resource WHERE key = {FIRST}""",
        ["The event was put in"],
    ),
]


async def test_what_is_done_to_events_is_found(chained: Server) -> None:
    for statement, expected in DONE:
        async with (
            chained.database.statement() as connection,
            connection.transaction(force_rollback=True),
        ):
            await connection.execute(statement)
            assert await found(chained, connection) == expected, statement
    assert await verified(chained) == []


async def test_chain_goes_on_after_a_day(chained: Server, client: httpx.AsyncClient) -> None:
    key = chained.registry.context.page_key
    async with chained.database.transaction() as connection:
        await connection.execute("UPDATE audit_link SET day = day - 1")
        row = await (
            await connection.execute(
                "UPDATE audit_head SET day = day - 1 RETURNING day, links, chain"
            )
        ).fetchone()
        assert row is not None
        seal = chain.sealed(key, chain.Head(*row))
        await connection.execute("UPDATE audit_head SET seal = %s", (seal,))
    await client.get("Patient/a")
    await auditing.settle(chained)
    assert await verified(chained) == []
    async with chained.database.transaction() as connection:
        await connection.execute("DELETE FROM audit_link WHERE day < current_date")
        await connection.execute("DELETE FROM audit_head WHERE day < current_date")
    assert "The chain is broken" in await verified(chained)


async def test_chain_that_was_changed_is_not_lengthened(
    chained: Server, client: httpx.AsyncClient
) -> None:
    async with chained.database.statement() as connection:
        await connection.execute("DELETE FROM audit_link WHERE number = 3")
    await client.get("Patient/a")
    await auditing.settle(chained)
    assert await verified(chained) == [
        "Links at the end of the day were removed",
        "The event was put in",
    ]
