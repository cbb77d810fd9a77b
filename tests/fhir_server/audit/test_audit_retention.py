"""What was kept long enough goes, and nothing else."""

from typing import Any

import httpx
import pytest

from fhir_server.audit import chain
from fhir_server.config import Settings
from fhir_server.interactions import auditing, retention
from fhir_server.server import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: Settings) -> Settings:
    days = {"days": {"Basic": 30, "AuditEvent": 100}}
    return Settings.model_validate({**settings.model_dump(), "retention": days})


def basic(id_: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Basic", "id": id_, "code": {"text": "x"}, **more}


async def test_what_is_old_and_not_referred_to_goes(
    client: httpx.AsyncClient, server: Server
) -> None:
    for one in (basic("old"), basic("used"), basic("new")):
        (await client.put(f"Basic/{one['id']}", json=one)).raise_for_status()
    (await client.put("Basic/user", json=basic("user", subject={"reference": "Basic/used"})))
    async with server.database.statement() as connection:
        await connection.execute(
            """UPDATE resource SET last_updated = now() - interval '40 days'
            WHERE id IN ('old', 'used')"""
        )
    await retention.run(server, {})
    found = [(await client.get(f"Basic/{id_}")).status_code for id_ in ("old", "used", "new")]
    assert found == [404, 200, 200]
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT payload FROM job WHERE kind = 'retention'")
        assert await cursor.fetchall() == [({},)]


async def test_audit_is_kept_six_years_and_goes_by_whole_days(
    client: httpx.AsyncClient, server: Server
) -> None:
    secret, type_id = server.registry.context.page_key, server.definitions.type_ids["AuditEvent"]
    for days, id_ in ((2_500, "a"), (400, "b"), (0, "c")):
        await client.put(f"Basic/{id_}", json=basic(id_))
        await auditing.settle(server)
        async with server.database.statement() as connection:
            await _age(connection, secret, days)
    await retention.run(server, {})
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM resource WHERE type_id = %s", (type_id,)
        )
        assert await cursor.fetchone() == (2,)
        assert await chain.verify(connection, secret, type_id) == []


async def _age(connection: Any, secret: bytes, days: int) -> None:
    """Let what was chained today be of a day before."""
    await connection.execute(
        "UPDATE audit_link SET day = day - %s WHERE day = current_date", (days,)
    )
    cursor = await connection.execute(
        "UPDATE audit_head SET day = day - %s WHERE day = current_date RETURNING day, links, chain",
        (days,),
    )
    head = chain.Head(*(await cursor.fetchone()))
    seal = chain.sealed(secret, head)
    await connection.execute("UPDATE audit_head SET seal = %s WHERE day = %s", (seal, head.day))
