"""What is refused outside of the FHIR base is recorded and counted as what is below it."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from fhir_server.api.app import create_app
from fhir_server.caller import Caller
from fhir_server.errors import Throttled
from fhir_server.identity.doors import Door, marked
from fhir_server.identity.rates import Rates
from fhir_server.security_settings import RateSettings, SecuritySettings
from fhir_server.server import Server
from tests.fhir_server.identity.holding import bearer, settled, token


async def _absent(_: Request) -> PlainTextResponse:
    return PlainTextResponse("there is no such study", 404)


def _http(server: Server, **security: object) -> httpx.AsyncClient:
    found = SecuritySettings.model_validate({"revocation_seconds": 1e-9, **security})
    settings = server.settings.model_copy(update={"security": found, "demo": False})
    beside = marked([Route("/studies/{id}", _absent)], Door(""))
    app = create_app(replace(server, settings=settings), (), beside)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://testserver")


@pytest.fixture
async def door(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    await settled(server, ("DOCTOR",))
    async with _http(server) as client:
        yield client


async def test_each_refusal_of_a_door_is_on_record(server: Server, door: httpx.AsyncClient) -> None:
    good = bearer(await token(server))
    asked = [
        ("/metrics", {"X-Request-Id": "a"}, 401),
        ("/metrics", {**good, "X-Request-Id": "b"}, 403),
        ("/studies/1.2?PatientID=7", {**good, "X-Request-Id": "c"}, 404),
        ("/health/live", {"X-Request-Id": "d"}, 200),
    ]
    for path, headers, status in asked:
        assert (await door.get(path, headers=headers)).status_code == status
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT said FROM audit_record ORDER BY position")
        said = [json.loads(row[0]) for row in await cursor.fetchall()]
    assert [(one["request"], one["who"]["name"], one["outcome"], one["query"]) for one in said] == [
        ("a", "unknown", 4, "metrics"),
        ("b", "user/u1", 4, "metrics"),
        ("c", "user/u1", 4, "studies/1.2?PatientID=7"),
    ]


async def test_an_address_that_tries_tokens_at_any_door_has_to_wait(server: Server) -> None:
    await settled(server)
    async with _http(server, rates={"failed": 2}) as client:
        html = {**bearer("x"), "Accept": "text/html"}
        found = [(await client.get("/docs", headers=html)).status_code for _ in range(3)]
        assert found == [401, 401, 429]
    async with _http(server, rates={"failed": 2}) as client:
        ended = {"Cookie": "sangam=none"}
        found = [(await client.get("/studies/1.2", headers=ended)).status_code for _ in range(3)]
        assert found == [401, 401, 401]
    for path in ("/studies/1.2", "/fhir/Patient"):
        async with _http(server, rates={"failed": 2}) as client:
            found = [(await client.get(path)).status_code for _ in range(3)]
            assert found == [401, 401, 429], path


def test_who_comes_by_a_session_alone_is_counted_by_the_minute_too() -> None:
    now = [0.0]
    rates = Rates(RateSettings(user=2), lambda: now[0])
    visitor = Caller("user/u1", "rest", user="Practitioner/p1")
    for minute in range(3):
        now[0] = minute * 60.0
        rates.known(visitor)
        rates.known(visitor)
    with pytest.raises(Throttled):
        rates.known(visitor)
