"""How clients prove who they are, and what backend services get."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from fhir_server.config import Settings
from fhir_server.identity import client_keys, clients, issuers, opaque
from fhir_server.identity.client_authentication import ASSERTION
from fhir_server.identity.clients import Client
from fhir_server.identity.keys import PAUSE, Published
from fhir_server.interactions import capabilities
from fhir_server.server import Server
from tests.fhir_server.identity.app import (
    APP,
    AUTH,
    BASE,
    REDIRECT,
    Person,
    cheap,
    code_of,
    redeeming,
    settle,
    signing_key,
)

pytestmark = pytest.mark.anyio

TOKEN = f"{AUTH}/token"
EC, RSA = ECKey.generate_key("P-384"), signing_key()
SYSTEM = Client(
    "lab",
    "Laboratory",
    "private_key_jwt",
    keys={
        "keys": [
            {**EC.as_dict(private=False), "kid": "ec"},
            {**RSA.as_dict(private=False), "kid": "rsa"},
            {"kty": "oct", "kid": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"},
        ]
    },
    grants=("client_credentials",),
    scope="system/Observation.rs system/Patient.rs",
)
OTHER = Client(
    "ehr",
    "EHR",
    "client_secret_basic",
    secret=opaque.hashed("s3cret:%"),
    redirects=(REDIRECT,),
    grants=("authorization_code", "launch", "introspection"),
    scope="user/*.cruds openid",
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return cheap(settings)


@pytest.fixture
async def http(server: Server, client: httpx.AsyncClient) -> httpx.AsyncClient:
    await settle(server)
    async with server.database.statement() as connection:
        await clients.add(connection, SYSTEM, "test")
        await clients.add(connection, OTHER, "test")
    return client


def assertion(
    change: dict[str, Any] | None = None,
    header: dict[str, Any] | None = None,
    key: Any = EC,
    alg: str = "ES384",
) -> str:
    now = int(time.time())
    claims = {"iss": "lab", "sub": "lab", "aud": TOKEN, "exp": now + 300, "jti": opaque.new()}
    claims |= change or {}
    kept = {name: one for name, one in claims.items() if one is not None}
    kid = {"kid": "rsa" if alg.startswith("RS") else "ec"}
    return jwt.encode({"alg": alg, **kid, **(header or {})}, kept, key, algorithms=[alg])


def asking(text: str, scope: str = "system/Observation.rs", **more: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION,
        "client_assertion": text,
        "scope": scope,
        **more,
    }


async def test_a_backend_service_gets_a_token_that_is_good_for_its_scopes(
    http: httpx.AsyncClient,
) -> None:
    for text in (assertion(), assertion(key=RSA, alg="RS384")):
        answer = await http.post(TOKEN, data=asking(text))
        found = answer.json()
        assert sorted(found) == ["access_token", "expires_in", "scope", "token_type"]
        assert (found["expires_in"], found["scope"]) == (300, "system/Observation.rs")
        bearer = {"Authorization": f"Bearer {found['access_token']}"}
        seen = [
            (await http.get(f"{BASE}/{one}", headers=bearer)).status_code
            for one in ("Observation", "Patient")
        ]
        assert seen == [200, 403]


async def test_an_assertion_that_is_not_right_is_refused(http: httpx.AsyncClient) -> None:
    now = time.time()
    used = assertion()
    assert (await http.post(TOKEN, data=asking(used))).status_code == 200
    wrong = [
        used,
        assertion({"aud": f"{AUTH}/introspect"}),
        assertion({"aud": [TOKEN, "https://elsewhere.example.org"]}),
        assertion({"exp": now + 3600}),
        assertion({"exp": now - 120}),
        assertion({"exp": None}),
        assertion({"nbf": now + 600}),
        assertion({"jti": None}),
        assertion({"iss": "ehr"}),
        assertion({"sub": "ehr"}),
        assertion(header={"jku": "https://elsewhere.example.org/keys"}),
        assertion(header={"kid": "unknown"}),
        assertion(key=ECKey.generate_key("P-384")),
        assertion(key=RSA, alg="RS256"),
        "no.assertion",
    ]
    answers = [await http.post(TOKEN, data=asking(one)) for one in wrong]
    assert [(one.status_code, one.json()["error"]) for one in answers] == [
        (401, "invalid_client")
    ] * len(wrong)


async def test_the_keys_at_the_url_of_a_client_are_fetched_once_and_again_after_a_rotation(
    http: httpx.AsyncClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    shown = {"keys": [{**EC.as_dict(private=False), "kid": "ec"}]}

    async def keys_at(_: object, url: str) -> Published:
        asked.append(url)
        return Published(shown)

    monkeypatch.setattr(issuers, "keys_at", keys_at)
    async with server.database.statement() as connection:
        fetched = replace(SYSTEM, id="far", keys=None, keys_url="https://far.example/keys")
        await clients.add(connection, fetched, "test")
    own = {"iss": "far", "sub": "far"}
    found = [
        (await http.post(TOKEN, data=asking(one))).status_code
        for one in (
            assertion(own),
            assertion(own),
            # Whoever knows the id of a client has its URL asked no more than once in a while.
            assertion(own, {"kid": "new"}),
            assertion(own, {"kid": "other"}),
        )
    ]
    assert (found, asked) == ([200, 200, 401, 401], ["https://far.example/keys"])
    shown["keys"].append({**EC.as_dict(private=False), "kid": "new"})
    kept = client_keys._kept[server.database]["https://far.example/keys"]  # noqa: SLF001
    kept.tried -= PAUSE
    late = await http.post(TOKEN, data=asking(assertion(own, {"kid": "new"})))
    assert (late.status_code, len(asked)) == (200, 2)


async def test_an_assertion_counts_once_for_all_that_come_at_a_time(
    http: httpx.AsyncClient,
) -> None:
    text = assertion()
    answers = await asyncio.gather(*(http.post(TOKEN, data=asking(text)) for _ in range(4)))
    assert sorted(one.status_code for one in answers) == [200, 401, 401, 401]


async def test_a_service_gets_only_what_it_is_registered_for(http: httpx.AsyncClient) -> None:
    forms = (
        asking(assertion(), "system/Observation.cruds"),
        asking(assertion(), "user/Observation.rs"),
        asking(assertion(), ""),
        asking(assertion(), grant_type="password"),
        asking(assertion(), grant_type="authorization_code", code="x"),
        {"grant_type": "client_credentials", "client_id": "app", "scope": "system/Patient.rs"},
        {"grant_type": "client_credentials", "client_id": "lab", "scope": "system/Patient.rs"},
    )
    found = [(await http.post(TOKEN, data=form)).json()["error"] for form in forms]
    assert found == [
        "invalid_scope",
        "invalid_scope",
        "invalid_scope",
        "unsupported_grant_type",
        "unauthorized_client",
        "unauthorized_client",
        "invalid_client",
    ]


async def test_tokens_are_told_of_and_revoked(http: httpx.AsyncClient) -> None:
    person = Person(http)
    await person.log_in()
    code = await code_of(person, scope="openid fhirUser offline_access user/Patient.rs")
    given = (await http.post(TOKEN, data=redeeming(code))).json()
    basic = httpx.BasicAuth("ehr", "s3cret%3A%25")

    async def told(token: str) -> dict[str, Any]:
        answer = await http.post(f"{AUTH}/introspect", data={"token": token}, auth=basic)
        return dict(answer.json())

    about = await told(given["access_token"])
    wanted = ("active", "scope", "client_id", "sub", "fhirUser", "iss")
    assert [about[name] for name in wanted] == [
        True,
        "openid fhirUser offline_access user/Patient.rs",
        "app",
        "u1",
        "Practitioner/p1",
        BASE,
    ]
    assert (await told(given["refresh_token"]))["active"] is True
    assert await told("nothing") == {"active": False}
    assert await told(given["id_token"]) == {"active": False}

    for auth, status in ((httpx.BasicAuth("ehr", "wrong"), 401), (None, 401)):
        answer = await http.post(f"{AUTH}/introspect", data={"token": "x"}, auth=auth)
        assert answer.status_code == status

    revoke = {"token": given["access_token"]}
    foreign = await http.post(f"{AUTH}/revoke", data=revoke, auth=basic)
    still = await told(given["access_token"])
    assert (foreign.status_code, still["active"]) == (200, True)
    await http.post(f"{AUTH}/revoke", data={**revoke, "client_id": "app"})
    assert await told(given["access_token"]) == {"active": False}
    assert (await told(given["refresh_token"]))["active"] is True
    again = {"token": given["refresh_token"], "client_id": "app"}
    assert (await http.post(f"{AUTH}/revoke", data=again)).status_code == 200
    assert await told(given["refresh_token"]) == {"active": False}


async def test_an_ehr_gets_a_launch_handle_and_others_none(http: httpx.AsyncClient) -> None:
    basic = httpx.BasicAuth("ehr", "s3cret%3A%25")
    url = f"{AUTH}/launch"
    answer = await http.post(url, json={"patient": "p1", "client_id": "app"}, auth=basic)
    assert (answer.status_code, answer.json()["expires_in"]) == (201, 300)
    wrong = [
        {"patient": "../p1"},
        {"encounter": "e1"},
        {"patient": "p1", "fhirContext": [{"reference": "Nothing/1"}]},
        {"patient": "p1", "user": "nobody"},
        [],
    ]
    found = [(await http.post(url, json=one, auth=basic)).status_code for one in wrong]
    assert found == [400] * 5
    assert (await http.post(url, json={"patient": "p1"})).status_code == 401


async def test_only_scripts_of_registered_origins_may_read_the_answer(
    http: httpx.AsyncClient, server: Server
) -> None:
    async with server.database.statement() as connection:
        own = replace(APP, id="web", origins=("https://web.example.org",))
        await clients.add(connection, own, "test")
    found = {}
    for origin in ("https://web.example.org", "https://elsewhere.example.org"):
        answer = await http.post(TOKEN, data={}, headers={"Origin": origin})
        found[origin] = answer.headers.get("access-control-allow-origin")
    assert found == {
        "https://web.example.org": "https://web.example.org",
        "https://elsewhere.example.org": None,
    }


async def test_an_operator_registers_a_client_and_nobody_else(
    http: httpx.AsyncClient, server: Server
) -> None:
    url = f"{AUTH}/register"
    metadata = {
        "client_name": "Chart",
        "redirect_uris": ["https://chart.example.org/back"],
        "scope": "openid user/Patient.rs",
    }
    made = (await http.post(url, json=metadata)).json()
    assert (made["client_name"], made["token_endpoint_auth_method"]) == (
        "Chart",
        "client_secret_basic",
    )
    auth = httpx.BasicAuth(made["client_id"], made["client_secret"])
    form = {"grant_type": "authorization_code", "code": "x"}
    assert (await http.post(TOKEN, data=form, auth=auth)).json()["error"] == "invalid_grant"
    wrong = [
        {**metadata, "redirect_uris": ["http://chart.example.org/back"]},
        {**metadata, "redirect_uris": ["https://chart.example.org/back#x"]},
        {**metadata, "redirect_uris": []},
        {**metadata, "grant_types": ["password"]},
        {**metadata, "scope": ""},
        {**metadata, "token_endpoint_auth_method": "private_key_jwt"},
        {**metadata, "token_endpoint_auth_method": "none", "grant_types": ["client_credentials"]},
    ]
    errors = [(await http.post(url, json=one)).json()["error"] for one in wrong]
    assert errors == ["invalid_client_metadata"] * len(wrong)
    service = (await http.post(TOKEN, data=asking(assertion()))).json()["access_token"]
    for token, status in ((service, 403), ("none", 401)):
        bearer = {"Authorization": f"Bearer {token}"}
        assert (await http.post(url, json=metadata, headers=bearer)).status_code == status
    async with server.database.connection() as connection:
        names = [one.name for one in await clients.listed(connection)]
    assert names == ["Chart", "EHR", "Growth chart", "Laboratory"]


async def test_the_capability_statement_tells_where_apps_get_tokens(
    http: httpx.AsyncClient, server: Server
) -> None:
    security = capabilities._security(server)  # noqa: SLF001  (the whole takes a second)
    uris = {one["url"]: one["valueUri"] for one in security["extension"][0]["extension"]}
    told = (await http.get(f"{BASE}/.well-known/smart-configuration")).json()
    assert uris == {
        name: told[f"{member}_endpoint"]
        for name, member in {
            "authorize": "authorization",
            "token": "token",
            "register": "registration",
            "manage": "management",
            "introspect": "introspection",
            "revoke": "revocation",
        }.items()
    }
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
