"""Page tokens: where the next page starts, opaque and authenticated.

A token holds the whole query, which may name patients, so it is encrypted; it
is bound to the caller and lives an hour.

https://hl7.org/fhir/R4/http.html#paging
"""

import struct
import time
import zlib
from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import Any

import msgspec

from fhir_server import seal as sealing
from fhir_server.errors import BadRequest
from fhir_server.search.compile import Position

PARAMETER = "_page"
LIFETIME = 3600

_PURPOSE = "search page"
_KEY_BYTES = 8


class Page(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag="page"):
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


class Rest(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag="rest"):
    """Where the includes of a page go on: of which matches, by which parameters, from where.

    `matches` are the packed keys of the page's matches, so that what is included
    does not depend on what matches now.
    """

    type: str | None
    compartment: tuple[str, str] | None
    pairs: list[tuple[str, str]]
    matches: bytes
    round: int
    after: int
    issued: int


def pack(keys: Iterable[int]) -> bytes:
    """Return keys, up to 64 bits each, in few bytes."""
    steps = [after - before for before, after in pairwise([0, *sorted(keys)])]
    return zlib.compress(struct.pack(f">{len(steps)}Q", *steps))


def unpack(packed: bytes) -> list[int]:
    """Return packed keys in ascending order."""
    steps = zlib.decompress(packed)
    return list(accumulate(struct.unpack(f">{len(steps) // _KEY_BYTES}Q", steps)))


_DECODER: msgspec.msgpack.Decoder[Page | Rest] = msgspec.msgpack.Decoder(Page | Rest)


def seal(key: bytes, caller: str, page: Page | Rest) -> str:
    """Return the token of `page` for this caller, in the alphabet of URLs."""
    return sealing.seal(key, _PURPOSE, caller, msgspec.msgpack.encode(page))


def unseal(key: bytes, caller: str, token: str, now: float | None = None) -> Page | Rest:
    """Return the page of a token; BadRequest when it is forged, another caller's or too old."""
    refusal = BadRequest("The page link is not valid.", code="value", expression=PARAMETER)
    opened = sealing.unseal(key, _PURPOSE, caller, token)
    if opened is None:
        raise refusal
    try:
        page = _DECODER.decode(opened)
    except msgspec.MsgspecError:  # of a version that wrote it otherwise
        raise refusal from None
    if not 0 <= (now or time.time()) - page.issued <= LIFETIME:
        text = "The page link has expired; start the search again."
        raise BadRequest(text, code="expired", expression=PARAMETER)
    return page
