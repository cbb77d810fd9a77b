"""Holders of access tokens: users, apps and services with tokens of our own issuer."""

import time
from typing import Any

from joserfc import jwt

from fhir_server.identity import clients, signing, users
from fhir_server.identity.clients import Client
from fhir_server.server import Server
from tests.fhir_server.identity.app import BASE, signing_key

APP = Client(
    "app",
    "An app",
    "none",
    redirects=("https://app.example.org/back",),
    origins=("https://app.example.org",),
    scope="user/*.cruds",
)


async def settled(server: Server, roles: tuple[str, ...] = ("ADMIN",)) -> None:
    """Store a signing key, a user, an app, and what the user lets the app do."""
    draft = users.Draft("asha", "Asha", "Practitioner/p1", roles, "no password")
    async with server.database.transaction() as connection:
        await signing._add(server, connection, signing_key(), 0)  # noqa: SLF001
        await users.add(connection, "u1", draft)
        await clients.add(connection, APP, "test")
        await connection.execute(
            "INSERT INTO identity_grant (id, client_id, user_id, scope, authenticated_at)"
            " VALUES ('g1', 'app', 'u1', '', now()), ('g2', 'app', NULL, '', now())"
        )


def said(**more: Any) -> dict[str, Any]:
    """The claims of a good token of the user; None takes one away."""
    now = int(time.time())
    whole = {
        "iss": BASE,
        "aud": BASE,
        "iat": now,
        "nbf": now,
        "exp": now + 300,
        "jti": "t1",
        "client_id": "app",
        "scope": "user/*.cruds",
        "tenant": "default",
        "sub": "u1",
        "fhirUser": "Practitioner/p1",
        **more,
    }
    return {name: value for name, value in whole.items() if value is not None}


async def token(server: Server, *, grant: str = "g1", **more: Any) -> str:
    """A signed token with these claims, noted as issued."""
    claims = said(**more)
    async with server.database.statement() as connection:
        await connection.execute(
            "INSERT INTO identity_issued (jti, grant_id, expires_at)"
            " VALUES (%s, %s, now() + interval '1 hour') ON CONFLICT DO NOTHING",
            (claims.get("jti", "none"), grant),
        )
    return signed(claims)


def signed(claims: dict[str, Any], **header: Any) -> str:
    key = signing_key()
    head = {"alg": "RS256", "kid": key.thumbprint(), "typ": "at+jwt", **header}
    return jwt.encode(head, claims, key, algorithms=[head["alg"]])


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}
