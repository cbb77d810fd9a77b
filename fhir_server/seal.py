"""Sealed text: what a client holds for the server, and can neither read nor change.

AES-256-GCM under a key for each purpose; the caller's name is authenticated with
it, so that a text is of use only to whom it was given.

https://www.rfc-editor.org/rfc/rfc5116
"""

import base64
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12


@lru_cache(maxsize=64)
def derived(root: bytes, purpose: str, size: int = 32) -> bytes:
    """Return the key of `size` bytes that belongs to a purpose (HKDF, RFC 5869)."""
    return HKDF(SHA256(), size, salt=None, info=purpose.encode()).derive(root)


def seal(key: bytes, purpose: str, caller: str, content: bytes) -> str:
    """Return the sealed content in the alphabet of URLs."""
    nonce = os.urandom(_NONCE)
    sealed = _cipher(key, purpose).encrypt(nonce, content, caller.encode())
    return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")


def unseal(key: bytes, purpose: str, caller: str, text: str) -> bytes | None:
    """Return the content; None when it was sealed otherwise, or was changed."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return _cipher(key, purpose).decrypt(raw[:_NONCE], raw[_NONCE:], caller.encode())
    except (ValueError, InvalidTag):
        return None


@lru_cache(maxsize=64)
def _cipher(key: bytes, purpose: str) -> AESGCM:
    return AESGCM(derived(key, purpose))
