"""Operators without clinical rights see that messages came, and not what they say."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from adapters.hl7.operators.api import routes
from fhir_server.access import glass, openers
from fhir_server.api.app import create_app
from fhir_server.server import Server
from tests.adapters.hl7.inbox.joining import A, B, done, found, result
from tests.fhir_server.identity.holding import bearer, settled, token

pytestmark = pytest.mark.anyio
CONTENT = ("raw", "parsed", "ack", "explain", "explain?values=true", "mapped")
OPERATIONS = ("/messages", "/messages/1", "/sources", "/dead-letters", "/unmapped", "/codes")
BOTH = "user/*.rs sangam/hl7"


@pytest.fixture
async def web(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """An inbox of a result of A, one of B, and one that was refused, where the ADMIN is none."""
    security = server.settings.security
    roles = security.roles.model_copy(update={"admin_clinical": False})
    settings = server.settings.model_copy(
        update={"security": security.model_copy(update={"roles": roles})}
    )
    server = replace(server, settings=settings)
    await settled(server)
    left = await done(server, result(A, "F1", "4.75"), result(B, "F2"), result(B, "F1"))
    assert left == [("dead", "PATIENT_CONFLICT")]
    transport = httpx.ASGITransport(app=create_app(server, (), routes(server)))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver/hl7") as http:
        yield http


async def opened(server: Server, client: httpx.AsyncClient) -> None:
    """Let p1 have broken the glass for the patient of the first message."""
    [patient] = [one["id"] for one in await found(client, "Patient?identifier=A")]
    asked = glass.Asked(
        1, "Practitioner/p1", patient, "ETREAT", "?", None, None, timedelta(hours=1), None
    )
    async with server.database.transaction() as connection:
        await glass.open_record(connection, asked)
    openers.forget(server)


async def statuses(web: httpx.AsyncClient, by: dict[str, str], paths: list[str]) -> set[int]:
    return {(await web.get(path, headers=by)).status_code for path in paths}


def contents(message: int) -> list[str]:
    return [f"/messages/{message}/{view}" for view in CONTENT]


async def test_without_clinical_rights_messages_are_counted_and_not_read(
    web: httpx.AsyncClient, server: Server
) -> None:
    by = bearer(await token(server, scope=BOTH))
    assert await statuses(web, by, list(OPERATIONS)) == {200}
    assert await statuses(web, by, [*contents(1), *contents(3)]) == {403}
    assert await statuses(web, by, contents(99)) == {404}
    # Nor is it told whether a patient had any, or what a replay would change.
    assert await statuses(web, by, ["/messages?patient=A"]) == {403}
    asked = {"ids": [1], "preview": True}
    assert (await web.post("/replay", json=asked, headers=by)).status_code == 403


async def test_a_broken_glass_shows_the_messages_of_its_patient_alone(
    web: httpx.AsyncClient, server: Server, client: httpx.AsyncClient
) -> None:
    await opened(server, client)
    by = bearer(await token(server, scope=BOTH))
    assert await statuses(web, by, contents(1)) == {200}
    assert await statuses(web, by, [*contents(2), *contents(3)]) == {403}
    [last, *_] = await found(client, "AuditEvent?_sort=-date&_count=1")
    assert last["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ("user/*.rs sangam/hl7", 200),
        ("sangam/hl7", 403),
        ("user/Patient.rs sangam/hl7", 403),
    ],
)
async def test_messages_are_read_by_who_reads_records(
    web: httpx.AsyncClient, server: Server, scope: str, status: int
) -> None:
    whole = httpx.ASGITransport(app=create_app(server, (), routes(server)))
    by = bearer(await token(server, scope=scope))
    async with httpx.AsyncClient(transport=whole, base_url=str(web.base_url)) as http:
        assert await statuses(http, by, [*contents(1), *contents(3)]) == {status}


async def test_a_preview_names_its_patient_and_withholds_what_is_labelled(
    web: httpx.AsyncClient, server: Server, client: httpx.AsyncClient
) -> None:
    whole = httpx.ASGITransport(app=create_app(server, (), routes(server)))
    by, asked = bearer(await token(server, scope=BOTH)), {"ids": [1], "preview": True}
    [patient] = await found(client, "Patient?identifier=A")
    async with httpx.AsyncClient(transport=whole, base_url=str(web.base_url)) as http:
        assert (await http.post("/replay", json=asked, headers=by)).status_code == 200
        [last, *_] = await found(client, "AuditEvent?_sort=-date&_count=1")
        assert f"Patient/{patient['id']}" in str(last["entity"])
        label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}
        patient["meta"] = {"security": [label]}
        (await client.put(f"Patient/{patient['id']}", json=patient)).raise_for_status()
        assert (await http.post("/replay", json=asked, headers=by)).status_code == 403
