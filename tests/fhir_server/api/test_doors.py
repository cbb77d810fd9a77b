from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from adapters.dicom.operators.api import routes as dicom_operators
from adapters.dicom.viewer.page import routes as viewer
from adapters.dicom.web.routes import routes as dicomweb
from adapters.hl7.operators.api import routes as hl7_operators
from fhir_server.api.app import create_app
from fhir_server.api.peers import behind_proxies
from fhir_server.config import Limits, Settings
from fhir_server.identity import opaque
from fhir_server.security_settings import HttpTls, RateSettings, SecuritySettings
from fhir_server.server import Server
from tests.fhir_server.identity.holding import bearer, settled, token

ROOT = "http://testserver"
BROWSER = {"Accept": "text/html"}
DOORS = ("/hl7/overview", "/dicom/overview", "/dicom-web/studies", "/viewer", "/metrics", "/docs")


async def _undeclared(_: Request) -> PlainTextResponse:
    return PlainTextResponse("secret")


def http(server: Server, address: str = "192.0.2.7") -> httpx.AsyncClient:
    more = [Mount("/forgotten", routes=[Route("/here", _undeclared)])]
    parts = (hl7_operators, dicom_operators, dicomweb, viewer)
    beside = [one for part in parts for one in part(server)]
    app = behind_proxies(create_app(server, (), [*beside, *more]), server.settings)
    transport = httpx.ASGITransport(app=app, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url=ROOT)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    security = SecuritySettings(
        revocation_seconds=1e-9,
        trusted_proxies=("192.0.2.0/24",),
        metrics_from=("198.51.100.9/32",),
        origins=("https://viewer.example.org",),
    )
    return Settings(data_dir=tmp_path / "data", limits=Limits(), security=security)


@pytest.fixture
async def door(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    await settled(server)
    async with http(server) as client:
        yield client


async def test_no_door_lets_nobody_in(door: httpx.AsyncClient) -> None:
    found = {path: (await door.get(path)).status_code for path in (*DOORS, "/forgotten/here")}
    assert found == dict.fromkeys(found, 401)
    led = await door.get("/viewer?study=1.2", headers=BROWSER)
    login = f"{ROOT}/auth/login?next=http%3A%2F%2Ftestserver%2Fviewer%3Fstudy%3D1.2"
    assert (led.status_code, led.headers["location"]) == (303, login)


async def test_operators_come_in_by_scope_and_role(server: Server, door: httpx.AsyncClient) -> None:
    plain = bearer(await token(server))
    wide = "user/*.cruds sangam/hl7 sangam/dicom sangam/metrics"
    operator = bearer(await token(server, jti="t2", scope=wide))
    system = bearer(
        await token(server, jti="t3", grant="g2", sub="app", fhirUser=None, scope="system/*.rs")
    )
    paths = ("/hl7/overview", "/dicom/overview", "/metrics", "/forgotten/here")
    for headers in (plain, system):
        found = {path: (await door.get(path, headers=headers)).status_code for path in paths}
        assert found == dict.fromkeys(paths, 403)
    found = {path: (await door.get(path, headers=operator)).status_code for path in paths}
    assert found == {**dict.fromkeys(paths, 200), "/hl7/overview": 404, "/forgotten/here": 403}
    async with server.database.statement() as connection:
        await connection.execute("UPDATE identity_user SET roles = '{DOCTOR}'")
    assert (await door.get("/metrics", headers=operator)).status_code == 403


async def test_a_browser_comes_in_by_its_session_and_no_further_than_its_role(
    server: Server, door: httpx.AsyncClient
) -> None:
    secret = opaque.new()
    async with server.database.statement() as connection:
        await connection.execute(
            "INSERT INTO identity_session (id, secret, user_id, methods)"
            " VALUES ('s1', %s, 'u1', '{pwd,otp}')",
            (opaque.hashed(secret),),
        )
    cookie = {"Cookie": f"sangam={secret}"}
    for path in ("/dicom/overview", "/viewer", "/docs", "/dicom-web/studies"):
        assert (await door.get(path, headers=cookie)).status_code == 200, path
    foreign = {**cookie, "Origin": "https://elsewhere.example"}
    assert (await door.post("/hl7/replay", headers=foreign, json={})).status_code == 403
    # A cookie opens no FHIR: scripts of pages that this server shows have no way there.
    assert (await door.get("/fhir/Patient", headers=cookie)).status_code == 401
    async with server.database.statement() as connection:
        await connection.execute("UPDATE identity_user SET roles = '{DOCTOR}'")
    assert (await door.get("/dicom/overview", headers=cookie)).status_code == 403
    async with server.database.statement() as connection:
        await connection.execute("UPDATE identity_session SET ended_at = now()")
    assert (await door.get("/viewer", headers=cookie)).status_code == 401


async def test_only_a_trusted_proxy_says_who_asks(server: Server) -> None:
    await settled(server)
    said = {"X-Forwarded-For": "203.0.113.5, 198.51.100.9, 192.0.2.99"}
    async with http(server) as proxy:
        assert (await proxy.get("/metrics", headers=said)).status_code == 200
        # As a socket of IPv6 that takes IPv4 too tells of the two.
        mapped = {"X-Forwarded-For": "203.0.113.5, ::ffff:198.51.100.9, ::ffff:192.0.2.99"}
        assert (await proxy.get("/metrics", headers=mapped)).status_code == 200
        spoofed = {"X-Forwarded-For": "198.51.100.9, 203.0.113.5"}
        assert (await proxy.get("/metrics", headers=spoofed)).status_code == 401
    # Whoever comes without the proxy came without TLS.
    async with http(server, "198.51.100.9") as plain:
        assert (await plain.get("/metrics", headers=said)).status_code == 403
        assert (await plain.get("/health/live")).status_code == 200
    alone = SecuritySettings(tls=HttpTls(certificate="c", key="k"), metrics_from=("203.0.113.5",))
    secured = replace(server, settings=server.settings.model_copy(update={"security": alone}))
    async with http(secured, "198.51.100.9") as other:
        told = {"X-Forwarded-For": "203.0.113.5"}
        assert (await other.get("/metrics", headers=told)).status_code == 401


async def test_links_do_not_follow_what_a_request_says_of_its_host(
    server: Server, door: httpx.AsyncClient
) -> None:
    said = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil"}
    headers = {**bearer(await token(server)), **said}
    patient = {"resourceType": "Patient"}
    made = await door.post(
        "/fhir/Organization", headers=headers, json={"resourceType": "Organization", "name": "Ward"}
    )
    bundle = await door.get("/fhir/Organization?_count=1", headers=headers)
    known = await door.get("/fhir/.well-known/smart-configuration", headers=said)
    login = await door.get("/viewer", headers={**said, **BROWSER})
    slash = await door.get("/hl7", headers=headers)
    answers = (made, bundle, known, login, slash)
    assert (made.status_code, slash.status_code, patient["resourceType"]) == (201, 307, "Patient")
    assert made.headers["location"].startswith(f"{ROOT}/fhir/Organization/")
    assert slash.headers["location"] == "/hl7/"
    assert not [one for one in answers if "evil" in f"{one.headers}{one.text}"]


async def test_scripts_of_registered_origins_alone_may_call(
    server: Server, door: httpx.AsyncClient
) -> None:
    good = bearer(await token(server))
    wanted = {
        "https://app.example.org": (204, 200, True),
        "https://viewer.example.org": (204, 200, True),
        "https://app.example.org.evil.example": (403, 403, False),
        "http://app.example.org": (403, 403, False),
        "null": (403, 403, False),
    }
    found = {}
    for origin in wanted:
        asking = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        before = await door.options("/fhir/Patient", headers=asking)
        answer = await door.get("/fhir/Patient", headers={**good, "Origin": origin})
        told = {one.headers.get("access-control-allow-origin") for one in (before, answer)}
        assert told <= {origin, None}
        found[origin] = (before.status_code, answer.status_code, told == {origin})
        assert "access-control-allow-credentials" not in answer.headers
    assert found == wanted
    public = await door.get("/fhir/metadata", headers={"Origin": "https://evil.example"})
    assert public.headers["access-control-allow-origin"] == "*"


async def test_who_asks_too_often_waits(server: Server) -> None:
    rates = RateSettings(failed=2, user=3, login=2)
    limits = SecuritySettings(rates=rates, revocation_seconds=1e-9)
    limited = replace(server, settings=server.settings.model_copy(update={"security": limits}))
    await settled(limited)
    good = bearer(await token(limited))
    async with http(limited, "127.0.0.1") as client:
        asked = [(await client.get("/fhir/Patient", headers=good)) for _ in range(4)]
        assert [one.status_code for one in asked] == [200, 200, 200, 429]
        assert 1 <= int(asked[-1].headers["retry-after"]) <= 60
        bad = [(await client.get("/fhir/Patient", headers=bearer("x"))) for _ in range(3)]
        assert [one.status_code for one in bad] == [401, 401, 429]
        knocks = [(await client.get("/auth/jwks")) for _ in range(3)]
        assert [one.status_code for one in knocks] == [200, 200, 429]
    async with http(limited, "127.0.0.2") as other:
        assert (await other.get("/fhir/Patient", headers=bearer("x"))).status_code == 401
        # Pages ask who is logged in; that keeps nobody from the login.
        told = [(await other.get("/auth/me")) for _ in range(3)]
        assert [(one.status_code, one.json()) for one in told] == [(200, {})] * 3
        assert (await other.get("/auth/login")).status_code == 200


async def test_pages_and_answers_have_the_headers_that_keep_browsers_safe(
    server: Server, door: httpx.AsyncClient
) -> None:
    secure = replace(server, base="https://fhir.example.org/fhir")
    async with http(secure, "127.0.0.1") as client:
        for path in ("/fhir/metadata", "/health/live", "/viewer", "/fhir/Patient"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff", path
            assert headers["strict-transport-security"] == "max-age=31536000", path
    page = (await door.get("/docs", headers=bearer(await token(server)))).headers
    assert page["referrer-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in page["content-security-policy"]
    assert "script-src 'self' 'sha256-" in page["content-security-policy"]


async def test_the_demo_is_open_to_this_machine_and_not_to_pages_of_others(
    server: Server,
) -> None:
    demo = replace(server, settings=server.settings.model_copy(update={"demo": True}))
    asked = {
        "nothing said": ({}, 200),
        "its own page": ({"Origin": ROOT}, 200),
        "an app on the machine": ({"Origin": "http://localhost:3000"}, 200),
        "another site": ({"Origin": "https://evil.example"}, 401),
        "a name that leads here": ({"Host": "evil.example"}, 401),
        "its page": ({"Host": "evil.example", "Origin": "http://evil.example"}, 401),
        "a token that is none": (bearer("x"), 401),
    }
    async with http(demo, "127.0.0.1") as client:
        found = {
            name: (await client.get("/fhir/Patient", headers=headers))
            for name, (headers, _) in asked.items()
        }
    assert {name: one.status_code for name, one in found.items()} == {
        name: status for name, (_, status) in asked.items()
    }
    assert {one.headers["x-sangam-mode"] for one in found.values()} == {"demo"}
