"""Identifiers that one resource has alone: the setting `write.business_keys`."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from fhir_server.api.app import create_app
from fhir_server.config import Settings, WriteSettings
from fhir_server.interactions import auditing
from fhir_server.interactions.entry import Entry
from fhir_server.main import wiring
from fhir_server.rights import Grant, Matching
from fhir_server.server import Server
from tests.fhir_server.access.restricted import Asking, asking

from .asking import (
    FHIR,
    Json,
    count,
    entry,
    identified,
    observation,
    patient,
    put,
    refusal,
    send,
    statuses,
)
from .waiting import answer_after

__all__ = ["asking"]
BASE = "http://testserver/fhir"
DUPLICATE = (409, "duplicate", "Patient.identifier[0]")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write = WriteSettings(business_keys={"Patient": ("urn:s", "urn:t")})
    return Settings(demo=True, data_dir=tmp_path / "data", write=write)


async def post(client: httpx.AsyncClient, resource: Json, **headers: str) -> httpx.Response:
    url = f"/{resource['resourceType']}"
    body = msgspec.json.encode(resource)
    return await client.post(url, content=body, headers={**FHIR, **headers})


async def test_second_create_is_409_duplicate(client: httpx.AsyncClient) -> None:
    assert (await post(client, identified("1"))).status_code == 201
    assert refusal(await post(client, identified("1"))) == DUPLICATE
    assert await count(client, "Patient") == 1


@pytest.mark.parametrize(
    "other",
    [
        identified("2"),
        patient(identifier=[{"system": "urn:u", "value": "1"}]),
        patient(identifier=[{"value": "1"}]),
        patient(identifier=[{"system": "urn:t", "value": "1"}]),
        observation("Patient/p", identifier=[{"system": "urn:s", "value": "1"}]),
        patient(),
    ],
    ids=["value", "system", "no system", "other system", "type", "none"],
)
async def test_other_identifiers_are_free(client: httpx.AsyncClient, other: Json) -> None:
    await put(client, identified("1", id="p"))
    assert [(await post(client, other)).status_code for _ in range(1)] == [201]


async def test_identifier_of_another_system_may_repeat(client: httpx.AsyncClient) -> None:
    free = patient(identifier=[{"system": "urn:u", "value": "1"}])
    assert [(await post(client, free)).status_code for _ in range(2)] == [201, 201]


async def test_key_stays_with_its_resource_through_updates(client: httpx.AsyncClient) -> None:
    await put(client, identified("1", id="p"))
    await put(client, identified("1", id="p", active=True))
    assert refusal(await post(client, identified("1"))) == DUPLICATE


@pytest.mark.parametrize("how", ["update", "delete", "patch"])
async def test_key_is_free_once_its_resource_has_it_no_longer(
    client: httpx.AsyncClient, how: str
) -> None:
    await put(client, identified("1", id="p"))
    if how == "update":
        await put(client, identified("2", id="p"))
    elif how == "delete":
        await client.delete("/Patient/p")
    else:
        body = b'[{"op":"replace","path":"/identifier/0/value","value":"2"}]'
        patching = {"content-type": "application/json-patch+json"}
        await client.patch("/Patient/p", content=body, headers=patching)
    assert (await post(client, identified("1"))).status_code == 201


async def test_update_to_what_another_has_is_409(client: httpx.AsyncClient) -> None:
    await put(client, identified("1", id="p"))
    await put(client, identified("2", id="q"))
    body = msgspec.json.encode(identified("1", id="q"))
    assert refusal(await client.put("/Patient/q", content=body, headers=FHIR)) == DUPLICATE
    assert (await client.get("/Patient/q")).json()["meta"]["versionId"] == "1"


async def test_revival_needs_its_key_anew(client: httpx.AsyncClient) -> None:
    await put(client, identified("1", id="p"))
    await client.delete("/Patient/p")
    await put(client, identified("1", id="q"))
    body = msgspec.json.encode(identified("1", id="p"))
    assert refusal(await client.put("/Patient/p", content=body, headers=FHIR)) == DUPLICATE


async def test_duplicates_in_one_bundle_are_409(client: httpx.AsyncClient) -> None:
    two = patient(identifier=[{"system": "urn:t", "value": "9"}, *identified("1")["identifier"]])
    response = await send(
        client,
        "transaction",
        entry("POST", "Patient", identified("1")),
        entry("POST", "Patient", two),
    )
    assert refusal(response)[:2] == (409, "duplicate")
    named = [issue["expression"][0] for issue in response.json()["issue"]]
    assert sorted(named) == [
        "Bundle.entry[0].resource.identifier[0]",
        "Bundle.entry[1].resource.identifier[1]",
    ]
    assert await count(client, "Patient") == 0


async def test_key_moves_from_one_resource_to_another_in_one_bundle(
    client: httpx.AsyncClient,
) -> None:
    await put(client, identified("1", id="p"))
    await put(client, identified("2", id="q"))
    response = await send(
        client,
        "transaction",
        entry("PUT", "Patient/q", identified("1", id="q")),
        entry("PUT", "Patient/p", identified("2", id="p")),
    )
    assert statuses(response) == ["200", "200"]
    for value in ("1", "2"):
        assert refusal(await post(client, identified(value))) == DUPLICATE


async def test_conditional_create_that_met_a_plain_one_finds_it(
    server: Server, client: httpx.AsyncClient, database_url: str
) -> None:
    first = Entry("POST", "Patient", identified("1"))
    request = post(client, identified("1"), **{"if-none-exist": "identifier=urn:s|1"})
    assert (await answer_after(server, database_url, first, request)).status_code == 200


async def test_plain_create_that_met_another_is_409(
    server: Server, client: httpx.AsyncClient, database_url: str
) -> None:
    first = Entry("POST", "Patient", identified("1"))
    request = post(client, identified("1"))
    assert refusal(await answer_after(server, database_url, first, request)) == DUPLICATE


async def test_conditional_create_that_found_another_way_is_409_in_the_end(
    client: httpx.AsyncClient,
) -> None:
    await put(client, identified("1", id="p"))
    answer = await post(client, identified("1"), **{"if-none-exist": "family=nobody"})
    assert refusal(answer) == DUPLICATE


async def test_conditional_create_finds_what_raced_it(client: httpx.AsyncClient) -> None:
    """Of plain and conditional creates that race one is let in, and all conditions find it."""
    wanted = {"if-none-exist": "identifier=urn:s|1"}
    answers = await asyncio.gather(
        *(post(client, identified("1"), **(wanted if n % 2 else {})) for n in range(16))
    )
    plain = sorted(one.status_code for one in answers[0::2])
    conditional = sorted(one.status_code for one in answers[1::2])
    assert plain.count(201) + conditional.count(201) == 1
    assert (set(plain) - {201, 409}, set(conditional) - {201, 200}) == (set(), set())
    assert await count(client, "Patient") == 1


class TestFromBefore:
    """Resources stored while the setting was off."""

    @pytest.fixture
    async def before(self, database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
        plain = Settings(demo=True, data_dir=tmp_path / "data")
        async with (
            wiring.running(plain, database_url, BASE) as built,
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=create_app(built)), base_url=BASE
            ) as http,
        ):
            yield http

    async def test_keys_stored_before_count(
        self, before: httpx.AsyncClient, client: httpx.AsyncClient
    ) -> None:
        await put(before, identified("1", id="p"))
        assert refusal(await post(client, identified("1"))) == DUPLICATE
        await put(client, identified("1", id="p", active=True))
        assert refusal(await post(client, identified("1"))) == DUPLICATE

    async def test_key_given_up_while_off_is_free(
        self, before: httpx.AsyncClient, client: httpx.AsyncClient
    ) -> None:
        await put(client, identified("1", id="p"))
        await put(before, identified("2", id="p"))
        assert (await post(client, identified("1"))).status_code == 201
        assert refusal(await post(client, identified("1"))) == DUPLICATE


async def test_other_types_take_no_further_statement(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("fhir_server.store.transact.claim", lambda *_: asked.append(1))
    await put(client, {"resourceType": "Basic", "id": "b", "code": {"text": "x"}})
    assert (asked, server.settings.write.business_keys.keys()) == ([], {"Patient"})


async def test_who_does_not_see_the_holder_is_answered_as_who_does_and_it_is_recorded(
    client: httpx.AsyncClient, server: Server, asking: Asking
) -> None:
    await put(client, identified("1", id="hidden", gender="male"))
    await put(client, identified("2", id="shown", gender="female"))
    limit = (Matching((("gender", "female"),)),)
    asking.be((Grant("Patient", "c"), Grant("Patient", "rs", limit)))
    answers = [await post(client, identified(value)) for value in ("1", "2")]
    assert [refusal(one) for one in answers] == [DUPLICATE, DUPLICATE]
    assert answers[0].content == answers[1].content
    asking.be_all()
    await auditing.step(server)
    found = (await client.get("AuditEvent?action=C&outcome=4")).json()["entry"]
    assert [one["resource"]["outcome"] for one in found] == ["4", "4"]
