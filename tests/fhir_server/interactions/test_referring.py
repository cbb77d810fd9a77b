from typing import Any

import httpx
import pytest

from fhir_server.caller import trusted
from fhir_server.interactions.referring import count, referring, repointed
from fhir_server.server import Server

pytestmark = pytest.mark.anyio

CALLER = trusted("test", "rest")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Patient/1", "Patient/2"),
        ("http://testserver/fhir/Patient/1", "Patient/2"),
        ("Patient/1#x", "Patient/2#x"),
        ("Patient/1/_history/3", "Patient/1/_history/3"),
        ("Patient/11", "Patient/11"),
        ("Group/1", "Group/1"),
        ("http://other/Patient/1", "http://other/Patient/1"),
        ("#1", "#1"),
    ],
)
async def test_references_to_the_resource_itself_are_changed(
    server: Server, reference: str, expected: str
) -> None:
    data: dict[str, Any] = {
        "resourceType": "Flag",
        "subject": {"reference": reference},
        "contained": [{"resourceType": "Flag", "id": "1", "author": {"reference": reference}}],
        "extension": [{"url": "x", "valueReference": {"reference": reference}}],
    }
    moved = repointed(server, "Flag", data, {"Patient/1": "Patient/2"})
    assert data["subject"]["reference"] == expected
    assert data["contained"][0]["author"]["reference"] == expected
    assert data["extension"][0]["valueReference"]["reference"] == expected
    assert moved == (3 if expected != reference else 0)


async def test_some_places_are_left(server: Server) -> None:
    data: dict[str, Any] = {
        "resourceType": "Patient",
        "link": [{"other": {"reference": "Patient/1"}, "type": "replaces"}],
        "generalPractitioner": [{"reference": "Patient/1"}],
    }
    assert repointed(server, "Patient", data, {"Patient/1": "Patient/2"}, ["Patient.link["]) == 1
    assert data["link"][0]["other"]["reference"] == "Patient/1"


async def test_all_that_refer_are_found_and_no_others(
    server: Server, client: httpx.AsyncClient
) -> None:
    first, second = await _two(client)
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "x"}}
    made = []
    for subject in (first, first, second):
        sent = {**flag, "subject": {"reference": f"Patient/{subject}"}}
        made.append((await client.post("/Flag", json=sent)).json()["id"])
    hidden = {"url": "http://x", "valueReference": {"reference": f"Patient/{first}"}}
    basic = {"resourceType": "Basic", "code": {"text": "x"}, "extension": [hidden]}
    made.append((await client.post("/Basic", json=basic)).json()["id"])
    await client.delete(f"/Flag/{made[0]}")
    target = f"Patient/{first}"
    async with server.database.connection() as connection:
        found = await referring(server, connection, CALLER, target)
        assert [(one.type, one.id) for one in found] == [("Flag", made[1]), ("Basic", made[3])]
        assert await count(server, connection, CALLER, target) == 2
        later = await referring(server, connection, CALLER, target, after=found[0].key, most=1)
        assert [one.id for one in later] == [made[3]]
        assert await count(server, connection, CALLER, target, besides=["Basic"]) == 1
        others = await referring(server, connection, CALLER, target, besides=["Basic"])
        assert [one.id for one in others] == [made[1]]


async def _two(client: httpx.AsyncClient) -> list[str]:
    patient = {"resourceType": "Patient"}
    return [(await client.post("/Patient", json=patient)).json()["id"] for _ in range(2)]
