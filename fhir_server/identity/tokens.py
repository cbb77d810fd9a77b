"""The tokens of a grant: access token, id_token, refresh token, launch context.

https://hl7.org/fhir/smart-app-launch/app-launch.html#response-5
https://openid.net/specs/openid-connect-core-1_0.html#IDToken
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.database import Connection
from fhir_server.identity import grants, signing
from fhir_server.identity.grants import Grant
from fhir_server.identity.users import User
from fhir_server.server import Server

ACCESS: Final = "at+jwt"
"""The `typ` of access tokens (RFC 9068), so that no id_token is taken for one."""

CONTEXT: Final = (
    "patient",
    "encounter",
    "fhirContext",
    "need_patient_banner",
    "intent",
)
"""What of a grant's context an app is told (SMART, launch context arrives with your token)."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What the tokens are to be: `scope` of the access token, `lasting` of the refresh token.

    `nonce` is that of the request for a code, None at a refresh.
    """

    scope: str
    lasting: str
    nonce: str | None = None


async def of_user(
    server: Server, connection: Connection, grant: Grant, user: User, asking: Asking
) -> dict[str, Any]:
    """Return the token response for an app that acts for a user, with a refresh token if granted.

    A refresh token keeps the scope of the one before (RFC 6749, 6), whatever was asked for now.
    """
    scope, lasting = asking.scope, asking.lasting.split()
    settings = server.settings.security.identity
    life = settings.access_token_seconds
    answer = await _access(server, connection, grant, scope, life, _of_person(grant, user))
    answer |= {name: grant.context[name] for name in CONTEXT if name in grant.context}
    answer["tenant"] = server.tenant
    answer["smart_style_url"] = f"{server.root}/auth/style.json"
    if "openid" in scope.split():
        answer["id_token"] = await _id_token(server, grant, user, asking)
    if {"offline_access", "online_access"} & set(lasting):
        offline = "offline_access" in lasting
        seconds = settings.refresh_token_seconds if offline else settings.session_seconds
        token = await grants.add_refresh(connection, grant, asking.lasting, seconds)
        answer["refresh_token"] = token
    return answer


async def of_service(
    server: Server, connection: Connection, grant: Grant, scope: str
) -> dict[str, Any]:
    """Return the token response for a backend service."""
    life = server.settings.security.identity.system_token_seconds
    return await _access(server, connection, grant, scope, life, {"sub": grant.client_id})


async def _access(
    server: Server,
    connection: Connection,
    grant: Grant,
    scope: str,
    life: int,
    whose: Mapping[str, Any],
) -> dict[str, Any]:
    now = int(time.time())
    jti = server.new_id()
    claims = {
        "iss": server.base,
        "aud": server.base,
        "iat": now,
        "nbf": now,
        "exp": now + life,
        "jti": jti,
        "client_id": grant.client_id,
        "scope": scope,
        "tenant": server.tenant,
        **whose,
    }
    await grants.add_issued(connection, grant, jti, life)
    return {
        "access_token": await signing.sign(server, claims, ACCESS),
        "token_type": "Bearer",
        "expires_in": life,
        "scope": scope,
    }


def _of_person(grant: Grant, user: User) -> dict[str, Any]:
    given = {
        "sub": user.id,
        "fhirUser": user.fhir_user,
        "patient": grant.context.get("patient"),
        "encounter": grant.context.get("encounter"),
        "sid": grant.session_id,
        "auth_time": int(grant.authenticated_at.timestamp()),
    }
    return {name: value for name, value in given.items() if value is not None}


async def _id_token(server: Server, grant: Grant, user: User, asking: Asking) -> str:
    asked = asking.scope.split()
    now = int(time.time())
    claims = {
        "iss": server.base,
        "sub": user.id,
        "aud": grant.client_id,
        "iat": now,
        "exp": now + server.settings.security.identity.access_token_seconds,
        "auth_time": int(grant.authenticated_at.timestamp()),
    }
    if asking.nonce is not None:
        claims["nonce"] = asking.nonce
    if "fhirUser" in asked and user.fhir_user:
        claims["fhirUser"] = f"{server.base}/{user.fhir_user}"
        claims["profile"] = claims["fhirUser"]
    if "profile" in asked:
        claims["name"] = user.display
    return await signing.sign(server, claims, "JWT")
