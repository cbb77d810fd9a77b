"""The public keys by which a client proves itself: registered, or fetched from its URL.

https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html#registering-a-client-communicating-public-keys
"""

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fhir_server.database import Database
from fhir_server.errors import SangamError
from fhir_server.identity import issuers
from fhir_server.identity.clients import Client
from fhir_server.identity.keys import Keys
from fhir_server.identity.refusal import Refusal
from fhir_server.server import Server

_KINDS = frozenset({"RSA", "EC"})
_MOST = 256
"""Clients whose fetched keys are remembered."""

_kept: "WeakKeyDictionary[Database, OrderedDict[str, Keys]]" = WeakKeyDictionary()


async def of(server: Server, client: Client, kid: str, algorithm: str) -> KeySet:
    """Return the client's keys of that id; a Refusal `invalid_client` when there is none."""
    if client.keys is not None:
        return public(client.keys, kid)
    try:
        found = await _fetched(server, client.keys_url or "").key(kid, algorithm)
    except SangamError as error:
        raise Refusal("invalid_client", "The client's keys cannot be had", status=401) from error
    if found is None:
        raise Refusal("invalid_client", "The client has no key of this id", status=401)
    return KeySet([found])


def _fetched(server: Server, url: str) -> Keys:
    """Return the keys at a registered URL: whoever knows an id must not have it asked at will."""
    held = _kept.setdefault(server.database, OrderedDict())
    if url not in held:
        settings = server.settings.security.outbound
        held[url] = Keys(partial(issuers.keys_at, settings, url))
    held.move_to_end(url)
    while len(held) > _MOST:
        held.popitem(last=False)
    return held[url]


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
