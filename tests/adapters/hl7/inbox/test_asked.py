"""Orders that are found by the numbers of their specimens, however many there are."""

import dataclasses
from typing import Any

import pytest
from httpx import AsyncClient

from adapters.hl7.inbox import asked
from adapters.hl7.laboratory import specimen_orders
from fhir_server.r4 import json
from fhir_server.server import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ordered(client: AsyncClient) -> None:
    """Three orders for the specimen S-1 and one for S-2, of a patient each."""
    entries = [
        entry
        for number, specimen in enumerate(("S-1", "S-1", "S-1", "S-2"))
        for entry in (
            put({"resourceType": "Patient", "id": f"p{number}"}),
            put(
                {
                    "resourceType": "Specimen",
                    "id": f"s{number}",
                    "identifier": [{"system": "http://lis.example", "value": specimen}],
                }
            ),
            put(
                {
                    "resourceType": "ServiceRequest",
                    "id": f"r{number}",
                    "status": "active",
                    "intent": "order",
                    "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7"}]},
                    "subject": {"reference": f"Patient/p{number}"},
                    "specimen": [{"reference": f"Specimen/s{number}"}],
                }
            ),
        )
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answer = await client.post(
        "/", content=json.encode(bundle), headers={"Content-Type": "application/fhir+json"}
    )
    assert answer.status_code == 200, answer.text


def put(resource: dict[str, Any]) -> dict[str, Any]:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url}}


async def whose(server: Server) -> dict[str, set[str]]:
    found = await asked.orders(server, ["S-1", "S-2", "S-3"], None)
    return {number: {one.patient for one in orders} for number, orders in found.items()}


ALL = {"S-1": {"Patient/p0", "Patient/p1", "Patient/p2"}, "S-2": {"Patient/p3"}}


@pytest.mark.parametrize(("page", "specimens"), [(200, 100), (1, 100), (2, 1)])
async def test_orders_of_all_pages_are_found(
    ordered: None, server: Server, monkeypatch: pytest.MonkeyPatch, page: int, specimens: int
) -> None:
    monkeypatch.setattr(specimen_orders, "MOST", page)
    monkeypatch.setattr(specimen_orders, "_SPECIMENS_AT_ONCE", specimens)
    assert await whose(server) == ALL


async def test_patients_and_specimens_that_do_not_fit_on_a_page_are_read(
    ordered: None, server: Server
) -> None:
    small = server.settings.search.model_copy(update={"max_includes": 3})
    settings = server.settings.model_copy(update={"search": small})
    assert await whose(dataclasses.replace(server, settings=settings)) == ALL
