"""Introspection and revocation of the tokens that were issued here.

https://www.rfc-editor.org/rfc/rfc7662
https://www.rfc-editor.org/rfc/rfc7009
"""

from collections.abc import Mapping
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fhir_server.database import Connection
from fhir_server.identity import grants, signing, tokens, users
from fhir_server.identity.clients import Client
from fhir_server.identity.grants import Grant
from fhir_server.server import Server

_INACTIVE: Final = {"active": False}
_LONGEST: Final = 16_384


async def introspected(server: Server, client: Client, token: str) -> dict[str, Any]:
    """Return what a token is good for; `active` is false for all that this client may not know.

    A client is told of its own tokens, one with the grant `introspection` of all.
    """
    claims = await claims_of(server, token)
    async with server.database.connection() as connection:
        if claims is not None:
            grant = await grants.of_issued(connection, str(claims["jti"]))
            told = {name: claims[name] for name in ("exp", "iat", "jti") if name in claims}
            scope = str(claims["scope"])
        else:
            found = await grants.of_refresh(connection, token)
            scope, grant, end = found or ("", None, None)
            told = {"exp": int(end.timestamp())} if end else {}
        if grant is None or (grant.client_id != client.id and "introspection" not in client.grants):
            return dict(_INACTIVE)
        person = await _person(server, connection, grant)
    if person is None:
        return dict(_INACTIVE)
    context = {name: grant.context[name] for name in tokens.CONTEXT if name in grant.context}
    return {
        "active": True,
        "scope": scope,
        "client_id": grant.client_id,
        "token_type": "Bearer",
        "iss": server.base,
        "aud": server.base,
        **told,
        **person,
        **context,
    }


async def revoke(server: Server, client: Client, token: str) -> None:
    """Revoke a token of this client; a refresh token takes its family with it.

    What is no token of the client is nobody's business of who asks: nothing happens.
    """
    claims = await claims_of(server, token)
    async with server.database.statement() as connection:
        if claims is not None:
            grant = await grants.of_issued(connection, str(claims["jti"]))
            if grant is not None and grant.client_id == client.id:
                await grants.revoke_issued(connection, str(claims["jti"]))
            return
        found = await grants.of_refresh(connection, token)
        if found is not None and found[1].client_id == client.id:
            await grants.end(connection, "id", found[1].id, "revoked by the app")


async def claims_of(server: Server, token: str) -> Mapping[str, Any] | None:
    """Return the claims of an access token that we have signed, None for anything else."""
    if len(token) > _LONGEST or token.count(".") != 2:  # noqa: PLR2004  (parts of a JWS)
        return None
    keys = KeySet.import_key_set(await signing.published(server))  # type: ignore[arg-type]
    try:
        found = jwt.decode(token, keys, algorithms=[signing.ALGORITHM])
    except (JoseError, ValueError):
        return None
    return found.claims if found.header.get("typ") == tokens.ACCESS else None


async def _person(server: Server, connection: Connection, grant: Grant) -> dict[str, Any] | None:
    """Return who stands behind a grant; None when that one may no longer log in."""
    if grant.user_id is None:
        return {"sub": grant.client_id}
    user = await users.by_id(connection, grant.user_id)
    if user is None or not user.active or (user.demo and not server.settings.demo):
        return None
    said = {"sub": user.id, "fhirUser": user.fhir_user}
    return {name: value for name, value in said.items() if value}
