import asyncio

import httpx
import pytest

from fhir_server.interactions.held import current, named
from fhir_server.server import Server
from tests.fhir_server.interactions.waiting import until_one_waits

pytestmark = pytest.mark.anyio

SYSTEM = "http://example.org/ids"


async def patient(client: httpx.AsyncClient, value: str) -> str:
    identifier = [{"system": SYSTEM, "value": value}]
    body = {"resourceType": "Patient", "identifier": identifier, "multipleBirthInteger": 1}
    return str((await client.post("/Patient", json=body)).json()["id"])


async def test_resources_are_found_by_their_identifiers(
    server: Server, client: httpx.AsyncClient
) -> None:
    first, second = [await patient(client, "A") for _ in range(2)]
    special = await patient(client, "a|b,c$\\")
    gone = await patient(client, "G")
    await client.delete(f"/Patient/{gone}")
    values = ("A", "a|b,c$\\", "G", "X")
    async with server.database.transaction() as connection:
        found = await named(server, connection, [("Patient", SYSTEM, value) for value in values])
    assert found == {
        ("Patient", SYSTEM, "A"): tuple(sorted((first, second))),
        ("Patient", SYSTEM, "a|b,c$\\"): (special,),
    }


async def test_what_is_mostly_new_is_found_where_it_is_not(
    server: Server, client: httpx.AsyncClient
) -> None:
    there = await patient(client, "A")
    async with server.database.transaction() as connection:
        asked = [("Patient", SYSTEM, "A"), ("Encounter", SYSTEM, "A")]
        found = await named(server, connection, asked, ("Patient",))
    assert found == {("Patient", SYSTEM, "A"): (there,)}


async def test_current_versions_are_read(server: Server, client: httpx.AsyncClient) -> None:
    there, gone = [await patient(client, value) for value in "AB"]
    await client.delete(f"/Patient/{gone}")
    async with server.database.transaction() as connection:
        wanted = [f"Patient/{there}", f"Patient/{gone}", "Patient/never"]
        found = await current(server, connection, wanted, wanted)
    assert found.keys() == {f"Patient/{there}"}
    held = found[f"Patient/{there}"]
    assert (held.version, held.resource()["multipleBirthInteger"]) == (1, 1)


@pytest.mark.parametrize("new", [(), ("Patient",)], ids=["usual", "mostly-new"])
async def test_what_was_not_found_is_made_by_nobody_else_meanwhile(
    server: Server, client: httpx.AsyncClient, database_url: str, new: tuple[str, ...]
) -> None:
    body = {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": "N|1"}]}
    condition = {"If-None-Exist": f"identifier={SYSTEM}|N\\|1"}
    async with server.database.transaction() as connection:
        assert await named(server, connection, [("Patient", SYSTEM, "N|1")], new) == {}
        other = asyncio.create_task(client.post("/Patient", json=body, headers=condition))
        await asyncio.to_thread(until_one_waits, database_url)
        assert not other.done()
    assert (await other).status_code == 201


async def test_what_will_be_changed_is_changed_by_nobody_else_meanwhile(
    server: Server, client: httpx.AsyncClient, database_url: str
) -> None:
    id_ = await patient(client, "A")
    url = f"/Patient/{id_}"
    async with server.database.transaction() as connection:
        await current(server, connection, [f"Patient/{id_}"], [f"Patient/{id_}"])
        body = {"resourceType": "Patient", "id": id_, "active": True}
        other = asyncio.create_task(client.put(url, json=body))
        await asyncio.to_thread(until_one_waits, database_url)
        assert not other.done()
    assert (await other).status_code == 200
