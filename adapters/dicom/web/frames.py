"""Frames of an image: slices of the stored bytes, or decoded.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_10.4.1.1.4
"""

import array
import asyncio
import zlib
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from adapters.dicom.dataset.elements import Broken
from adapters.dicom.pixels.request import Order, Picture
from adapters.dicom.web.frame_forms import Form, form
from adapters.dicom.web.holdings import Holding, held
from adapters.dicom.web.layout import Encapsulated, Layout, Native, NoFrames, Span, layout
from adapters.dicom.web.model import swapped
from adapters.dicom.web.multipart import Multipart
from adapters.dicom.web.pieces import PIECE, beside
from adapters.dicom.web.service import INSTANCE, Web, route
from adapters.dicom.web.stored import Opened, opened
from adapters.dicom.web.wado import (
    NATIVE,
    caching,
    current,
    decodes,
    entity_tag,
    ranges_of,
    without_body,
)
from fhir_server.errors import BadRequest, NotAcceptable, NotFound, TooLarge

MOST_LISTED: Final = 10_000
"""Frames of one request."""

# Tables of more frames are read from the database each time they are needed.
_FEW: Final = 100
_LAYOUTS: Final = 1_000
_TRIPLE: Final = 3

_FIND = "SELECT spans FROM dicom_frames WHERE blob = %s"
_KEEP = "INSERT INTO dicom_frames (blob, spans) VALUES (%s, %s) ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The frames of a request, by number, and where they lie."""

    one: Holding
    layout: Layout
    numbers: tuple[int, ...]


def routes(web: Web) -> list[Route]:
    """Return the paths of frames; without numbers they are all, which bulk data links to."""
    return [
        route(web, f"{INSTANCE}/frames", frames),
        route(web, f"{INSTANCE}/frames/{{frames}}", frames),
    ]


async def frames(web: Web, request: Request) -> Response:
    """Answer with frames in the order in which they are asked for."""
    asked = listed(request.path_params.get("frames"))
    [one] = await held(web, request)
    where = await layout_of(web, one)
    there = count(where)
    if asked is None and there > MOST_LISTED:
        raise TooLarge(f"A request has at most {MOST_LISTED} frames; ask for them by number")
    numbers = tuple(asked or range(1, there + 1))
    valid = tuple(number for number in numbers if has(where, number))
    if not valid:
        raise NotFound("The instance has no such frame")
    chosen = form(
        ranges_of(request),
        one.transfer_syntax_uid,
        coded=isinstance(where, Encapsulated),
        decodes=decodes(one.transfer_syntax_uid),
        alone=len(valid) == 1 and asked is not None,
    )
    if chosen is None:
        raise NotAcceptable("The frames cannot be had in a form that is acceptable")
    tag = entity_tag([[one.blob, chosen.content_type, *map(str, valid)]])
    if current(request, tag):
        return Response(status_code=304, headers=caching(tag))
    headers = caching(tag)
    if len(valid) < len(numbers):
        headers["Warning"] = f"299 {web.base}: Some of the frames do not exist"
    return await _answer(web, request, Wanted(one, where, valid), chosen, headers)


def listed(text: str | None) -> list[int] | None:
    """Return the numbers of a list, None where there is none. Raises BadRequest."""
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):  # noqa: PLR2004  (an IS holds no more)
        raise BadRequest("Frames are numbers from 1 on, with commas between them")
    if len(parts) > MOST_LISTED:
        raise BadRequest(f"A request has at most {MOST_LISTED} frames")
    return [int(part) for part in parts]


async def _answer(
    web: Web, request: Request, wanted: Wanted, chosen: Form, headers: dict[str, str]
) -> Response:
    body = Multipart(chosen.media) if chosen.multipart else None
    headers["Content-Type"] = body.content_type if body else chosen.content_type
    if request.method == "HEAD":
        return without_body(headers)
    plain = isinstance(wanted.layout, Native) or chosen.syntax == wanted.one.transfer_syntax_uid
    pieces = stored(web, wanted) if plain else decoded(web, wanted)
    # What cannot be read or decoded is refused before the answer begins.
    first = await anext(pieces)
    return StreamingResponse(_body(web, wanted, chosen, body, first, pieces), headers=headers)


Piece = tuple[int, bytes]
"""A piece of the frame that stands at this place in the request."""


async def _body(
    web: Web,
    wanted: Wanted,
    chosen: Form,
    body: Multipart | None,
    first: Piece,
    rest: AsyncIterator[Piece],
) -> AsyncIterator[bytes]:
    if body is None:
        yield first[1]
        async for _, piece in rest:
            yield piece
        return
    at = -1
    async for place, piece in _again(first, rest):
        head = b""
        while at < place:
            at += 1
            location = f"{web.base}{wanted.one.path}/frames/{wanted.numbers[at]}"
            head += body.head(chosen.content_type, location, first=not at)
        yield head + piece
    yield body.end()


async def _again(first: Piece, rest: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    yield first
    async for one in rest:
        yield one


def stored(web: Web, wanted: Wanted) -> AsyncIterator[Piece]:
    """Return frames from the file, in pieces of a bounded size."""
    return beside(_from_file(web, wanted))


def _from_file(web: Web, wanted: Wanted) -> Generator[Piece]:
    most = web.server.settings.dicom.max_object_bytes
    with opened(web.blobs, wanted.one, most) as file:
        for place, number in enumerate(wanted.numbers):
            for piece in _pieces(file, wanted.layout, number):
                yield place, piece


def _pieces(file: Opened, where: Layout, number: int) -> Iterator[bytes]:
    if isinstance(where, Encapsulated):
        for start, end in where.frames[number - 1]:
            yield from _read(file, start, end)
        return
    found = where.span(number)
    assert found is not None, "a frame vanished"
    (start, end), shift = found
    if where.little or where.word == 1:
        if not shift and where.bits % 8 == 0:
            yield from _read(file, start, end)
            return
        yield where.frame(file.read(start, end), shift)
        return
    # Words begin at the start of the value; an odd frame begins inside of one.
    before = (start - where.start) % where.word
    turned = swapped(file.read(start - before, end + where.word), where.word)
    yield turned[before : before + end - start]


def _read(file: Opened, start: int, end: int) -> Iterator[bytes]:
    for place in range(start, end, PIECE):
        yield file.read(place, min(place + PIECE, end))


async def decoded(web: Web, wanted: Wanted) -> AsyncIterator[Piece]:
    """Yield frames uncompressed, each decoded in a process of its own."""
    one = wanted.one
    stored = await asyncio.to_thread(web.blobs.stored, one.blob)
    for place, number in enumerate(wanted.numbers):
        order = Order(
            offset=one.offset,
            syntax=one.transfer_syntax_uid,
            frame=number - 1,
            picture=Picture(),
            raw=True,
        )
        yield place, (await web.pool.render(order, stored)).content


def count(where: Layout) -> int:
    """Return how many frames there are."""
    return where.count if isinstance(where, Native) else len(where.frames)


def has(where: Layout, number: int) -> bool:
    """Return whether all bytes of a frame are there, the first being 1."""
    if isinstance(where, Native):
        return where.span(number) is not None
    return 1 <= number <= len(where.frames)


async def layout_of(web: Web, one: Holding) -> Layout:
    """Return where the frames of an instance lie, as it was found before if it was.

    Raises NotFound when it has none.
    """
    known = web.layouts.get(one.blob)
    if known is None:
        coded = one.transfer_syntax_uid not in NATIVE
        known = (await _kept(web, one) if coded else None) or await _made(web, one)
        if isinstance(known, Native) or len(known.frames) <= _FEW:
            if len(web.layouts) >= _LAYOUTS:
                web.layouts.pop(next(iter(web.layouts)))
            web.layouts[one.blob] = known
    return known


async def _made(web: Web, one: Holding) -> Layout:
    try:
        found = await asyncio.to_thread(_looked, web, one)
    except NoFrames as error:
        raise NotFound(str(error)) from None
    except Broken:
        raise NotFound("The data set cannot be read") from None
    if isinstance(found, Encapsulated) and len(found.frames) > 1:
        async with web.server.database.statement() as connection:
            await connection.execute(_KEEP, (bytes.fromhex(one.blob), packed(found)))
    return found


def _looked(web: Web, one: Holding) -> Layout:
    most = web.server.settings.dicom.max_object_bytes
    with opened(web.blobs, one, most) as file, file.data() as data:
        return layout(data, file.encoding, file.read, one.transfer_syntax_uid)


async def _kept(web: Web, one: Holding) -> Layout | None:
    async with web.server.database.connection() as connection:
        row = await (await connection.execute(_FIND, (bytes.fromhex(one.blob),))).fetchone()
    return unpacked(row[0]) if row else None


def packed(found: Encapsulated) -> bytes:
    """Return where frames lie as it is kept."""
    triples = array.array(
        "q",
        (
            value
            for number, spans in enumerate(found.frames)
            for span in spans
            for value in (number, *span)
        ),
    )
    return zlib.compress(triples.tobytes(), 1)


def unpacked(raw: bytes) -> Encapsulated:
    """Return where frames lie from what `packed` made."""
    values = array.array("q")
    values.frombytes(zlib.decompress(raw))
    frames: list[list[Span]] = []
    for at in range(0, len(values), _TRIPLE):
        number, start, end = values[at : at + _TRIPLE]
        if number == len(frames):
            frames.append([])
        frames[number].append((start, end))
    return Encapsulated(tuple(tuple(spans) for spans in frames))
