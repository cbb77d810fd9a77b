"""A Binary by its raw bytes.

https://hl7.org/fhir/R4/binary.html#rest
"""

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

from fhir_server.api import formats
from fhir_server.api.answer import Answer, Stream
from fhir_server.api.request import Request
from fhir_server.blobs import Arrival
from fhir_server.errors import BadRequest, Issue, UnsupportedMedia
from fhir_server.interactions import binary
from fhir_server.interactions.binary import Content
from fhir_server.interactions.draft import Sent
from fhir_server.interactions.references import split
from fhir_server.r4 import json
from fhir_server.r4.outcome import operation_outcome
from fhir_server.server import Server

_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PARAMETER = rf"\s?;\s?{_WORD}=(?:{_WORD}|\"[^\"\\\x00-\x1f\x7f-\U0010ffff]*\")"
_MEDIA_TYPE = re.compile(rf"{_WORD}/{_WORD}(?:{_PARAMETER})*\Z")
_RANGE = re.compile(r"bytes=(?P<first>\d{0,18})-(?P<last>\d{0,18})\Z")
OCTETS = "application/octet-stream"
# Types that are FHIR's by name; other types for JSON and XML may be content of any kind.
_FHIR = frozenset(
    (formats.FHIR_JSON, formats.FHIR_XML, "application/json+fhir", "application/xml+fhir")
)
_FHIR_NAMESPACE = b"http://hl7.org/fhir"
_START = 1024
# What a client opens must not act in our name.
_HARMLESS = {
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Accept-Ranges": "bytes",
}


async def received(server: Server, request: Request, id_: str) -> Sent:
    """Return the Binary in a body: a resource, or what is to be the content of one.

    UnsupportedMedia without a Content-Type that is one; BadRequest for an empty
    content, and an X-Security-Context that is no reference to a resource here.
    """
    limits = server.settings.limits
    media = formats.media_type(request)
    if media in _FHIR or not media:
        format_ = formats.sent(request)
        body = await request.body(limits.body_bytes)
        return _resource(request, formats.as_json(server.definitions, body, limits, format_))
    resource = _described(server, request, id_)
    if media in formats.JSON_NAMES | formats.XML_NAMES:
        body = await request.body(limits.body_bytes)
        if _is_fhir(body):
            format_ = formats.sent(request)
            return _resource(request, formats.as_json(server.definitions, body, limits, format_))
        return await _taken(server, resource, _whole(body))
    return await _taken(server, resource, request.pieces(limits.body_bytes))


def _resource(request: Request, raw: bytes) -> Sent:
    if request.header(b"x-security-context") is not None:
        raise BadRequest(
            "A Binary resource has its own securityContext; the header is for raw content",
            expression="X-Security-Context",
        )
    return Sent(raw)


def _described(server: Server, request: Request, id_: str) -> dict[str, Any]:
    """Return the Binary that the headers make, without its data."""
    media = (request.header(b"content-type") or "").strip()
    if not _MEDIA_TYPE.match(media):
        raise UnsupportedMedia("Content-Type is not a media type")
    resource: dict[str, Any] = {"resourceType": binary.BINARY, "contentType": media}
    if id_:
        resource["id"] = id_
    context = request.header(b"x-security-context")
    if context is not None:
        if split(server.definitions.type_ids, server.bases, context) is None:
            raise BadRequest(
                "The header is Type/id of a resource of this server",
                code="value",
                expression="X-Security-Context",
            )
        resource["securityContext"] = {"reference": context}
    return resource


def _is_fhir(body: bytes) -> bool:
    """Whether JSON or XML that does not say so by its media type is FHIR's."""
    start = body[:_START].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<"):
        return _FHIR_NAMESPACE in start
    return start.startswith(b"{") and b'"resourceType"' in body


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _taken(server: Server, resource: dict[str, Any], pieces: AsyncIterator[bytes]) -> Sent:
    """Take the content in: into the resource, or into a blob as soon as it is large."""
    held = bytearray()
    arrival: Arrival | None = None
    try:
        async for piece in pieces:
            held += piece
            if len(held) > binary.LARGE:
                if arrival is None:
                    arrival = await asyncio.to_thread(server.blobs.arrive)
                await asyncio.to_thread(arrival.write, bytes(held))
                held.clear()
        if arrival is None:
            return _small(resource, bytes(held))
        await asyncio.to_thread(arrival.write, bytes(held))
        return Sent(json.encode(resource), await asyncio.to_thread(arrival.keep))
    finally:
        if arrival is not None:
            arrival.drop()


def _small(resource: dict[str, Any], content: bytes) -> Sent:
    if not content:
        raise BadRequest("The body is empty", code="required", expression="Binary.data")
    return Sent(json.encode({**resource, "data": b64encode(content).decode()}))


async def answer(server: Server, request: Request, text: bytes, headers: dict[str, str]) -> Answer:
    """Return the content of the Binary in `text`, or the range of it that is asked for."""
    found = binary.content(text)
    media = found.media_type if _MEDIA_TYPE.match(found.media_type) else OCTETS
    headers = {**headers, **_HARMLESS}
    if found.context is not None and found.context.isascii() and found.context.isprintable():
        headers["X-Security-Context"] = found.context
    wanted = _range(request, found.size)
    if wanted is None:
        return await _part(server, found, (0, found.size), Answer(200, b"", headers, media=media))
    first, last = wanted
    if first > last:
        issue = Issue("error", "value", "The range is beyond the content", "Range")
        return Answer(416, operation_outcome([issue]), {"Content-Range": f"bytes */{found.size}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{found.size}"
    return await _part(server, found, (first, last + 1), Answer(206, b"", headers, media=media))


def _range(request: Request, size: int) -> tuple[int, int] | None:
    """Return first and last byte of the one range asked for, in the wrong order if there is none.

    None for the whole: also of several ranges, which a server may ignore (RFC 9110,
    14.2), and with If-Range, as our entity tags are weak.
    """
    header = request.header(b"range")
    match = _RANGE.match(header.strip()) if header else None
    if match is None or request.header(b"if-range") is not None or request.method == "HEAD":
        return None
    first, last = match["first"], match["last"]
    if not first and not last:
        return None
    if not first:
        count = int(last)
        return (max(0, size - count), size - 1) if count else (size, size - 1)
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last or size - 1), size - 1)


async def _part(server: Server, found: Content, part: tuple[int, int], empty: Answer) -> Answer:
    start, end = part
    data = found.data
    if isinstance(data, bytes):
        return Answer(empty.status, data[start:end], empty.headers, media=empty.media)
    await binary.require(server, data)
    stream = Stream(end - start, lambda: binary.read(server, data, start, end))
    return Answer(empty.status, b"", empty.headers, media=empty.media, stream=stream)
