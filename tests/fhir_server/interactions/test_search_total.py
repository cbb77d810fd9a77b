"""The total of a searchset: counted, capped, estimated or left out."""

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import pytest

from fhir_server.api.app import create_app
from fhir_server.config import Limits, Settings
from fhir_server.server import Server
from fhir_server.store import find, page

FHIR = {"content-type": "application/fhir+json"}


async def stored(client: httpx.AsyncClient, count: int) -> None:
    for number in range(count):
        patient = {"resourceType": "Patient", "name": [{"family": f"Rao{number}"}]}
        body = msgspec.json.encode(patient)
        assert (await client.post("/Patient", content=body, headers=FHIR)).status_code == 201


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ("", 3),
        ("_count=2", 3),
        ("_count=2&_total=accurate", 3),
        ("_count=2&_total=none", None),
        ("_count=2&family=rao1", 1),
        ("_summary=count", 3),
        ("_summary=count&family=none", 0),
    ],
)
async def test_the_total_is_that_of_all_pages(
    client: httpx.AsyncClient, query: str, total: int | None
) -> None:
    await stored(client, 3)
    assert (await client.get(f"/Patient?{query}")).json().get("total") == total


async def test_an_estimate_is_the_planners(client: httpx.AsyncClient, server: Server) -> None:
    await stored(client, 3)
    async with server.database.statement() as connection:
        await connection.execute("ANALYZE")
    assert (await client.get("/Patient?_count=2&_total=estimate")).json()["total"] == 3


@pytest.mark.parametrize(("cost", "total"), [(0, None), (10_000, 3)])
async def test_a_default_total_is_left_out_where_counting_would_be_dear(
    client: httpx.AsyncClient, server: Server, cost: int, total: int | None
) -> None:
    await stored(client, 3)
    search = server.settings.search.model_copy(update={"total_cost": cost})
    settings = server.settings.model_copy(update={"search": search})
    transport = httpx.ASGITransport(app=create_app(replace(server, settings=settings)))
    async with httpx.AsyncClient(transport=transport, base_url=server.base) as other:
        bundle = (await other.get("/Patient?_count=2")).json()
        exact = (await other.get("/Patient?_count=2&_total=accurate")).json()
    assert (bundle.get("total"), exact["total"]) == (total, 3)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Counting has one second."""
    return Settings(demo=True, data_dir=tmp_path / "data", limits=Limits(count_seconds=1))


async def test_more_matches_than_are_gathered_are_walked_and_not_counted(
    client: httpx.AsyncClient, server: Server
) -> None:
    await stored(client, 5)
    search = server.settings.search.model_copy(update={"total_cap": 2})
    settings = server.settings.model_copy(update={"search": search})
    transport = httpx.ASGITransport(app=create_app(replace(server, settings=settings)))
    async with httpx.AsyncClient(transport=transport, base_url=server.base) as other:
        pages = {
            query: (await other.get(f"/Patient?{query}")).json()
            for query in ("_sort=family&_count=1", "_sort=family&_count=2&name=rao", "name=rao0")
        }
    totals = [bundle.get("total") for bundle in pages.values()]
    found = [[e["resource"]["name"][0]["family"] for e in b["entry"]] for b in pages.values()]
    assert (totals, found) == ([None, None, 1], [["Rao0"], ["Rao0", "Rao1"], ["Rao0"]])


async def test_count_that_takes_too_long_is_left_out_or_refused(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever(*_: object) -> int:
        await asyncio.sleep(60)
        return 0

    await stored(client, 2)
    monkeypatch.setattr(find, "count", forever)
    monkeypatch.setattr(page, "gathered", forever)
    default = await client.get("/Patient?_count=1")
    accurate = await client.get("/Patient?_count=1&_total=accurate")
    assert "total" not in default.json()
    assert (accurate.status_code, accurate.json()["issue"][0]["code"]) == (503, "timeout")
