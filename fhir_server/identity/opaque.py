"""Opaque secrets: random texts of 256 bits, of which only a hash is kept.

Nothing can be guessed of them, so that a plain hash does.

https://www.rfc-editor.org/rfc/rfc6749#section-10.10
"""

import asyncio
import hashlib
import hmac
import secrets

from fhir_server import seal
from fhir_server.at_rest import texts
from fhir_server.at_rest.keys import Damaged
from fhir_server.seal import derived
from fhir_server.server import Server

_BYTES = 32


def new() -> str:
    """Return a new secret in the alphabet of URLs."""
    return secrets.token_urlsafe(_BYTES)


def hashed(secret: str) -> bytes:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def keyed(server: Server, purpose: str, text: str) -> bytes:
    """Return a hash of a text that might be guessed, which only this installation can make."""
    return hmac.digest(derived(_root(server), purpose), text.encode(), "sha256")


def sealed(server: Server, purpose: str, bound: str, content: bytes) -> str:
    """Return the content sealed for one purpose and bound to one owner."""
    return seal.seal(_root(server), purpose, bound, content)


async def stored(server: Server, purpose: str, bound: str, content: bytes) -> str:
    """Return the content sealed for a column of the database, under the tenant's data key.

    Raises OSError when that is not known.
    """
    # Who asks for the present key may have to wait for the database (at_rest/keyring.py).
    return await asyncio.to_thread(texts.seal, server.data_keys, purpose, bound, content)


def unsealed(server: Server, purpose: str, bound: str, text: str) -> bytes | None:
    """Return what `sealed` sealed; None when it was sealed otherwise, or was changed."""
    return seal.unseal(_root(server), purpose, bound, text)


async def brought(server: Server, purpose: str, bound: str, text: str) -> bytes | None:
    """Return the content of a column of the database, which `stored` sealed, or `sealed` before.

    None when it was sealed otherwise, or was changed; raises OSError when its key cannot be asked
    for.
    """
    if not texts.is_sealed(text):
        return unsealed(server, purpose, bound, text)
    try:
        # A key that another process made has to be asked of the database (at_rest/keyring.py).
        return await asyncio.to_thread(texts.unseal, server.data_keys, purpose, bound, text)
    except Damaged:
        return None


def _root(server: Server) -> bytes:
    return derived(server.registry.context.page_key, "identity")
