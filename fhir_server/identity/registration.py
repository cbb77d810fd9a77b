"""Registering clients, from metadata as other servers write them.

https://www.rfc-editor.org/rfc/rfc7591
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fhir_server.access import delegating, role_store, roles
from fhir_server.access.scopes import operators, parse, scopes
from fhir_server.audit.happening import CLIENTS_CHANGED, happened
from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, Forbidden
from fhir_server.identity import authorization, clients, opaque
from fhir_server.identity.clients import Client
from fhir_server.interactions import fresh_login
from fhir_server.rights import ANY
from fhir_server.server import Server

_TEXTS: Final = ("redirect_uris", "grant_types", "response_types", "contacts")


def client_of(
    metadata: Mapping[str, Any], id_: str, secret: str, *, preapproved: bool = False
) -> Client:
    """Return the client that the metadata ask for; BadRequest when it cannot be one.

    `secret` is kept for a client that authenticates by one.

    `launch_uri` (SMART) is where an EHR opens it. What is not known is left out, as RFC 7591
    has it.
    """
    for name in _TEXTS:
        if name in metadata and not _is_texts(metadata[name]):
            raise BadRequest(f"{name} is a list of texts")
    method = _text(metadata, "token_endpoint_auth_method") or "client_secret_basic"
    keys = metadata.get("jwks")
    if keys is not None and not (isinstance(keys, dict) and isinstance(keys.get("keys"), list)):
        raise BadRequest("jwks is a JWK set")
    found = Client(
        id=id_,
        name=_text(metadata, "client_name") or id_,
        authentication=method,
        secret=opaque.hashed(secret) if method == "client_secret_basic" else None,
        keys=keys,
        keys_url=_text(metadata, "jwks_uri"),
        redirects=tuple(metadata.get("redirect_uris", ())),
        grants=tuple(metadata.get("grant_types", ("authorization_code",))),
        scope=_text(metadata, "scope") or "",
        launch_url=_text(metadata, "launch_uri"),
        preapproved=preapproved,
    )
    if unknown := [one for one in found.scope.split() if not _is_offered(one)]:
        raise BadRequest(
            f"{len(unknown)} of the scopes are not offered here:"
            " [base]/.well-known/smart-configuration has those that are"
        )
    if found.launch_url:
        clients.check_redirect(found.launch_url)
    if found.keys_url and not found.keys_url.startswith("https://"):
        raise BadRequest("jwks_uri is an https URL")
    clients.check(found)
    return found


async def register(server: Server, metadata: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """Store a client and return what it is registered as, with its secret, shown only now.

    Forbidden where it would be given rights that the caller has not; who has a role that
    delegates may give them right after a login (else Unauthenticated), but no operator scopes.
    """
    secret = opaque.new()
    client = client_of(metadata, server.new_id(), secret)
    await _require_within(server, caller, client)
    async with server.database.transaction() as connection:
        await clients.add(connection, client, caller.name)
        await happened(connection, caller, CLIENTS_CHANGED, about=[client.id])
    answer = described(client)
    if client.secret is not None:
        answer |= {"client_secret": secret, "client_secret_expires_at": 0}
    return answer


async def _require_within(server: Server, caller: Caller, client: Client) -> None:
    """Refuse a client that may do more by itself than who registers it, who could then be it.

    What an app does for a user is within what that user may.
    """
    held = caller.rights.operator
    if ANY not in held and not operators(client.scope) <= held:
        raise Forbidden("A client is given no operator scope that you have not")
    asked = [one for one in scopes(client.scope) if one.context == "system"]
    if delegating.covers(caller.rights, asked):
        return
    if not roles.may_delegate(await role_store.in_force(server), caller.roles):
        raise Forbidden("A service is given no rights on records that you have not")
    fresh_login.require(server, caller, "to register a service with rights that you have not")


def described(client: Client) -> dict[str, Any]:
    """Return the metadata of a client."""
    given = {
        "client_id": client.id,
        "client_name": client.name,
        "token_endpoint_auth_method": client.authentication,
        "redirect_uris": list(client.redirects),
        "grant_types": list(client.grants),
        "response_types": ["code"] if "authorization_code" in client.grants else [],
        "scope": client.scope,
        "jwks": client.keys,
        "jwks_uri": client.keys_url,
        "launch_uri": client.launch_url,
    }
    return {name: value for name, value in given.items() if value is not None}


def _is_offered(scope: str) -> bool:
    return scope in authorization.PLAIN or bool(operators(scope)) or parse(scope) is not None


def _text(metadata: Mapping[str, Any], name: str) -> str | None:
    value = metadata.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"{name} is a text")
    return value


def _is_texts(value: object) -> bool:
    return isinstance(value, Sequence) and all(isinstance(one, str) for one in value)
