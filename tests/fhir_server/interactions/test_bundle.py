"""Batch and transaction over HTTP."""

from typing import Any

import httpx
import msgspec
import pytest

from fhir_server.caller import trusted
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server

FHIR = {"content-type": "application/fhir+json"}
URN = "urn:uuid:0b7c9f2e-6a3e-4c58-9a55-2f9b1c0d1e2f"
MRN = [{"system": "urn:mrn", "value": "1"}]


def bundle(kind: str, *entries: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"resourceType": "Bundle", "type": kind, "entry": list(entries)})


def entry(
    method: str, url: str, resource: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    full_url = more.pop("fullUrl", None)
    made: dict[str, Any] = {"request": {"method": method, "url": url, **more}}
    if resource is not None:
        made["resource"] = resource
    if full_url:
        made["fullUrl"] = full_url
    return made


def patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **more}


def observation(subject: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": subject},
        **more,
    }


async def send(client: httpx.AsyncClient, content: bytes) -> httpx.Response:
    return await client.post("", content=content, headers=FHIR)


def statuses(response: httpx.Response) -> list[str]:
    return [e["response"]["status"] for e in response.json()["entry"]]


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    issue = response.json()["issue"][0]
    return response.status_code, issue["code"], issue.get("expression", [""])[0]


async def count(client: httpx.AsyncClient, type_name: str) -> int:
    total: int = (await client.get(f"/{type_name}?_summary=count&_total=accurate")).json()["total"]
    return total


async def test_transaction_rewrites_references_by_element_type(client: httpx.AsyncClient) -> None:
    note = {"div": f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{URN}">p</a></div>'}
    sent = observation(
        URN,
        text={"status": "generated", **note},
        identifier=[{"system": "urn:s", "value": URN}],
        extension=[{"url": "http://x.org/e", "valueUri": URN}],
        valueString=URN,
    )
    response = await send(
        client,
        bundle(
            "transaction",
            entry("POST", "Observation", sent),
            entry("POST", "Patient", patient(), fullUrl=URN),
        ),
    )
    assert statuses(response) == ["201 Created", "201 Created"]
    places = [
        e["response"]["location"].split("/fhir/")[1].split("/_")[0]
        for e in response.json()["entry"]
    ]
    stored = (await client.get(f"/{places[0]}")).json()
    assert stored["subject"]["reference"] == places[1]
    assert stored["extension"][0]["valueUri"] == places[1]
    assert f'href="{places[1]}"' in stored["text"]["div"]
    assert (stored["valueString"], stored["identifier"][0]["value"]) == (URN, URN)


async def test_transaction_keeps_decimals_of_rewritten_resources(client: httpx.AsyncClient) -> None:
    raw = bundle(
        "transaction",
        entry("POST", "Patient", patient(), fullUrl=URN),
        entry("POST", "Observation", observation(URN, valueQuantity={"value": 7777})),
    ).replace(b"7777", b"0.0000000100")
    response = await send(client, raw)
    location = response.json()["entry"][1]["response"]["location"].split("/fhir")[1]
    assert b'"value":0.0000000100}' in (await client.get(location)).content


async def test_transaction_fails_as_a_whole_and_names_the_entry(client: httpx.AsyncClient) -> None:
    bad = observation("Patient/nobody")
    response = await send(
        client,
        bundle(
            "transaction", entry("POST", "Patient", patient()), entry("POST", "Observation", bad)
        ),
    )
    assert refusal(response) == (422, "not-found", "Bundle.entry[1].resource.subject.reference")
    assert await count(client, "Patient") == 0


async def test_invalid_resource_is_placed_in_its_entry(client: httpx.AsyncClient) -> None:
    response = await send(
        client, bundle("transaction", entry("POST", "Patient", patient(gender="none")))
    )
    assert refusal(response) == (422, "code-invalid", "Bundle.entry[0].resource.gender")


async def test_order_of_entries_does_not_matter(client: httpx.AsyncClient) -> None:
    await client.put("/Patient/p", content=msgspec.json.encode(patient(id="p")), headers=FHIR)
    sent = observation("Patient/p", id="o")
    await client.put("/Observation/o", content=msgspec.json.encode(sent), headers=FHIR)
    response = await send(
        client,
        bundle(
            "transaction",
            entry("GET", "Patient/q"),
            entry("PUT", "Patient/q", patient(id="q", active=True)),
            entry("DELETE", "Patient/p"),
            entry("DELETE", "Observation/o"),
        ),
    )
    assert statuses(response) == ["200 OK", "201 Created", "204 No Content", "204 No Content"]
    assert response.json()["entry"][0]["resource"]["active"] is True


async def test_conditional_reference_finds_a_stored_resource(client: httpx.AsyncClient) -> None:
    await client.put(
        "/Patient/p", content=msgspec.json.encode(patient(id="p", identifier=MRN)), headers=FHIR
    )
    sent = observation("Patient?identifier=urn:mrn|1")
    response = await send(client, bundle("transaction", entry("POST", "Observation", sent)))
    location = response.json()["entry"][0]["response"]["location"].split("/fhir")[1]
    assert (await client.get(location)).json()["subject"] == {"reference": "Patient/p"}


async def test_conditional_reference_finds_a_resource_of_the_same_bundle(
    client: httpx.AsyncClient,
) -> None:
    response = await send(
        client,
        bundle(
            "transaction",
            entry("POST", "Observation", observation("Patient?identifier=urn:mrn|1")),
            entry("PUT", "Patient/p", patient(id="p", identifier=MRN)),
        ),
    )
    location = response.json()["entry"][0]["response"]["location"].split("/fhir")[1]
    assert (await client.get(location)).json()["subject"] == {"reference": "Patient/p"}


@pytest.mark.parametrize(("stored", "code"), [(0, "not-found"), (2, "multiple-matches")])
async def test_conditional_reference_needs_exactly_one_match(
    client: httpx.AsyncClient, stored: int, code: str
) -> None:
    for _ in range(stored):
        await client.post(
            "/Patient", content=msgspec.json.encode(patient(identifier=MRN)), headers=FHIR
        )
    sent = observation("Patient?identifier=urn:mrn|1")
    response = await send(client, bundle("transaction", entry("POST", "Observation", sent)))
    assert refusal(response) == (412, code, "Bundle.entry[0].resource.subject.reference")


async def test_equal_conditional_creates_make_one_resource(client: httpx.AsyncClient) -> None:
    one = entry("POST", "Patient", patient(identifier=MRN), ifNoneExist="identifier=urn:mrn|1")
    response = await send(client, bundle("transaction", one, one))
    locations = [e["response"]["location"] for e in response.json()["entry"]]
    assert (statuses(response), len(set(locations))) == (["201 Created", "200 OK"], 1)
    assert await count(client, "Patient") == 1


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([entry("PUT", "Patient/p", patient(id="p")), entry("DELETE", "Patient/p")], "invalid"),
        (
            [
                entry("POST", "Patient", patient(), fullUrl=URN),
                entry("POST", "Patient", patient(), fullUrl=URN),
            ],
            "invalid",
        ),
        ([entry("POST", "Observation", observation(URN))], "value"),
        ([entry("POST", "Patient/p", patient())], "value"),
        ([entry("PUT", "Patient", patient())], "required"),
        ([entry("POST", "http://elsewhere.org/Patient", patient())], "value"),
        ([entry("POST", "Patient")], "required"),
        ([entry("MERGE", "Patient", patient())], "invalid"),
        ([{"resource": patient()}], "required"),
    ],
)
async def test_malformed_transactions_are_400(
    client: httpx.AsyncClient, entries: list[dict[str, Any]], code: str
) -> None:
    response = await send(client, bundle("transaction", *entries))
    assert refusal(response)[:2] == (400, code)
    assert await count(client, "Patient") == 0


async def test_batch_entries_stand_alone(client: httpx.AsyncClient) -> None:
    response = await send(
        client,
        bundle(
            "batch",
            entry("POST", "Patient", patient()),
            entry("POST", "Patient", patient(gender="none")),
            entry("GET", "Patient/nobody"),
            entry("POST", "Patient", patient(active=True)),
        ),
    )
    assert [s[:3] for s in statuses(response)] == ["201", "422", "404", "201"]
    issue = response.json()["entry"][1]["response"]["outcome"]["issue"][0]
    assert issue["expression"] == ["Bundle.entry[1].resource.gender"]
    assert await count(client, "Patient") == 2


@pytest.mark.parametrize("kind", ["searchset", "document", ""])
async def test_other_bundles_are_not_requests(client: httpx.AsyncClient, kind: str) -> None:
    assert refusal(await send(client, bundle(kind)))[:2] == (400, "value")


async def test_empty_transaction_is_answered(client: httpx.AsyncClient) -> None:
    response = await send(client, bundle("transaction"))
    assert response.json() == {"resourceType": "Bundle", "type": "transaction-response"}


async def test_entries_are_left_as_given_so_that_they_can_be_tried_again(server: Server) -> None:
    entries = [
        Entry("POST", "Patient", patient(), full_url=URN),
        Entry("POST", "Observation", observation(URN)),
    ]
    caller = trusted("test", "rest")
    for _ in range(2):
        async with server.database.transaction() as connection:
            outcomes = await transaction(server, connection, caller, entries)
        subject = msgspec.json.decode(outcomes[1].body or b"")["subject"]["reference"]
        assert subject == f"Patient/{outcomes[0].id}"


async def test_update_that_refers_to_what_the_bundle_deletes_is_refused(
    client: httpx.AsyncClient,
) -> None:
    await client.put("/Patient/p", content=msgspec.json.encode(patient(id="p")), headers=FHIR)
    sent = observation("Patient/p", id="o")
    await client.put("/Observation/o", content=msgspec.json.encode(sent), headers=FHIR)
    changed = entry("PUT", "Observation/o", {**sent, "status": "amended"})
    response = await send(client, bundle("transaction", entry("DELETE", "Patient/p"), changed))
    assert refusal(response) == (422, "not-found", "Bundle.entry[1].resource.subject.reference")
    assert (await client.get("/Patient/p")).status_code == 200
