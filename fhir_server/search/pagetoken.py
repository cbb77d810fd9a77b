"""Page tokens: where the next page starts, opaque and authenticated.

A token holds the whole query, which may name patients, so it is encrypted; it
is bound to the caller and lives an hour.

https://hl7.org/fhir/R4/http.html#paging
"""

import base64
import os
import time
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.errors import BadRequest
from fhir_server.search.compile import Position

PARAMETER = "_page"
LIFETIME = 3600

_NONCE = 12


class Page(msgspec.Struct, frozen=True, array_like=True):
    """The page that a token leads to: of which search, after what, with which total."""

    type: str | None
    compartment: tuple[str, str] | None
    pairs: list[tuple[str, str]]
    values: list[Any]
    key: int
    snapshot: str
    total: int | None
    issued: int

    @property
    def position(self) -> Position:
        """Return where the page before ended."""
        return Position(tuple(self.values), self.key, self.snapshot)


@lru_cache(maxsize=8)
def _cipher(secret: bytes) -> AESGCM:
    return AESGCM(blake2b(secret, digest_size=32, person=b"page token").digest())


def seal(secret: bytes, caller: str, page: Page) -> str:
    """Return the token of `page` for this caller, in the alphabet of URLs."""
    nonce = os.urandom(_NONCE)
    sealed = _cipher(secret).encrypt(nonce, msgspec.msgpack.encode(page), caller.encode())
    return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")


def unseal(secret: bytes, caller: str, token: str, now: float | None = None) -> Page:
    """Return the page of a token; BadRequest when it is forged, another caller's or too old."""
    refusal = BadRequest("The page link is not valid.", code="value", expression=PARAMETER)
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        opened = _cipher(secret).decrypt(raw[:_NONCE], raw[_NONCE:], caller.encode())
        page = msgspec.msgpack.decode(opened, type=Page)
    except (ValueError, InvalidTag, msgspec.MsgspecError):
        raise refusal from None
    if not 0 <= (now or time.time()) - page.issued <= LIFETIME:
        text = "The page link has expired; start the search again."
        raise BadRequest(text, code="expired", expression=PARAMETER)
    return page
