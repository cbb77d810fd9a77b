"""Bulk data: one value of a data set, by its path of tags and item numbers.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_10.4.1.1.5
"""

import asyncio
import re
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from adapters.dicom.dataset.elements import PIXEL_DATA, Broken
from adapters.dicom.dataset.tree import Buffer, Element, Elements, before_pixels, numbers
from adapters.dicom.web.accept import chosen
from adapters.dicom.web.frame_forms import OCTETS
from adapters.dicom.web.holdings import Holding, held
from adapters.dicom.web.model import little_endian, word
from adapters.dicom.web.multipart import Multipart
from adapters.dicom.web.pieces import PIECE, beside
from adapters.dicom.web.service import INSTANCE, Web, route
from adapters.dicom.web.stored import Opened, opened
from adapters.dicom.web.wado import caching, current, entity_tag, ranges_of, without_body
from fhir_server.errors import BadRequest, NotAcceptable, NotFound

_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_NUMBER = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}", re.ASCII)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_DOCUMENT: Final = 0x00420011
_DOCUMENT_TYPE: Final = 0x00420012
_DOCUMENT_LENGTH: Final = 0x00420015
_PARTIAL, _UNSATISFIABLE = 206, 416

# A browser that shows what was uploaded would let it act on the user's behalf.
_CONFINED: Final = {
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}


@dataclass(frozen=True, slots=True)
class Value:
    """Where a value lies in its data set, and what it is.

    `element` is it as it is encoded, of which the first `length` bytes count.
    """

    element: Element
    length: int
    media: str


def routes(web: Web) -> list[Route]:
    """Return the paths of bulk data."""
    return [route(web, f"{INSTANCE}/bulkdata/{{path:path}}", bulkdata)]


async def bulkdata(web: Web, request: Request) -> Response:
    """Answer with a value, or the range of it that is asked for."""
    path = _path(request.path_params["path"])
    [one] = await held(web, request)
    if len(path) == 1 and path[0] in PIXEL_DATA:
        return RedirectResponse(f"{web.base}{one.path}/frames", 307)
    value = await asyncio.to_thread(_value, web, one, path)
    media = chosen(
        ranges_of(request),
        [(value.media, False), (OCTETS, False), (value.media, True), (OCTETS, True)],
    )
    if media is None:
        raise NotAcceptable(f"This is {value.media}")
    tag = entity_tag([[one.blob, *map(str, path), *map(str, media)]])
    if current(request, tag):
        return Response(status_code=304, headers=caching(tag))
    headers = {**caching(tag), **_CONFINED, "Accept-Ranges": "bytes"}
    if media[1]:
        return _as_part(web, request, one, value, headers | {"Content-Type": media[0]})
    headers["Content-Type"] = media[0]
    return _alone(web, request, one, value, headers)


def _alone(
    web: Web, request: Request, one: Holding, value: Value, headers: dict[str, str]
) -> Response:
    start, end, status = 0, value.length, 200
    asked = request.headers.get("range")
    if asked is not None and request.headers.get("if-range", headers["ETag"]) == headers["ETag"]:
        found = ranged(asked, value.length)
        if found is None:
            return Response(
                status_code=_UNSATISFIABLE, headers={"Content-Range": f"bytes */{value.length}"}
            )
        if found != (0, value.length) or asked.endswith("-"):
            start, end = found
            status = _PARTIAL
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{value.length}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return without_body(headers, status)
    return StreamingResponse(_stream(web, one, value, start, end), status, headers)


def _as_part(
    web: Web, request: Request, one: Holding, value: Value, headers: dict[str, str]
) -> Response:
    media = headers["Content-Type"]
    body = Multipart(media)
    headers["Content-Type"] = body.content_type
    if request.method == "HEAD":
        return without_body(headers)

    async def parts() -> AsyncIterator[bytes]:
        yield body.head(media, f"{web.base}{request.scope['path']}", first=True)
        async for piece in _stream(web, one, value, 0, value.length):
            yield piece
        yield body.end()

    return StreamingResponse(parts(), headers=headers)


def ranged(text: str, length: int) -> tuple[int, int] | None:
    """Return the start and end of what a Range header asks for, None where it cannot be had.

    Several ranges, and what is none, ask for everything (RFC 9110, 14.2).
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None or not (found[1] or found[2]):
        return 0, length
    if not found[1]:
        start, end = max(0, length - int(found[2])), length
    else:
        start = int(found[1])
        end = min(length, int(found[2]) + 1) if found[2] else length
        if found[2] and int(found[2]) < start:
            return 0, length
    return (start, end) if start < end else None


def _path(text: str) -> list[int]:
    """Return the tags and item numbers of a path, in turn. Raises BadRequest."""
    parts = text.split("/")
    rules = [_NUMBER if place % 2 else _TAG for place in range(len(parts))]
    right = all(rule.fullmatch(part) for rule, part in zip(rules, parts, strict=True))
    if not right or len(parts) % 2 == 0:
        raise BadRequest("The path of bulk data is a tag, or tags with item numbers between them")
    return [int(part, 10 if place % 2 else 16) for place, part in enumerate(parts)]


def _value(web: Web, one: Holding, path: list[int]) -> Value:
    try:
        most = web.server.settings.dicom.max_object_bytes
        with opened(web.blobs, one, most) as file, file.data() as data:
            found = before_pixels(data, file.encoding).found
            element = _at(found, path)
            if path == [_DOCUMENT]:
                return _document(data, found, element)
            return Value(element, element.end - element.start, OCTETS)
    except Broken:
        raise NotFound("The data set cannot be read") from None


def _at(found: Elements, path: list[int]) -> Element:
    """Return the element of a path, which has a value of its own. Raises NotFound."""
    element = found.get(path[0])
    for place in range(1, len(path), 2):
        items = element.items if element else None
        number = path[place]
        if not items or number > len(items):
            raise NotFound("There is no such value")
        element = items[number - 1].get(path[place + 1])
    if element is None or element.items is not None or element.start == element.end:
        raise NotFound("There is no such value")
    return element


def _document(data: Buffer, found: Elements, element: Element) -> Value:
    """Return an encapsulated document without the byte that makes its length even."""
    length = element.end - element.start
    said = numbers(data, found[_DOCUMENT_LENGTH], "I") if _DOCUMENT_LENGTH in found else ()
    if said and 0 < said[0] <= length:
        length = said[0]
    elif data[element.end - 1] == 0:
        length -= 1
    media = OCTETS
    if type_ := found.get(_DOCUMENT_TYPE):
        stated = bytes(data[type_.start : type_.end]).decode("ascii", "replace").strip(" \0")
        media = stated.lower() if _MEDIA_TYPE.fullmatch(stated.lower()) else OCTETS
    return Value(element, length, media)


def _stream(web: Web, one: Holding, value: Value, start: int, end: int) -> AsyncIterator[bytes]:
    return beside(_from_file(web, one, value, start, end))


def _from_file(web: Web, one: Holding, value: Value, start: int, end: int) -> Generator[bytes]:
    with opened(web.blobs, one, web.server.settings.dicom.max_object_bytes) as file:
        yield from _pieces(file, value.element, start, end)


def _pieces(file: Opened, element: Element, start: int, end: int) -> Iterator[bytes]:
    """Yield bytes of a value in little endian; pieces begin with a word of it."""
    size = 1 if element.little else word(element.vr)
    place = start - start % size
    while place < end:
        stop = min(place + PIECE, element.end - element.start)
        raw = file.read(element.start + place, element.start + stop)
        yield little_endian(raw, element)[max(0, start - place) : end - place]
        place = stop
