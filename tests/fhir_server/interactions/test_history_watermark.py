"""A history page shows nothing above the oldest running write."""

import asyncio

import httpx
import msgspec

from fhir_server.database import Database
from fhir_server.server import Server

FHIR = {"content-type": "application/fhir+json"}


async def created(client: httpx.AsyncClient, family: str) -> None:
    patient = {"resourceType": "Patient", "name": [{"family": family}]}
    response = await client.post("/Patient", content=msgspec.json.encode(patient), headers=FHIR)
    assert response.status_code == 201


async def families(client: httpx.AsyncClient) -> list[str]:
    entries = (await client.get("/Patient/_history")).json().get("entry", [])
    return [entry["resource"]["name"][0]["family"] for entry in entries]


async def test_late_commit_is_not_passed_over(client: httpx.AsyncClient, server: Server) -> None:
    await created(client, "first")
    database: Database = server.database
    async with database.transaction() as slow:
        await slow.execute("SELECT pg_current_xact_id()")
        await created(client, "second")
        assert "second" not in await families(client)
    # Other databases of the same PostgreSQL may hold the watermark back for a moment.
    for _ in range(100):
        if len(await families(client)) == 2:
            break
        await asyncio.sleep(0.1)
    assert await families(client) == ["second", "first"]
