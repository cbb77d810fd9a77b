"""The token endpoint: codes, refresh tokens and client credentials against tokens.

https://www.rfc-editor.org/rfc/rfc6749#section-3.2
https://hl7.org/fhir/smart-app-launch/backend-services.html
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from fhir_server.access.scopes import narrower, parse
from fhir_server.database import Connection
from fhir_server.identity import authorization, client_authentication, grants, tokens, users
from fhir_server.identity.clients import Client
from fhir_server.identity.grants import Grant
from fhir_server.identity.refusal import Refusal
from fhir_server.identity.tokens import Asking
from fhir_server.identity.users import User
from fhir_server.server import Server

Answer = dict[str, Any]

_STALE: Final = "The code is not known, was used, is too old, or is of another app"


async def answer(
    server: Server, form: Mapping[str, str], authorization_header: str | None
) -> Answer:
    """Return the token response; a Refusal says why there is none."""
    kind = form.get("grant_type", "")
    give = _KINDS.get(kind)
    if give is None:
        raise Refusal("unsupported_grant_type", f"grant_type is one of {', '.join(_KINDS)}")
    if kind == "refresh_token" and not authorization_header:
        form = await _with_client(server, form)
    client = await client_authentication.client_of(
        server, form, authorization_header, audience=url(server)
    )
    if kind not in client.grants:
        raise Refusal("unauthorized_client", "The client is not registered for this grant type")
    return await give(server, client, form)


def url(server: Server) -> str:
    """Return the URL of the endpoint, which is the audience of clients' assertions."""
    return f"{server.root}/auth/token"


async def _by_code(server: Server, client: Client, form: Mapping[str, str]) -> Answer:
    # It is committed before it is judged: a code that came once counts no more.
    async with server.database.transaction() as connection:
        found = await grants.spend_code(connection, form.get("code", ""), client.id)
    if found is None or found.redirect_uri != form.get("redirect_uri"):
        raise Refusal("invalid_grant", _STALE)
    if not authorization.proves(form.get("code_verifier", ""), found.challenge):
        raise Refusal("invalid_grant", "The code_verifier is not that of the code's challenge")
    return await _given(
        server, found.grant, Asking(found.grant.scope, found.grant.scope, found.nonce)
    )


async def _with_client(server: Server, form: Mapping[str, str]) -> Mapping[str, str]:
    """Return the form with the client of its refresh token.

    A public app need not say who it is (RFC 6749, 6), and SMART's own library does not. One
    that is registered to authenticate is refused without all the same.
    """
    if "client_id" in form or "client_assertion" in form:
        return form
    async with server.database.connection() as connection:
        known = await grants.client_of_refresh(connection, form.get("refresh_token", ""))
    return {**form, "client_id": known} if known else form


async def _by_refresh(server: Server, client: Client, form: Mapping[str, str]) -> Answer:
    session = server.settings.security.identity.session_seconds
    token, asked = form.get("refresh_token", ""), form.get("scope")
    async with server.database.connection() as connection:
        known = await grants.of_refresh(connection, token)
    # Asking for too much is refused before the token is spent.
    if known is not None and asked and not narrower(asked, known[0]):
        raise Refusal("invalid_scope", "The scope is wider than the one that was granted")
    async with server.database.transaction() as connection:
        found = await grants.spend_refresh(connection, token, client.id, session)
    if found is None:
        raise Refusal("invalid_grant", "The refresh token is not known, was used, or has ended")
    scope, grant = found
    return await _given(server, grant, Asking(asked or scope, scope))


async def _by_credentials(server: Server, client: Client, form: Mapping[str, str]) -> Answer:
    if client.authentication == "none":
        raise Refusal("unauthorized_client", "Only a client that authenticates may do so")
    asked = form.get("scope", "").split()
    if not asked or not all(_is_of_system(one) for one in asked):
        raise Refusal("invalid_scope", "A backend service asks for system scopes")
    if not narrower(" ".join(asked), client.scope):
        raise Refusal("invalid_scope", "The client is not registered for all of these scopes")
    scope = " ".join(dict.fromkeys(asked))
    draft = grants.Draft(client.id, None, None, scope, {}, datetime.now(UTC))
    async with server.database.transaction() as connection:
        grant = await grants.begin(connection, server.new_id(), draft)
        return await tokens.of_service(server, connection, grant, scope)


def _is_of_system(text: str) -> bool:
    if text.startswith("sangam/"):
        return True
    scope = parse(text)
    return scope is not None and scope.context == "system"


async def _given(server: Server, grant: Grant, asking: Asking) -> Answer:
    """Return the tokens of a grant, as its user is now."""
    async with server.database.transaction() as connection:
        user = await _user(server, connection, grant)
        return await tokens.of_user(server, connection, grant, user, asking)


async def _user(server: Server, connection: Connection, grant: Grant) -> User:
    user = await users.by_id(connection, grant.user_id) if grant.user_id else None
    if user is None or not user.active or (user.demo and not server.settings.demo):
        raise Refusal("invalid_grant", "The user of this grant may no longer log in")
    return user


_KINDS: Mapping[str, Callable[[Server, Client, Mapping[str, str]], Awaitable[Answer]]] = {
    "authorization_code": _by_code,
    "refresh_token": _by_refresh,
    "client_credentials": _by_credentials,
}
