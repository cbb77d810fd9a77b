"""One HTTP request as the interactions need it.

https://hl7.org/fhir/R4/http.html#general
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from fhir_server.api.encoding import gzip_or_plain
from fhir_server.errors import BadRequest, TooLarge
from fhir_server.interactions.asynchronous import Ledger
from fhir_server.keys import new_id

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
MAX_FIELDS = 1000


_BROKEN_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
# A packed body is hardly larger than its content, unless it is made to have no end.
_PACKING_OVERHEAD = 1 << 16


@dataclass(frozen=True, slots=True)
class Request:
    """Method, path below the FHIR base as segments, query pairs, headers, body reader.

    `ledger` notes what is done of a request that is answered later.
    """

    method: str
    segments: tuple[str, ...]
    query: str
    pairs: tuple[tuple[str, str], ...]
    headers: dict[bytes, bytes]
    receive: Receive
    id: str
    ledger: Ledger | None = None

    def header(self, name: bytes) -> str | None:
        """Return a header's value, None when it was not sent."""
        value = self.headers.get(name)
        return value.decode("latin-1") if value is not None else None

    async def body(self, cap: int) -> bytes:
        """Return the unpacked body; TooLarge when it is over `cap` bytes."""
        return b"".join([piece async for piece in self.pieces(cap)])

    async def pieces(self, cap: int) -> AsyncIterator[bytes]:
        """Yield the unpacked body as it arrives; TooLarge when it is over `cap` bytes."""
        length = self.header(b"content-length")
        if length and length.isdecimal() and int(length) > cap:
            raise TooLarge(f"The body is larger than {cap} bytes")
        unpacked = gzip_or_plain(self.header(b"content-encoding"))
        size = packed = 0
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise BadRequest("The client went away before the body was complete")
            more = message.get("more_body", False)
            sent = message.get("body", b"")
            packed += len(sent)
            piece = unpacked.take(sent, cap - size + 1)
            size += len(piece)
            if size > cap or packed > cap + _PACKING_OVERHEAD:
                raise TooLarge(f"The body is larger than {cap} bytes")
            yield piece
        unpacked.end()


def read_request(scope: Scope, receive: Receive, root: str) -> Request:
    """Return the request below `root`; BadRequest when its URL is not UTF-8."""
    headers = _headers(scope["headers"])
    given = headers.get(b"x-request-id", b"").decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    try:
        path = scope["raw_path"].partition(b"?")[0].decode("ascii")[len(root) :]
        segments = tuple(unquote(part, errors="strict") for part in path.split("/") if part)
        pairs = _pairs(query)
    except ValueError as error:
        raise BadRequest("The URL cannot be read", code="value") from error
    return Request(
        method=scope["method"],
        segments=segments,
        query=query,
        pairs=pairs,
        headers=headers,
        receive=receive,
        id=_id(given),
    )


def request_id(scope: Scope) -> str:
    """Return the client's X-Request-Id if it may be one, else a new one."""
    return _id(dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1"))


def _id(given: str) -> str:
    return given if _REQUEST_ID.match(given) else new_id()


def form_pairs(body: bytes) -> tuple[tuple[str, str], ...]:
    """Return the pairs of an application/x-www-form-urlencoded body."""
    try:
        return _pairs(body.decode("ascii"))
    except ValueError as error:
        raise BadRequest("The form cannot be read", code="structure") from error


def _pairs(query: str) -> tuple[tuple[str, str], ...]:
    if not query:
        return ()
    if _BROKEN_ESCAPE.search(query):
        raise ValueError("a percent sign that two hexadecimal digits do not follow")
    pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    return tuple(pairs)


def _headers(pairs: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the headers by name; of one that comes twice the values, as RFC 9110, 5.3 joins them.

    Else `If-Match: "1"` and `If-Match: "2"` would silently be the latter.
    """
    headers = dict(pairs)
    if sum(name == b"if-none-exist" for name, _ in pairs) > 1:  # criteria are no list
        raise BadRequest("If-None-Exist is given more than once", code="value")
    if len(headers) < len(pairs):
        return {
            name: b", ".join(value for other, value in pairs if other == name) for name in headers
        }
    return headers
