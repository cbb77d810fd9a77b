"""The public keys by which a client proves itself: registered, or fetched from its URL.

https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html#registering-a-client-communicating-public-keys
"""

from collections.abc import Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fhir_server import outbound
from fhir_server.errors import SangamError
from fhir_server.identity.clients import Client
from fhir_server.identity.refusal import Refusal
from fhir_server.r4 import json
from fhir_server.server import Server

_KINDS = frozenset({"RSA", "EC"})
_OK = 200


async def of(server: Server, client: Client, kid: str) -> KeySet:
    """Return the client's keys of that id; a Refusal `invalid_client` when there is none."""
    if client.keys is not None:
        return public(client.keys, kid)
    return public(await _fetched(server, client.keys_url or ""), kid)


async def _fetched(server: Server, url: str) -> Mapping[str, Any]:
    """Return the JWK set at a client's registered URL, asked each time: keys rotate."""
    try:
        found = await outbound.fetch(server.settings.security.outbound, url)
        document = json.decode(found.body) if found.status == _OK else None
    except SangamError as error:
        raise Refusal("invalid_client", "The client's keys cannot be had", status=401) from error
    if not isinstance(document, dict):
        raise Refusal("invalid_client", "The client's keys cannot be had", status=401)
    return document


def public(keys: Mapping[str, Any], kid: str) -> KeySet:
    """Return the public keys with that id of a JWK set; symmetric ones are none."""
    listed = keys.get("keys")
    found = [
        one
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, dict) and one.get("kty") in _KINDS and one.get("kid") == kid
    ]
    if not found:
        raise Refusal("invalid_client", "The client has no key of this id", status=401)
    try:
        return KeySet.import_key_set({"keys": found})
    except (JoseError, ValueError, KeyError) as error:
        raise Refusal("invalid_client", "The client's key cannot be used", status=401) from error
