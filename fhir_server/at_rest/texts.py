"""Secrets that lie in columns, sealed under the tenant's data key.

"1." and base64url of: id of the data key, nonce, AES-256-GCM with its tag
"""

import base64
import binascii
import os
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.at_rest.keys import ID_BYTES, Damaged, Keys
from fhir_server.seal import derived

_VERSION: Final = "1."
_NONCE: Final = 12


def seal(keys: Keys, purpose: str, bound: str, content: bytes) -> str:
    """Return the content sealed for one purpose and bound to one owner."""
    key, nonce = keys.current(), os.urandom(_NONCE)
    sealed = _cipher(key.key, purpose).encrypt(nonce, content, bound.encode())
    return _VERSION + base64.urlsafe_b64encode(key.id + nonce + sealed).decode().rstrip("=")


def is_sealed(text: str) -> bool:
    """Return whether a text was sealed here: none that was sealed otherwise has a full stop."""
    return text.startswith(_VERSION)


def unseal(keys: Keys, purpose: str, bound: str, text: str) -> bytes:
    """Return the content. Damaged when it was changed, or is another purpose's or owner's."""
    raw = _raw(text)
    cipher = _cipher(keys.of(raw[:ID_BYTES]).key, purpose)
    nonce, sealed = raw[ID_BYTES : ID_BYTES + _NONCE], raw[ID_BYTES + _NONCE :]
    try:
        return cipher.decrypt(nonce, sealed, bound.encode())
    except (InvalidTag, ValueError):
        raise Damaged("A sealed text was changed, or is another's") from None


def key_id(text: str) -> bytes:
    """Return the id of the data key of a sealed text. Raises Damaged."""
    return _raw(text)[:ID_BYTES]


def _raw(text: str) -> bytes:
    try:
        body = text.removeprefix(_VERSION)
        return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except (binascii.Error, ValueError):
        raise Damaged("A sealed text is none") from None


@lru_cache(maxsize=64)
def _cipher(key: bytes, purpose: str) -> AESGCM:
    return AESGCM(derived(key, f"sangam text {purpose}"))
