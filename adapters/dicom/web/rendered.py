"""Pictures of what is stored: rendered resources and thumbnails.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_10.4.1.1.3
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from adapters.dicom.pixels import papers, parameters
from adapters.dicom.pixels.metrics import not_shown, render_seconds, thumbnails
from adapters.dicom.pixels.pool import Pool
from adapters.dicom.pixels.refusals import NoFrame, NoPixels, NotShown
from adapters.dicom.pixels.request import MEDIA_TYPES, Answer, Format, Order, Picture
from adapters.dicom.studies import overlay
from adapters.dicom.web.accept import chosen
from adapters.dicom.web.frames import listed
from adapters.dicom.web.holdings import Holding, held
from adapters.dicom.web.multipart import Multipart
from adapters.dicom.web.service import INSTANCE, LEVELS, Web, route
from adapters.dicom.web.wado import caching, current, entity_tag, ranges_of
from fhir_server.errors import NotAcceptable, NotFound, SangamError
from terminology.recent import Recent

_TYPES: Final[dict[str, str]] = {
    name: media for types in (MEDIA_TYPES, papers.MEDIA_TYPES) for name, media in types.items()
}
# What a document says is its author's: it runs nothing, and a PDF is not opened in our name.
_PAPER: Final[dict[Format, dict[str, str]]] = {
    "pdf": {"Content-Disposition": 'attachment; filename="document.pdf"'},
    "html": {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    },
}
_TRIED: Final = 16

Drawn = tuple[Holding, int | None]
"""What to draw: an instance, and the index of a frame or None for what stands for it."""


@dataclass(frozen=True, slots=True)
class Studio:
    """What makes pictures: the service, processes, and the thumbnails made of late."""

    web: Web
    pool: Pool
    kept: Recent[tuple[str, str], Answer]

    async def draw(self, one: Holding, frame: int | None, picture: Picture) -> Answer:
        """Return a picture; the refusals of `pixels.refusals` where there can be none."""
        stored = await asyncio.to_thread(self.web.blobs.stored, one.blob)
        syntax = one.transfer_syntax_uid
        order = Order(
            offset=one.offset,
            syntax=syntax,
            frame=frame,
            picture=picture,
            overlay=overlay.as_json(one.overlay),
        )
        with render_seconds.time():
            try:
                return await self.pool.render(order, stored)
            except SangamError as error:
                not_shown.labels(syntax, type(error).__name__).inc()
                raise


Handler = Callable[[Studio, Request], Awaitable[Response]]


def routes(web: Web) -> list[Route]:
    """Return the routes of rendered resources and thumbnails."""
    settings = web.server.settings.dicom.render
    studio = Studio(web, web.pool, Recent(settings.thumbnail_bytes))

    def here(path: str, handler: Handler) -> Route:
        return route(web, path, lambda _, request: handler(studio, request))

    return [
        *(here(f"{level}/rendered", _rendered) for level in LEVELS),
        here(f"{INSTANCE}/frames/{{frames}}/rendered", _rendered),
        *(here(f"{level}/thumbnail", _thumbnail) for level in LEVELS),
        here(f"{INSTANCE}/frames/{{frames}}/thumbnail", _thumbnail),
    ]


async def _rendered(studio: Studio, request: Request) -> Response:
    found = await held(studio.web, request)
    alone = "instance" in request.path_params
    frames = _frames(request)
    format_, multipart = _format(request, found[0] if alone and frames == [None] else None)
    picture = _picture(studio, request, format_)
    wanted = [(one, frame) for one in found for frame in frames]
    if alone and len(frames) == 1 and not multipart:
        return await _single(studio, request, wanted[0], picture)
    return await _several(studio, wanted, picture)


async def _single(studio: Studio, request: Request, drawn: Drawn, picture: Picture) -> Response:
    one, frame = drawn
    headers = caching(_tag(one, str(request.url.query), picture.format, frame))
    if current(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return _answer(await studio.draw(one, frame, picture), picture.format, headers)


async def _several(studio: Studio, wanted: Sequence[Drawn], picture: Picture) -> Response:
    """Answer with a part for each that has a picture.

    The first is made before the answer begins, so that a refusal is one.
    """
    body = Multipart(_TYPES[picture.format])
    pictures = _pictures(studio, wanted, picture)
    first = await anext(pictures)

    async def parts() -> AsyncIterator[bytes]:
        location, answer = first
        yield body.head(body.media, location, first=True) + answer.content
        async for location, answer in pictures:
            yield body.head(body.media, location) + answer.content
        yield body.end()

    headers = {"Cache-Control": "private"}
    return StreamingResponse(parts(), headers=headers, media_type=body.content_type)


async def _pictures(
    studio: Studio, wanted: Sequence[Drawn], picture: Picture
) -> AsyncIterator[tuple[str, Answer]]:
    """Yield the pictures that there are; without any, the first refusal is raised."""
    refusal, drawn = None, 0
    for one, frame in wanted:
        try:
            answer = await studio.draw(one, frame, picture)
        except (NoPixels, NoFrame, NotShown) as error:
            refusal = refusal or error
            continue
        drawn += 1
        part = "" if frame is None else f"/frames/{frame + 1}"
        yield f"{studio.web.base}{one.path}{part}/rendered", answer
    if refusal and not drawn:
        raise refusal


async def _thumbnail(studio: Studio, request: Request) -> Response:
    found = await held(studio.web, request)
    frames = _frames(request)
    if len(frames) > 1:
        raise NotFound("A thumbnail is of one frame")
    format_, _ = _format(request, None)
    most = studio.web.server.settings.dicom.render.max_pixels
    asked = request.query_params.get("viewport")
    viewport = parameters.viewport(asked, most) if asked else parameters.THUMBNAIL
    picture = Picture(format=format_, viewport=viewport, most_pixels=most)
    for one in _candidates(found):
        headers = caching(_tag(one, asked or "", f"thumbnail {format_}", frames[0]))
        if current(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        try:
            answer = await _kept(studio, headers["ETag"], one, frames[0], picture)
        except (NoPixels, NotShown):
            if "instance" in request.path_params:
                raise
            continue
        return _answer(answer, format_, headers)
    raise NoPixels("Nothing of it has a picture")


async def _kept(
    studio: Studio, tag: str, one: Holding, frame: int | None, picture: Picture
) -> Answer:
    key = (one.instance, tag)
    found = studio.kept.get(key)
    thumbnails.labels("no" if found is None else "yes").inc()
    if found is None:
        found = await studio.draw(one, frame, picture)
        studio.kept.put(key, found, len(found.content))
    return found


def _candidates(found: Sequence[Holding]) -> list[Holding]:
    """Return what may stand for them: the middle instance of each series, then its ends."""
    series = [list(of) for _, of in groupby(found, lambda one: one.series)]
    looked_at = [of for of in series if not papers.paper(of[0].sop_class_uid)]
    middle = [of[len(of) // 2] for of in looked_at]
    ends = [one for of in looked_at for one in (of[0], of[-1]) if one not in middle]
    return [*middle, *ends][:_TRIED]


def _frames(request: Request) -> list[int | None]:
    asked = listed(request.path_params.get("frames"))
    return [None] if asked is None else [number - 1 for number in asked]


def _format(request: Request, alone: Holding | None) -> tuple[Format, bool]:
    """Return the format, and whether several parts are wanted. `alone`: the only instance."""
    own = papers.paper(alone.sop_class_uid) if alone else None
    formats: dict[str, Format] = {_TYPES[one]: one for one in ([own] if own else MEDIA_TYPES)}
    offered = [(media, several) for several in (False, True) for media in formats]
    best = chosen(ranges_of(request), offered)
    if best is None:
        raise NotAcceptable(f"What is offered is {', '.join(formats)}")
    return formats[best[0]], best[1]


def _picture(studio: Studio, request: Request, format_: Format) -> Picture:
    settings = studio.web.server.settings.dicom.render
    return parameters.picture(
        request.query_params,
        format_,
        most_pixels=settings.max_pixels,
        overlays=settings.overlays,
        font=settings.font,
    )


def _answer(answer: Answer, format_: Format, headers: dict[str, str]) -> Response:
    if answer.burned_in:
        headers = {**headers, "X-Burned-In-Annotation": "YES"}
    headers = {**headers, **_PAPER.get(format_, {})}
    return Response(answer.content, headers=headers, media_type=_TYPES[format_])


def _tag(one: Holding, *said: object) -> str:
    return entity_tag([(*one.version, repr(said))])
