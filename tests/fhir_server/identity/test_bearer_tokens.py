import base64
import hmac
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.config import Limits, Settings
from fhir_server.errors import Unauthenticated
from fhir_server.identity import claims, clients, grants, users
from fhir_server.identity.claims import Expected
from fhir_server.security_settings import RateSettings, SecuritySettings
from fhir_server.server import Server
from tests.fhir_server.identity.app import BASE, signing_key
from tests.fhir_server.identity.holding import bearer, said, settled, signed, token

NOW = said()["iat"]
# At that moment, however long after it a test runs.
THEN = {"iat": NOW, "nbf": NOW, "exp": NOW + 300}
EXPECTED = Expected(BASE, BASE, BASE, "default")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    limits = Limits(client_requests=10_000, requests=10_000, writes=10_000)
    # Each request looks whether a token was revoked, so that no test has to wait.
    security = SecuritySettings(revocation_seconds=1e-9, rates=RateSettings(failed=0))
    return Settings(data_dir=tmp_path / "data", limits=limits, security=security)


@pytest.mark.parametrize(
    "change",
    [
        *(
            pytest.param({name: None}, id=f"no {name}")
            for name in ("iss", "aud", "exp", "iat", "jti", "client_id", "scope", "tenant", "sub")
        ),
        pytest.param({"fhirUser": None}, id="a user scope without fhirUser"),
        pytest.param({"scope": "patient/*.rs"}, id="a patient scope without patient"),
        pytest.param({"iss": "https://other.example.org"}, id="another issuer"),
        pytest.param({"iss": f"{BASE}/"}, id="an issuer that looks like ours"),
        pytest.param({"aud": "http://other/fhir"}, id="another audience"),
        pytest.param({"aud": f"{BASE}.example.org"}, id="an audience that begins as ours"),
        pytest.param({"tenant": "other"}, id="another tenant"),
        pytest.param({"exp": NOW - 61}, id="expired"),
        pytest.param({"nbf": NOW + 300}, id="not yet"),
        pytest.param({"iat": NOW + 300}, id="issued in the future"),
        pytest.param({"exp": "soon"}, id="an end that is no time"),
        pytest.param({"exp": True}, id="an end that is a boolean"),
        pytest.param({"azp": "other"}, id="two clients"),
        pytest.param({"patient": ["a", "b"]}, id="two patients"),
        pytest.param({"fhirUser": "https://other/fhir/Practitioner/p1"}, id="foreign user"),
        pytest.param({"scope": 7}, id="a scope that is none"),
        pytest.param({"iat": NOW - 367 * 86_400}, id="issued more than a year ago"),
    ],
)
def test_claims_that_are_not_as_they_must_be_make_no_token(change: dict[str, Any]) -> None:
    payload = json.dumps(said(**(THEN | change))).encode()
    with pytest.raises(Unauthenticated):
        claims.read(payload, EXPECTED, NOW)


@pytest.mark.parametrize("name", ["aud", "scope", "patient", "fhirUser"])
def test_a_claim_that_is_there_twice_makes_no_token(name: str) -> None:
    whole = said(**THEN, patient="p9")
    text = json.dumps(whole)[:-1] + f', "{name}": {json.dumps(whole[name])}}}'
    with pytest.raises(Unauthenticated):
        claims.read(text.encode(), EXPECTED, NOW)


def test_claims_are_read_within_the_leeway() -> None:
    late = {"iat": NOW, "exp": NOW - 59, "nbf": NOW + 59}
    payload = json.dumps(said(**late, patient="Patient/p9")).encode()
    found = claims.read(payload, EXPECTED, NOW)
    assert (found.subject, found.client, found.user) == ("u1", "app", "Practitioner/p1")
    assert found.patient == "p9"


def _part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _unsigned() -> str:
    head = {"alg": "none", "kid": signing_key().thumbprint(), "typ": "at+jwt"}
    return f"{_part(head)}.{_part(said())}."


def _with_public_key() -> str:
    """A token signed by HMAC with the public key as its secret."""
    head = {"alg": "HS256", "kid": signing_key().thumbprint(), "typ": "at+jwt"}
    text = f"{_part(head)}.{_part(said())}"
    secret = signing_key().as_pem(private=False)
    return f"{text}.{_part(hmac.digest(secret, text.encode(), 'sha256'))}"


async def test_tokens_are_refused_whose_signature_or_kind_is_not_ours(
    server: Server, client: httpx.AsyncClient
) -> None:
    await settled(server)
    good = await token(server)
    assert (await client.get("/Patient", headers=bearer(good))).status_code == 200
    head, payload, signature = good.split(".")
    own = signing_key().as_dict(private=False)
    bad = {
        "none": _unsigned(),
        "HMAC with the public key": _with_public_key(),
        "another algorithm of the key": signed(said(), alg="RS512"),
        "an id_token": signed(said(), typ="JWT"),
        "no kid": signed(said(), kid=""),
        "an unknown kid": signed(said(), kid="other"),
        "changed claims": f"{head}.{payload[:-4]}AAAA.{signature}",
        "no signature": f"{head}.{payload}.",
        "its own key": signed(said(), kid="other", jwk=own),
        "critical headers": signed(said(), crit=["b64"], b64=True),
        "too long": signed(said(more="x" * 16_384)),
        "opaque": "x" * 40,
        "nothing": "",
        "a second value": f"{good}, Bearer {good}",
        "never issued": signed(said(jti="t9")),
        "of another user": await token(server, jti="t2", sub="u2"),
        "of the app, as a user": await token(server, jti="t3", grant="g2"),
    }
    found = {}
    for name, text in bad.items():
        answer = await client.get("/Patient", headers={"Authorization": f"Bearer {text}"})
        found[name] = (answer.status_code, answer.headers.get("www-authenticate", "")[:6])
    assert found == dict.fromkeys(bad, (401, "Bearer"))


async def test_nobody_is_answered_but_what_everyone_may_know(
    server: Server, client: httpx.AsyncClient
) -> None:
    root = BASE.removesuffix("/fhir")
    open_ = ("/metadata", "/.well-known/smart-configuration")
    shut = ("/Patient", "/Patient/a", "/_history", "/$reindex", "/Patient/$validate")
    found = {path: (await client.get(path)).status_code for path in (*open_, *shut)}
    assert found == dict.fromkeys(open_, 200) | dict.fromkeys(shut, 401)
    for path in ("/health/live", "/health/ready"):
        assert (await client.get(f"{root}{path}")).status_code == 200
    for path in ("/metrics", "/openapi.json", "/docs", "/"):
        assert (await client.get(f"{root}{path}")).status_code == 401
    basic = {"Authorization": "Basic YWRtaW46YWRtaW4="}
    assert (await client.get("/Patient", headers=basic)).status_code == 401
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": []}
    assert (await client.post("/", json=bundle)).status_code == 401


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda c: grants.revoke_issued(c, "t1"), id="the token is revoked"),
        pytest.param(lambda c: grants.end(c, "id", "g1", "test"), id="the grant ends"),
        pytest.param(lambda c: clients.set_active(c, "app", active=False), id="the app goes"),
        pytest.param(lambda c: users.set_active(c, "u1", active=False), id="the user goes"),
        pytest.param(
            lambda c: users.set_fhir_user(c, "u1", "Practitioner/p2"), id="another person"
        ),
    ],
)
async def test_what_is_remembered_of_a_token_ends_with_it(
    server: Server, client: httpx.AsyncClient, end: Any
) -> None:
    await settled(server)
    headers = bearer(await token(server))
    assert (await client.get("/Patient", headers=headers)).status_code == 200
    assert (await client.get("/Patient", headers=headers)).status_code == 200
    async with server.database.statement() as connection:
        await end(connection)
    assert (await client.get("/Patient", headers=headers)).status_code == 401


async def test_a_token_gives_no_more_than_its_scopes_and_no_more_than_its_users_roles(
    server: Server, client: httpx.AsyncClient
) -> None:
    await settled(server, roles=("RECEPTIONIST",))
    stored = {"resourceType": "Patient", "name": [{"family": "Rao"}]}
    narrow = bearer(await token(server, scope="user/Patient.rs"))
    wide = bearer(await token(server, jti="t2"))
    assert (await client.post("/Patient", json=stored, headers=narrow)).status_code == 403
    made = await client.post("/Patient", json=stored, headers=wide)
    assert made.status_code == 201
    place = f"/Patient/{made.json()['id']}"
    assert (await client.get(place, headers=narrow)).status_code == 200
    # The scopes let it search, the role does not.
    assert (await client.get("/Observation", headers=wide)).status_code == 403
    none = bearer(await token(server, jti="t3", scope="user/Observation.rs"))
    assert (await client.get(place, headers=none)).status_code == 403
