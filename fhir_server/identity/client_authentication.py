"""Which client asks, proved by a secret or by an assertion that its key signed.

https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html
https://www.rfc-editor.org/rfc/rfc7523
"""

import base64
import binascii
import hmac
import time
from collections.abc import Mapping
from typing import Any, Final, TypeGuard
from urllib.parse import unquote_plus

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fhir_server.database import Connection
from fhir_server.errors import SangamError
from fhir_server.identity import client_keys, clients, opaque
from fhir_server.identity.clients import Client
from fhir_server.identity.refusal import Refusal
from fhir_server.r4 import json
from fhir_server.server import Server

ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS: Final = ("RS384", "ES384")
"""Those that SMART asks of every server."""

LONGEST_LIFE: Final = 300
LEEWAY: Final = 60
_LONGEST: Final = 16_384
_LONGEST_JTI: Final = 512
_WRONG: Final = "The client is not known, or did not prove who it is"
_SPEND: Final = """
INSERT INTO identity_assertion (client_id, jti, expires_at)
VALUES (%s, %s, to_timestamp(%s)) ON CONFLICT DO NOTHING
"""


async def client_of(
    server: Server, form: Mapping[str, str], authorization: str | None, *, audience: str
) -> Client:
    """Return the client; a Refusal `invalid_client` when it is unknown or proves nothing.

    `form` are the parameters of the request; a client that is registered to authenticate in
    one way is taken in no other.
    """
    demo = server.settings.demo
    if authorization is not None:
        if "client_assertion" in form:
            raise _refused("A client proves who it is in one way")
        id_, secret = _basic(authorization)
        client = await _known(server, id_, "client_secret_basic", demo=demo)
        if client.secret is None or not hmac.compare_digest(client.secret, opaque.hashed(secret)):
            raise _refused()
        _agree(form, client)
        return client
    if "client_assertion" in form:
        return await _by_assertion(server, form, audience)
    return await _known(server, form.get("client_id", ""), "none", demo=demo)


async def _known(server: Server, id_: str, method: str, *, demo: bool) -> Client:
    async with server.database.connection() as connection:
        client = await clients.by_id(connection, id_, demo=demo)
    if client is None or client.authentication != method:
        raise _refused()
    return client


def _basic(authorization: str) -> tuple[str, str]:
    """Return id and secret, which are form-encoded before they are put together (RFC 6749)."""
    scheme, _, given = authorization.partition(" ")
    try:
        pair = base64.b64decode(given.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _refused() from error
    if scheme.lower() != "basic" or ":" not in pair:
        raise _refused()
    id_, _, secret = pair.partition(":")
    return unquote_plus(id_), unquote_plus(secret)


async def _by_assertion(server: Server, form: Mapping[str, str], audience: str) -> Client:
    text = form["client_assertion"]
    if form.get("client_assertion_type") != ASSERTION or len(text) > _LONGEST:
        raise _refused("The assertion is not of the type that is taken")
    header, unproved = _read(text)
    client = await _known(
        server, str(unproved.get("iss", "")), "private_key_jwt", demo=server.settings.demo
    )
    if "jku" in header and header["jku"] != client.keys_url:
        raise _refused("The URL of the assertion's keys is not the registered one")
    kid, algorithm = str(header["kid"]), str(header["alg"])
    claims = _proved(text, await client_keys.of(server, client, kid, algorithm))
    check(claims, client.id, audience, time.time())
    _agree(form, client)
    async with server.database.statement() as connection:
        await _spend(connection, client, claims)
    return client


def _read(text: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return header and claims of an assertion of which nothing is proved yet."""
    try:
        found = jws.extract_compact(text.encode("ascii"))
        header, claims = found.headers(), json.decode(found.payload)
    except (JoseError, ValueError, SangamError) as error:
        raise _refused("The assertion cannot be read") from error
    if header.get("typ", "JWT") != "JWT" or not isinstance(header.get("kid"), str):
        raise _refused("The assertion names no key, or is no JWT")
    if header.get("alg") not in ALGORITHMS or not isinstance(claims, dict):
        raise _refused("The assertion is not signed by RS384 or ES384")
    return header, claims


def _proved(text: str, keys: KeySet) -> Mapping[str, Any]:
    """Return the claims, if one of the client's keys signed them."""
    try:
        return jwt.decode(text, keys, algorithms=list(ALGORITHMS)).claims
    except (JoseError, ValueError) as error:
        raise _refused("None of the client's keys has signed the assertion") from error


def check(claims: Mapping[str, Any], client_id: str, audience: str, now: float) -> None:
    """Refuse claims that are not the client's own, for us, and short-lived."""
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise _refused("The assertion is not issued by the client for itself")
    if claims.get("aud") not in (audience, [audience]):
        raise _refused("The assertion is for another audience")
    expires = claims.get("exp")
    if not _is_number(expires) or not now - LEEWAY < expires <= now + LONGEST_LIFE + LEEWAY:
        raise _refused("The assertion has expired, or lives for more than five minutes")
    starts = (claims.get(name, now) for name in ("nbf", "iat"))
    if not all(_is_number(one) and one <= now + LEEWAY for one in starts):
        raise _refused("The assertion is not valid yet")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= _LONGEST_JTI:
        raise _refused("The assertion has no jti")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _agree(form: Mapping[str, str], client: Client) -> None:
    if form.get("client_id", client.id) != client.id:
        raise _refused("The request is of another client than the one that proved itself")


async def _spend(connection: Connection, client: Client, claims: Mapping[str, Any]) -> None:
    """Note the assertion, which counts once for all processes (RFC 7523, 3)."""
    values = (client.id, claims["jti"], claims["exp"] + LEEWAY)
    if not (await connection.execute(_SPEND, values)).rowcount:
        raise _refused("The assertion was used already")


def _refused(text: str = _WRONG) -> Refusal:
    return Refusal("invalid_client", text, status=401)
