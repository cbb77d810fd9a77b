"""One HTTP request as the interactions need it.

https://hl7.org/fhir/R4/http.html#general
"""

import re
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from fhir_server.errors import BadRequest, TooLarge, UnsupportedMedia
from fhir_server.keys import new_id

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
MAX_FIELDS = 1000


@dataclass(frozen=True, slots=True)
class Request:
    """Method, path below the FHIR base as segments, query pairs, headers, body reader."""

    method: str
    segments: tuple[str, ...]
    query: str
    pairs: tuple[tuple[str, str], ...]
    headers: dict[bytes, bytes]
    receive: Receive
    id: str

    def header(self, name: bytes) -> str | None:
        """Return a header's value, None when it was not sent."""
        value = self.headers.get(name)
        return value.decode("latin-1") if value is not None else None

    async def body(self, cap: int) -> bytes:
        """Return the unpacked body; TooLarge when it is over `cap` bytes."""
        length = self.header(b"content-length")
        if length and length.isdecimal() and int(length) > cap:
            raise TooLarge(f"The body is larger than {cap} bytes")
        unpack = _unpacker(self.header(b"content-encoding"))
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise BadRequest("The client went away before the body was complete")
            more = message.get("more_body", False)
            chunk = unpack(message.get("body", b""), cap - size + 1)
            size += len(chunk)
            if size > cap:
                raise TooLarge(f"The body is larger than {cap} bytes")
            chunks.append(chunk)
        return b"".join(chunks)


def read_request(scope: Scope, receive: Receive, root: str) -> Request:
    """Return the request below `root`; BadRequest when its URL is not UTF-8."""
    headers = dict(scope["headers"])
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
        id=given if _REQUEST_ID.match(given) else new_id(),
    )


def form_pairs(body: bytes) -> tuple[tuple[str, str], ...]:
    """Return the pairs of an application/x-www-form-urlencoded body."""
    try:
        return _pairs(body.decode("ascii"))
    except ValueError as error:
        raise BadRequest("The form cannot be read", code="structure") from error


def _pairs(query: str) -> tuple[tuple[str, str], ...]:
    if not query:
        return ()
    pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    return tuple(pairs)


def _unpacker(encoding: str | None) -> Callable[[bytes, int], bytes]:
    """Return a function of (packed bytes, most bytes wanted)."""
    if encoding in {None, "", "identity"}:
        return lambda data, _: data
    if encoding != "gzip":
        raise UnsupportedMedia("Content-Encoding must be gzip or identity")
    inflate = zlib.decompressobj(wbits=31)

    def unpack(data: bytes, most: int) -> bytes:
        try:
            return inflate.decompress(data, max_length=most)
        except zlib.error as error:
            raise BadRequest("The body is not gzip", code="structure") from error

    return unpack
