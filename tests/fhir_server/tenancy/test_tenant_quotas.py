"""Quotas of tenants: who is over one stores nothing more, and loses nothing."""

from dataclasses import replace
from datetime import UTC, datetime

import httpx
import psycopg
import pytest

from adapters.hl7.inbox import process, receive
from adapters.hl7.mllp.examine import examine
from adapters.hl7.mllp.framing import Frame, Kind
from adapters.hl7.simulate.chemistry import oru
from fhir_server.hl7_settings import Hl7Settings
from fhir_server.interactions import auditing
from fhir_server.server import Server
from fhir_server.tenancy import tenant
from fhir_server.tenancy.usage import AUDIT_EVENT
from tests.fhir_server.tenancy.conftest import Installation, by_rest, opened

pytestmark = pytest.mark.anyio


async def test_a_tenant_over_its_quota_may_delete_and_not_create(
    client: httpx.AsyncClient, empty: Installation
) -> None:
    await by_rest(client, "north", 1)
    with psycopg.connect(empty.conninfo, autocommit=True) as connection:
        before = empty.of("north")
        tenant.change(connection, replace(before, max_resources=2))
        try:
            refused = await client.post("/fhir/t/north/Patient", json={"resourceType": "Patient"})
            async with opened(empty, "http://testserver/fhir") as own:
                await auditing.settle(own["north"])
                assert await audited(own["north"]) > 0
            gone = await client.delete("/fhir/t/north/Observation?code:text=north")
            other = await client.post("/fhir/t/south/Patient", json={"resourceType": "Patient"})
        finally:
            tenant.change(connection, before)
    assert [one.status_code for one in (refused, gone, other)] == [429, 204, 201]


async def audited(handle: Server) -> int:
    """Return how many AuditEvents a tenant has."""
    query = "SELECT count(*) FROM resource WHERE type_id = %s"
    async with handle.database.connection() as connection:
        cursor = await connection.execute(query, (handle.definitions.type_ids["AuditEvent"],))
        row = await cursor.fetchone()
    assert row is not None
    assert handle.definitions.type_ids["AuditEvent"] == AUDIT_EVENT
    return int(row[0])


async def test_a_message_over_the_quota_waits_and_is_applied_when_there_is_room(
    empty: Installation,
) -> None:
    with psycopg.connect(empty.conninfo, autocommit=True) as connection:
        before = empty.of("north")
        tenant.change(connection, replace(before, max_resources=0))
        try:
            async with opened(empty, "http://testserver/fhir") as own:
                await receive.store(
                    own["north"].database,
                    "lab",
                    [(examine(Frame(Kind.WHOLE, oru(1)), Hl7Settings(), datetime.now(UTC)), "-")],
                )
                await process.run(own["north"], {})
                assert await states(own["north"]) == ["stored"]
        finally:
            tenant.change(connection, before)
    with psycopg.connect(empty.as_tenant("north"), autocommit=True) as theirs:
        theirs.execute("UPDATE hl7_message SET next_attempt = NULL")
    async with opened(empty, "http://testserver/fhir") as own:
        await process.run(own["north"], {})
        assert await states(own["north"]) == ["done"]


async def states(handle: Server) -> list[str]:
    async with handle.database.connection() as connection:
        cursor = await connection.execute("SELECT state FROM hl7_message ORDER BY id")
        return [row[0] for row in await cursor.fetchall()]
