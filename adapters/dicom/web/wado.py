"""Instances as they are stored, or in another transfer syntax.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_10.4
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pydicom.pixels.decoders.base import get_decoder
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from adapters.dicom.dataset.filemeta import file_meta
from adapters.dicom.dataset.syntaxes import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
)
from adapters.dicom.pixels import whole
from adapters.dicom.query.transcode import MOST_BYTES, Undecodable
from adapters.dicom.studies import output
from adapters.dicom.studies.overlay import Overlay
from adapters.dicom.web.accept import ANY, STORED, Range, accepted, chosen
from adapters.dicom.web.holdings import Holding, held
from adapters.dicom.web.multipart import Multipart
from adapters.dicom.web.pieces import beside, file_pieces
from adapters.dicom.web.service import LEVELS, Web, route
from fhir_server.errors import NotAcceptable

log = logging.getLogger(__name__)

DICOM: Final = "application/dicom"
NATIVE: Final = frozenset((IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED))
_WRITTEN = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
_PREAMBLE = bytes(128)


@dataclass(frozen=True, slots=True)
class Going:
    """An instance on its way out, in this transfer syntax."""

    one: Holding
    syntax: str

    @property
    def stored(self) -> bool:
        """Return whether it goes as it is stored."""
        return self.syntax == self.one.transfer_syntax_uid

    @property
    def content_type(self) -> str:
        """Return the Content-Type of its part."""
        return f"{DICOM}; transfer-syntax={self.syntax}"


def routes(web: Web) -> list[Route]:
    """Return the paths of studies, series and instances."""
    return [route(web, path, retrieve) for path in LEVELS]


def ranges_of(request: Request) -> tuple[Range, ...]:
    """Return what the request accepts, by its query parameter or its header."""
    header = ",".join(request.headers.getlist("accept"))
    return accepted(header, request.query_params.get("accept"))


async def retrieve(web: Web, request: Request) -> Response:
    """Answer with the instances of a study, a series, or one."""
    found = await held(web, request)
    ranges = ranges_of(request)
    offered = [(DICOM, True)]
    if len(found) == 1 and "instance" in request.path_params:
        offered.append((DICOM, False))
    media = chosen(ranges, offered)
    if media is None:
        raise NotAcceptable("Instances are application/dicom, several of them multipart/related")
    going = await asyncio.to_thread(agreed, web, found, ranges, multipart=media[1])
    tag = entity_tag((*one.one.version, one.syntax) for one in going)
    if current(request, tag):
        return Response(status_code=304, headers=caching(tag))
    if media[1]:
        response = several(web, request, going, tag)
        if len(going) < len(found):
            left = len(found) - len(going)
            response.headers["Warning"] = f"299 {web.base}: {left} instances are not acceptable"
        return response
    return await single(web, request, going[0], tag)


def agreed(
    web: Web, found: Sequence[Holding], ranges: Sequence[Range], *, multipart: bool
) -> list[Going]:
    """Return in which transfer syntax each instance goes; those that cannot go are left out.

    NotAcceptable where none can.
    """
    wanted = wanted_syntaxes(ranges, multipart=multipart)
    going = [
        Going(one, syntax)
        for one in found
        if (syntax := _syntax(one, wanted, stored=web.settings.serve_stored_if_undecodable))
    ]
    if not going:
        raise NotAcceptable("No instance can be had in a transfer syntax that is acceptable")
    return going


def wanted_syntaxes(ranges: Sequence[Range], *, multipart: bool) -> list[str]:
    """Return the transfer syntaxes that the ranges ask for, the best first.

    A type without one means Explicit VR Little Endian, and everything as it is stored
    (PS3.18, 8.7.3.5.2).
    """
    wanted: list[str] = []
    for one in ranges:
        if one.quality and one.covers(DICOM, multipart=multipart):
            default = STORED if one.type == ANY else EXPLICIT_LITTLE
            wanted.append(one.transfer_syntax or default)
    return wanted


def _syntax(one: Holding, wanted: Sequence[str], *, stored: bool) -> str | None:
    own = one.transfer_syntax_uid
    for syntax in wanted:
        if syntax in {STORED, own} or (syntax in _WRITTEN and _transcodes(one)):
            return own if syntax == STORED else syntax
    return own if stored and set(_WRITTEN) & set(wanted) else None


def _transcodes(one: Holding) -> bool:
    return one.size <= MOST_BYTES and decodes(one.transfer_syntax_uid)


@lru_cache(maxsize=256)
def decodes(transfer_syntax: str) -> bool:
    """Return whether pixels in this transfer syntax can be had uncompressed."""
    if transfer_syntax in NATIVE:
        return True
    try:
        return bool(get_decoder(transfer_syntax).is_available)
    except NotImplementedError:
        return False


def several(web: Web, request: Request, going: Sequence[Going], tag: str) -> Response:
    """Return the answer with instances as parts, streamed."""
    body = Multipart(DICOM)
    headers = {**caching(tag), "Content-Type": body.content_type}
    length = _length(web, body, going)
    if length is not None:
        headers["Content-Length"] = str(length)
    if request.method == "HEAD":
        return without_body(headers)
    return StreamingResponse(_parts(web, body, going), headers=headers)


async def single(web: Web, request: Request, going: Going, tag: str) -> Response:
    """Return the answer that is one instance. NotAcceptable where it cannot be decoded."""
    data = b""
    if not going.stored:
        try:
            data = await written(web, going)
        except Undecodable:
            if not web.settings.serve_stored_if_undecodable:
                raise NotAcceptable("The instance cannot be decoded") from None
            going = Going(going.one, going.one.transfer_syntax_uid)
    headers = caching(tag)
    headers["Content-Type"] = going.content_type
    headers["Content-Disposition"] = f'attachment; filename="{going.one.instance}.dcm"'
    if data:
        return Response(data, headers=headers)
    length = _size(going)
    if length is not None:
        headers["Content-Length"] = str(length)
    if request.method == "HEAD":
        return without_body(headers)
    return StreamingResponse(_stored(web, going, b""), headers=headers)


def without_body(headers: dict[str, str], status: int = 200) -> Response:
    """Return the answer to HEAD, without a length that only GET finds out (RFC 9110, 8.6)."""
    response = Response(status_code=status, headers=headers)
    if "Content-Length" not in headers:
        del response.headers["Content-Length"]
    return response


def caching(tag: str) -> dict[str, str]:
    """Return the headers of what a client may keep, and asks after by its entity tag."""
    return {
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
    }


def entity_tag(parts: Iterable[Iterable[str]]) -> str:
    """Return the entity tag of what consists of these parts, in this order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update("\0".join(part).encode() + b"\1")
    return f'"{digest.hexdigest()[:32]}"'


def current(request: Request, tag: str) -> bool:
    """Return whether the client has this already (If-None-Match)."""
    given = [one.strip() for one in request.headers.get("if-none-match", "").split(",")]
    return "*" in given or tag in {one.removeprefix("W/") for one in given}


def _size(going: Going) -> int | None:
    """Return the bytes of the file, None where that is not known before it is written."""
    if not going.stored or going.one.overlay:
        return None
    return going.one.offset + going.one.size


def _length(web: Web, body: Multipart, going: Sequence[Going]) -> int | None:
    sizes = [_size(one) for one in going]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    heads = sum(len(_head(web, body, one, place)) for place, one in enumerate(going))
    return sum(known) + heads + len(body.end())


def _head(web: Web, body: Multipart, going: Going, place: int) -> bytes:
    return body.head(going.content_type, web.base + going.one.path, first=not place)


async def _parts(web: Web, body: Multipart, going: Sequence[Going]) -> AsyncIterator[bytes]:
    """Yield the whole body; what cannot be decoded after all goes as it is stored, or not."""
    for place, wanted in enumerate(going):
        one, data = wanted, b""
        if not one.stored:
            try:
                data = await written(web, one)
            except Undecodable:
                if not web.settings.serve_stored_if_undecodable:
                    continue
                one = Going(one.one, one.one.transfer_syntax_uid)
        # The first delimiter may lack its line break only if it is the first (RFC 2046).
        head = _head(web, body, one, place)
        if data:
            yield head
            yield data
            continue
        async for piece in _stored(web, one, head):
            yield piece
    yield body.end()


async def _stored(web: Web, going: Going, head: bytes) -> AsyncIterator[bytes]:
    """Yield the stored file behind `head`; its preamble is nobody's to see (PS3.10, 7.1)."""
    if going.one.overlay:
        async for piece in _corrected(web, going.one, going.one.overlay, head):
            yield piece
        return
    skip = 0
    if web.settings.zero_preamble:
        head, skip = head + _PREAMBLE, len(_PREAMBLE)
    end = going.one.offset + going.one.size
    async for piece in file_pieces(web.blobs, going.one.blob, skip, end, head):
        yield piece


async def _corrected(web: Web, one: Holding, overlay: Overlay, head: bytes) -> AsyncIterator[bytes]:
    """Yield a file as it is stored, but for what its study says otherwise."""
    yield head + file_meta(one.sop_class_uid, one.instance, one.transfer_syntax_uid)
    async for piece in beside(_with_overlay(web, one, overlay)):
        yield piece


def _with_overlay(web: Web, one: Holding, overlay: Overlay) -> Generator[bytes]:
    stored, syntax = web.blobs.stored(one.blob), one.transfer_syntax_uid
    yield from output.pieces(stored, one.offset, one.size, syntax, one.pixel_offset, overlay)


async def written(web: Web, going: Going) -> bytes:
    """Return the file of an instance in its transfer syntax. Raises Undecodable.

    Another process decodes it, as what is wrong in it may end that one.
    """
    one = going.one
    async with web.decoding:
        stored = await asyncio.to_thread(web.blobs.stored, one.blob)
        try:
            data = (await web.pool.render(whole.order(going.syntax), stored)).content
        except NotAcceptable as error:
            raise Undecodable(error.text) from None
        if one.overlay:
            data = await asyncio.to_thread(output.with_overlay, data, going.syntax, one.overlay)
    return file_meta(one.sop_class_uid, one.instance, going.syntax) + data
