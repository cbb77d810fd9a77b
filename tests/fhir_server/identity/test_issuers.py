import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from fhir_server.config import Limits, Settings
from fhir_server.errors import Unavailable
from fhir_server.identity import standing
from fhir_server.identity.keys import PAUSE, Keys, Published, usable
from fhir_server.security_settings import Introspection, Issuer, SecuritySettings
from fhir_server.server import Server
from tests.fhir_server.identity.holding import bearer, said
from tests.fhir_server.peer import Peer, peer

FIRST, SECOND = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
METADATA = "/.well-known/openid-configuration"


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[Peer]:
    async with peer(tmp_path) as found:
        url = found.url("")
        ask = {"jwks_uri": f"{url}/keys", "introspection_endpoint": f"{url}/ask"}
        found.says(METADATA, {"issuer": url, **ask})
        found.says("/keys", published(FIRST))
        yield found


@pytest.fixture
async def settings(tmp_path: Path, issuer: Peer) -> Settings:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    asking = Introspection(client_id="sangam", secret_file=str(secret))
    one = Issuer(url=issuer.url(""), clients=("portal",), roles_claim="roles", introspection=asking)
    security = SecuritySettings(issuers=(one,), outbound=issuer.settings, revocation_seconds=1e-9)
    limits = Limits(client_requests=10_000, requests=10_000, writes=10_000)
    return Settings(data_dir=tmp_path / "data", limits=limits, security=security)


def published(*keys: ECKey) -> dict[str, Any]:
    return {"keys": [{**one.as_dict(private=False), "kid": one.thumbprint()} for one in keys]}


def claims(issuer: Peer, **more: Any) -> dict[str, Any]:
    own = {"iss": issuer.url(""), "client_id": "portal", "roles": ["ADMIN"], "sub": "asha"}
    return said(**{**own, **more})


def token(issuer: Peer, key: ECKey = FIRST, **more: Any) -> str:
    return jwt.encode({"alg": "ES256", "kid": key.thumbprint()}, claims(issuer, **more), key)


async def asked(client: httpx.AsyncClient, text: str) -> int:
    return (await client.get("/Patient", headers=bearer(text))).status_code


async def test_a_token_of_a_configured_issuer_is_taken_by_its_keys(
    server: Server, client: httpx.AsyncClient, issuer: Peer
) -> None:
    good = token(issuer)
    statuses = await asyncio.gather(*(asked(client, good) for _ in range(8)))
    assert statuses == [200] * 8
    assert [path for _, path, _, _ in issuer.seen] == [METADATA, "/keys"]
    other = Peer(port=issuer.port)
    bad = {
        "another app": token(issuer, client_id="game"),
        "no roles": token(issuer, roles=None),
        "roles that are no list": token(issuer, roles="ADMIN"),
        "another audience": token(issuer, aud="https://other"),
        "an issuer that looks like it": token(other, iss=f"{issuer.url('')}.example.org"),
        "another key of the same name": jwt.encode(
            {"alg": "ES256", "kid": FIRST.thumbprint()}, claims(issuer), SECOND
        ),
    }
    assert {name: await asked(client, text) for name, text in bad.items()} == dict.fromkeys(
        bad, 401
    )
    assert await asked(client, token(issuer, roles=["WIZARD"], jti="t2")) == 403
    assert await asked(client, token(issuer, roles=[], jti="t3")) == 403
    async with server.database.statement() as connection:
        await standing.revoke(connection, issuer.url(""), "t1")
    assert await asked(client, good) == 401


async def test_metadata_of_another_issuer_give_no_keys(
    server: Server, client: httpx.AsyncClient, issuer: Peer
) -> None:
    issuer.says(METADATA, {"issuer": "https://other", "jwks_uri": issuer.url("/keys")})
    assert await asked(client, token(issuer)) == 503
    assert [path for _, path, _, _ in issuer.seen] == [METADATA]


async def test_an_opaque_token_is_what_its_issuer_says(
    server: Server, client: httpx.AsyncClient, issuer: Peer
) -> None:
    opaque = "opaque-token-of-the-portal"
    issuer.says("/ask", {"active": True, **claims(issuer, iss=None, jti=None)})
    assert (await asked(client, opaque), await asked(client, opaque)) == (200, 200)
    questions = [(headers, body) for _, path, headers, body in issuer.seen if path == "/ask"]
    assert len(questions) == 1
    assert parse_qs(questions[0][1].decode())["token"] == [opaque]
    basic = base64.b64encode(b"sangam:s3cret").decode()
    assert questions[0][0]["authorization"] == f"Basic {basic}"
    issuer.says("/ask", {"active": False})
    assert await asked(client, "another-token") == 401
    issuer.says("/ask", {"active": True, **claims(issuer, fhirUser=None)})
    assert await asked(client, "a-third-token") == 401


async def test_keys_are_fetched_once_for_all_and_rotate() -> None:
    now, fetched, offered = [0.0], [0], [FIRST]

    async def fetch() -> Published:
        fetched[0] += 1
        await asyncio.sleep(0)
        return Published(published(*offered))

    keys = Keys(fetch, clock=lambda: now[0])
    first, second = FIRST.thumbprint(), SECOND.thumbprint()
    await asyncio.gather(*(keys.key(first, "ES256") for _ in range(20)))
    assert fetched == [1]
    # What is not known is asked for once in a while, whoever makes names up.
    for number in range(50):
        assert await keys.key(f"made up {number}", "ES256") is None
    assert fetched == [1]
    offered[:] = [SECOND]
    now[0] += PAUSE
    assert await keys.key(second, "ES256") is not None
    assert await keys.key(first, "ES256") is None
    assert fetched == [2]
    now[0] += 300
    await keys.key(second, "ES256")
    assert fetched == [3]


async def test_keys_of_an_issuer_that_is_away_do_for_a_day_and_no_longer() -> None:
    now, away = [0.0], [False]

    async def fetch() -> Published:
        if away[0]:
            raise Unavailable("away")
        return Published(published(FIRST), 10**9)

    keys = Keys(fetch, clock=lambda: now[0])
    kid = FIRST.thumbprint()
    assert await keys.key(kid, "ES256") is not None
    away[0] = True
    now[0] = 86_399
    assert await keys.key(kid, "ES256") is not None
    now[0] = 86_401
    with pytest.raises(Unavailable):
        await keys.key(kid, "ES256")
    never = Keys(fetch, clock=lambda: now[0])
    with pytest.raises(Unavailable):
        await never.key(kid, "ES256")


def test_keys_that_may_not_verify_are_passed_over() -> None:
    weak = {"kty": "RSA", "n": "x" * 341, "e": "AQAB"}
    listed = [
        {**FIRST.as_dict(private=False), "kid": "a", "use": "enc"},
        {**FIRST.as_dict(private=False)} | {"kid": 7},
        {**OctKey.generate_key(256).as_dict(), "kid": "b"},
        {**weak, "kid": "c"},
        {"kty": "EC", "kid": "d"},
        "no key",
        {**SECOND.as_dict(private=False), "kid": "e"},
    ]
    assert [name for name, _ in usable({"keys": listed})] == [("e", "EC")]


async def test_who_is_blocked_here_is_refused_with_a_token_of_another_issuer(
    issuer: Peer, client: httpx.AsyncClient, server: Server
) -> None:
    text = token(issuer)
    async with server.database.statement() as connection:
        await connection.execute(
            "INSERT INTO identity_user (id, name, display, fhir_user, password)"
            " VALUES ('u1', 'asha', 'Asha', 'Practitioner/p1', 'none')"
        )
        found = [await asked(client, text)]
        await connection.execute("UPDATE identity_user SET active = false")
        found.append(await asked(client, text))
    assert found == [200, 401]
