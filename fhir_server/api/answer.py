"""One HTTP response.

https://hl7.org/fhir/R4/http.html#ops
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import format_datetime, formatdate
from functools import lru_cache
from typing import Any

from fhir_server.api.encoding import packed
from fhir_server.api.formats import CONTENT_TYPES, Format
from fhir_server.errors import SangamError
from fhir_server.r4.outcome import operation_outcome

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

UNAUTHENTICATED = 401
# A body of more bytes is packed in a thread, so that others are answered meanwhile.
LONG = 1 << 18
# These have no body by definition, and HTTP allows no length of what is not there.
_BODYLESS = frozenset((204, 304))


@dataclass(frozen=True, slots=True)
class Stream:
    """A body that is not held in memory: its length and its pieces."""

    length: int
    pieces: Callable[[], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body (FHIR in `format`) and further headers.

    `media` is the Content-Type of a body that is not FHIR; `stream` stands in the
    place of a body.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cacheable: bool = False
    format: Format = "json"
    media: str | None = None
    stream: Stream | None = None


def version_headers(version: int, last_updated: datetime) -> dict[str, str]:
    """Return ETag and Last-Modified of a version."""
    return {
        "ETag": f'W/"{version}"',
        "Last-Modified": format_datetime(last_updated, usegmt=True),
    }


def refusal(error: SangamError) -> Answer:
    """Return the answer that says no."""
    headers = dict(error.headers)
    if error.status == UNAUTHENTICATED:
        headers.setdefault("WWW-Authenticate", "Bearer")
    return Answer(error.status, operation_outcome(error.issues), headers)


def date() -> bytes:
    """Return the present time as the header Date writes it."""
    return _date(int(time.time()))


@lru_cache(maxsize=1)
def _date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()


async def as_gzip(answer: Answer) -> Answer:
    """Return the answer with its body packed."""
    long = len(answer.body) > LONG
    body = await asyncio.to_thread(packed, answer.body) if long else packed(answer.body)
    vary = ", ".join(filter(None, (answer.headers.get("Vary"), "Accept-Encoding")))
    headers = {**answer.headers, "Content-Encoding": "gzip", "Vary": vary}
    return replace(answer, body=body, headers=headers)


async def send_answer(
    send: Send,
    answer: Answer,
    request_id: str,
    *,
    head: bool,
    always: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """Send the answer, with headers that it has `always`; for HEAD without its body."""
    headers = [
        (b"date", date()),
        (b"x-request-id", request_id.encode()),
        *always,
        *((k.lower().encode(), v.encode("latin-1")) for k, v in answer.headers.items()),
    ]
    length = answer.stream.length if answer.stream else len(answer.body)
    if answer.status not in _BODYLESS:
        headers.append((b"content-length", b"%d" % length))
    if answer.media is not None:
        headers.append((b"content-type", answer.media.encode("latin-1")))
    elif length:
        headers.append((b"content-type", CONTENT_TYPES[answer.format]))
    # A client may keep what is public, if it asks each time whether that still holds.
    headers.append((b"cache-control", b"no-cache" if answer.cacheable else b"no-store"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if answer.stream is not None and not head:
        async for piece in answer.stream.pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
