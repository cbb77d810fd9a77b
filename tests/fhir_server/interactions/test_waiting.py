"""Writers that wait for one another, and what each finds when its turn has come."""

import httpx
import msgspec
import pytest

from fhir_server.interactions.entry import Entry
from fhir_server.server import Server

from .asking import FHIR, Json, entry, identified, observation, put, send
from .waiting import ahead, answer_after

JSON_PATCH = {"content-type": "application/json-patch+json"}
CRITERIA = "/Patient?identifier=urn:s|1"
MOVED = Entry("PUT", "Patient/p", identified("moved", id="p"))


def sent(resource: Json) -> bytes:
    return msgspec.json.encode(resource)


async def test_conditional_update_does_not_change_what_has_ceased_to_match(
    server: Server, client: httpx.AsyncClient, database_url: str
) -> None:
    await put(client, identified("1", id="p"))
    request = client.put(CRITERIA, content=sent(identified("1", active=True)), headers=FHIR)
    answer = await answer_after(server, database_url, MOVED, request)
    assert (answer.status_code, answer.json()["id"] != "p") == (201, True)
    assert (await client.get("/Patient/p")).json()["identifier"][0]["value"] == "moved"


async def test_conditional_patch_does_not_change_what_has_ceased_to_match(
    server: Server, client: httpx.AsyncClient, database_url: str
) -> None:
    await put(client, identified("1", id="p"))
    patch = b'[{"op": "add", "path": "/active", "value": true}]'
    request = client.patch(CRITERIA, content=patch, headers=JSON_PATCH)
    assert (await answer_after(server, database_url, MOVED, request)).status_code == 404


@pytest.mark.parametrize("criteria", ["identifier=urn:s|1", "identifier=1&gender:missing=true"])
async def test_conditional_delete_does_not_delete_what_has_ceased_to_match(
    server: Server, client: httpx.AsyncClient, database_url: str, criteria: str
) -> None:
    await put(client, identified("1", id="p"))
    request = client.delete(f"/Patient?{criteria}")
    assert (await answer_after(server, database_url, MOVED, request)).status_code == 204
    assert (await client.get("/Patient/p")).status_code == 200


async def test_conditional_create_does_not_answer_with_what_is_deleted(
    server: Server, client: httpx.AsyncClient, database_url: str
) -> None:
    await put(client, identified("1", id="p"))
    headers = {**FHIR, "if-none-exist": "identifier=urn:s|1"}
    request = client.post("/Patient", content=sent(identified("1")), headers=headers)
    answer = await answer_after(server, database_url, Entry("DELETE", "Patient/p"), request)
    assert (answer.status_code, answer.json()["id"] != "p") == (201, True)


async def test_conditional_create_finds_what_was_made_while_it_waited(
    server: Server, client: httpx.AsyncClient, database_url: str
) -> None:
    first = Entry("POST", "Patient", identified("1"), if_none_exist="identifier=1")
    headers = {**FHIR, "if-none-exist": "identifier=urn:s|1"}
    request = client.post("/Patient", content=sent(identified("1")), headers=headers)
    assert (await answer_after(server, database_url, first, request)).status_code == 200


async def test_conditional_create_does_not_wait_where_its_match_is_being_changed(
    server: Server, client: httpx.AsyncClient
) -> None:
    await put(client, identified("1", id="p"))
    headers = {**FHIR, "if-none-exist": "identifier=urn:s|1"}
    async with ahead(server, Entry("PUT", "Patient/p", identified("1", id="p", active=True))):
        answer = await client.post("/Patient", content=sent(identified("1")), headers=headers)
    assert (answer.status_code, answer.json()["meta"]["versionId"]) == (200, "1")


async def test_deletion_waits_for_who_comes_to_refer(
    server: Server, client: httpx.AsyncClient, database_url: str
) -> None:
    await put(client, identified("1", id="p"))
    first = Entry("POST", "Observation", observation("Patient/p"))
    answer = await answer_after(server, database_url, first, client.delete("/Patient/p"))
    assert answer.status_code == 409


async def test_who_comes_to_refer_waits_for_the_deletion(
    server: Server, client: httpx.AsyncClient, database_url: str
) -> None:
    await put(client, identified("1", id="p"))
    request = client.post("/Observation", content=sent(observation("Patient/p")), headers=FHIR)
    answer = await answer_after(server, database_url, Entry("DELETE", "Patient/p"), request)
    assert answer.status_code == 422


async def test_if_match_is_held_against_what_was_waited_for(
    server: Server, client: httpx.AsyncClient, database_url: str
) -> None:
    await put(client, identified("1", id="p"))
    change = entry("PUT", "Patient/p", identified("2", id="p"), ifMatch='W/"1"')
    request = send(client, "transaction", change)
    assert (await answer_after(server, database_url, MOVED, request)).status_code == 412


async def test_update_as_create_of_what_another_has_just_made_is_its_next_version(
    server: Server, client: httpx.AsyncClient, database_url: str
) -> None:
    first = Entry("PUT", "Patient/p", identified("1", id="p"))
    request = client.put("/Patient/p", content=sent(identified("2", id="p")), headers=FHIR)
    answer = await answer_after(server, database_url, first, request)
    assert (answer.status_code, answer.json()["meta"]["versionId"]) == (200, "2")


async def test_conditional_reference_does_not_lead_to_what_is_being_deleted(
    server: Server, client: httpx.AsyncClient, database_url: str
) -> None:
    await put(client, identified("1", id="p"))
    one = entry("POST", "Observation", observation("Patient?identifier=urn:s|1"))
    request = send(client, "transaction", one)
    answer = await answer_after(server, database_url, Entry("DELETE", "Patient/p"), request)
    assert answer.status_code == 422
