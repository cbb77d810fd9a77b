"""Conditions that meet what others store, delete or ask for."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from fhir_server.interactions import match

FHIR = {"content-type": "application/fhir+json"}


def patient(value: str = "1", **more: Any) -> dict[str, Any]:
    identifier = [{"system": "urn:s", "value": value}]
    return {"resourceType": "Patient", "identifier": identifier, **more}


async def put(client: httpx.AsyncClient, url: str, resource: dict[str, Any]) -> httpx.Response:
    return await client.put(url, content=msgspec.json.encode(resource), headers=FHIR)


async def send(client: httpx.AsyncClient, kind: str, *entries: Any) -> httpx.Response:
    sent = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
    return await client.post("", content=msgspec.json.encode(sent), headers=FHIR)


def asking(method: str, url: str, resource: Any = None, **more: Any) -> dict[str, Any]:
    full = {"fullUrl": more.pop("fullUrl")} if "fullUrl" in more else {}
    body = {} if resource is None else {"resource": resource}
    return {"request": {"method": method, "url": url, **more}, **body, **full}


def refusal(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["issue"][0]["code"]


async def test_update_without_a_match_does_not_overwrite_a_stranger(
    client: httpx.AsyncClient,
) -> None:
    await put(client, "/Patient/victim", patient("mine", id="victim"))
    response = await put(client, "/Patient?identifier=urn:s|none", patient("2", id="victim"))
    assert refusal(response) == (409, "conflict")
    assert (await client.get("/Patient/victim")).json()["identifier"][0]["value"] == "mine"


async def test_two_conditional_updates_with_one_criteria_are_refused(
    client: httpx.AsyncClient,
) -> None:
    one = asking("PUT", "Patient?identifier=urn:s|1", patient())
    assert refusal(await send(client, "transaction", one, one)) == (400, "invalid")


async def test_delete_of_what_a_conditional_create_finds_is_refused(
    client: httpx.AsyncClient,
) -> None:
    await put(client, "/Patient/p", patient(id="p"))
    create = asking("POST", "Patient", patient(), ifNoneExist="identifier=urn:s|1")
    response = await send(client, "transaction", asking("DELETE", "Patient/p"), create)
    assert refusal(response) == (400, "invalid")
    assert (await client.get("/Patient/p")).status_code == 200


async def test_creates_racing_with_deletes_never_answer_with_a_deletion(
    client: httpx.AsyncClient,
) -> None:
    headers = {**FHIR, "if-none-exist": "identifier=urn:s|1"}
    body = msgspec.json.encode(patient())
    for _ in range(10):
        await put(client, "/Patient/p", patient(id="p"))
        created, _ = await asyncio.gather(
            client.post("/Patient", content=body, headers=headers), client.delete("/Patient/p")
        )
        assert created.json()["identifier"] == patient()["identifier"]
        if created.json()["id"] != "p":
            await client.delete(f"/Patient/{created.json()['id']}")


def test_each_alternative_of_a_criteria_has_its_lock() -> None:
    one = match.criteria("Patient", "identifier=urn:s|a").lock_keys()
    two = match.criteria("Patient", "identifier=urn:s|a,urn:s|b").lock_keys()
    escaped = match.criteria("Patient", r"identifier=urn:s|a\,b").lock_keys()
    assert (len(two), len(escaped)) == (2, 1)
    assert set(one) < set(two)


async def test_relative_reference_is_looked_for_beside_its_own_full_url(
    client: httpx.AsyncClient,
) -> None:
    await put(client, "/Patient/5", patient("local", id="5"))
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/5"},
    }
    response = await send(
        client,
        "transaction",
        asking("POST", "Patient", patient("theirs"), fullUrl="http://other/fhir/Patient/5"),
        asking("POST", "Observation", observation, fullUrl="http://other/fhir/Observation/7"),
    )
    places = [e["response"]["location"].split("/fhir/")[1] for e in response.json()["entry"]]
    stored = (await client.get(f"/{places[1]}")).json()
    assert stored["subject"]["reference"] == places[0].split("/_")[0]


async def test_entries_of_a_batch_fail_each_for_itself(client: httpx.AsyncClient) -> None:
    response = await send(
        client,
        "batch",
        asking("POST", "Patient", patient()),
        asking("GET", "//["),
        {"request": 7},
        {},
        asking("POST", "Nothing", {"resourceType": "Nothing"}),
        asking("GET", "Patient?name=%00"),
        asking("POST", "Parameters", {"resourceType": "Parameters"}),
        asking("POST", "Observation", {"resourceType": "Patient"}),
        asking("GET", ""),
    )
    statuses = [e["response"]["status"][:3] for e in response.json()["entry"]]
    assert statuses == ["201", "400", "400", "400", "400", "400", "405", "400", "400"]
    places = {
        e["response"]["outcome"]["issue"][0]["expression"][0].split(".resource")[0]
        for e in response.json()["entry"][2:4]
    }
    assert places == {"Bundle.entry[2].request", "Bundle.entry[3].request"}


async def test_conditional_reference_outside_a_transaction_is_422(
    client: httpx.AsyncClient,
) -> None:
    await put(client, "/Patient/p", patient(id="p"))
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient?identifier=urn:s|1"},
    }
    body = msgspec.json.encode(observation)
    alone = await client.post("/Observation", content=body, headers=FHIR)
    batch = await send(client, "batch", asking("POST", "Observation", observation))
    assert refusal(alone) == (422, "invalid")
    assert batch.json()["entry"][0]["response"]["status"][:3] == "422"


@pytest.mark.parametrize("value", ["", " "])
async def test_empty_condition_is_refused(client: httpx.AsyncClient, value: str) -> None:
    headers = {**FHIR, "if-none-exist": value}
    response = await client.post(
        "/Patient", content=msgspec.json.encode(patient()), headers=headers
    )
    assert refusal(response) == (400, "required")


@pytest.mark.parametrize(
    "url",
    [
        "/Patient?name=%00",
        "/Patient?_id=a%00",
        "/Observation?patient.name=%00",
        "/_history?_cursor=.5",
        "/_history?_cursor=99999999999999999999.1",
    ],
)
async def test_values_that_the_database_cannot_hold_are_400(
    client: httpx.AsyncClient, url: str
) -> None:
    assert refusal(await client.get(url))[0] == 400


async def test_if_none_match_with_the_stored_version_is_412(client: httpx.AsyncClient) -> None:
    await put(client, "/Patient/p", patient(id="p"))
    body = msgspec.json.encode(patient("2", id="p"))
    same = await client.put("/Patient/p", content=body, headers={**FHIR, "if-none-match": 'W/"1"'})
    other = await client.put("/Patient/p", content=body, headers={**FHIR, "if-none-match": 'W/"9"'})
    assert (same.status_code, other.status_code) == (412, 200)


async def test_conditional_update_with_an_impossible_id_is_400(client: httpx.AsyncClient) -> None:
    response = await put(client, "/Patient?identifier=urn:s|1", {**patient(), "id": ["x"]})
    assert response.status_code == 400
