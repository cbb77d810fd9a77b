"""Where a history goes on: opaque to the client, authenticated, and good for an hour.

https://hl7.org/fhir/R4/http.html#paging
"""

import time

import msgspec

from fhir_server import seal as sealing
from fhir_server.errors import BadRequest

PARAMETER = "_cursor"
LIFETIME = 3600
_PURPOSE = "history page"


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The history that a link goes on with, and the last change that was shown of it.

    `pairs` are its parameters; `xid` and `position` are the change's place in the
    feed, `issued` is in seconds since 1970.
    """

    type: str | None
    id: str | None
    pairs: list[tuple[str, str]]
    xid: int
    position: int
    issued: int


def seal(key: bytes, caller: str, cursor: Cursor) -> str:
    """Return the cursor for this caller, in the alphabet of URLs."""
    return sealing.seal(key, _PURPOSE, caller, msgspec.msgpack.encode(cursor))


def unseal(key: bytes, caller: str, text: str, now: float | None = None) -> Cursor:
    """Return the cursor; BadRequest when it is forged, another caller's or too old."""
    refusal = BadRequest("The page link is not valid", code="value", expression=PARAMETER)
    opened = sealing.unseal(key, _PURPOSE, caller, text)
    if opened is None:
        raise refusal
    try:
        cursor = msgspec.msgpack.decode(opened, type=Cursor)
    except msgspec.MsgspecError:  # of a version that wrote it otherwise
        raise refusal from None
    if not 0 <= (now or time.time()) - cursor.issued <= LIFETIME:
        text = "The page link has expired; start the history again"
        raise BadRequest(text, code="expired", expression=PARAMETER)
    return cursor
