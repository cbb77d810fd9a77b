"""Metadata: data sets without their long values, in JSON or XML.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_10.4.1.1.2
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from adapters.dicom.dataset.elements import Broken
from adapters.dicom.dataset.identifier import UNICODE
from adapters.dicom.dataset.tree import before_pixels
from adapters.dicom.studies import output
from adapters.dicom.web import kept
from adapters.dicom.web.accept import chosen
from adapters.dicom.web.holdings import Holding, held
from adapters.dicom.web.layout import pixel_data
from adapters.dicom.web.model import Json, Links, corrected, data_set, record
from adapters.dicom.web.multipart import Multipart
from adapters.dicom.web.native import native
from adapters.dicom.web.service import LEVELS, Web, route
from adapters.dicom.web.stored import opened
from adapters.dicom.web.wado import caching, current, entity_tag, ranges_of, without_body
from fhir_server.errors import NotAcceptable

log = logging.getLogger(__name__)

JSON: Final = "application/dicom+json"
XML: Final = "application/dicom+xml"
OFFERED: Final = ((JSON, False), ("application/json", False), (XML, True))
"""What metadata and results of searches are offered as."""

_AT_ONCE = 20


def routes(web: Web) -> list[Route]:
    """Return the paths of metadata."""
    return [route(web, f"{path}/metadata", metadata) for path in LEVELS]


def form(request: Request) -> str:
    """Return the media type in which the request wants data sets. Raises NotAcceptable."""
    found = chosen(ranges_of(request), OFFERED)
    if found is None:
        raise NotAcceptable(f"This is {JSON}, or multipart/related of {XML}")
    return found[0]


async def metadata(web: Web, request: Request) -> Response:
    """Answer with the metadata of all instances of a study or series, or of one."""
    found = await held(web, request)
    media = form(request)
    series = [list(group) for _, group in groupby(found, key=lambda one: one.series)]
    marks = [kept.fingerprint(web, group) for group in series]
    tag = entity_tag([[media], *([mark.hex()] for mark in marks)])
    if current(request, tag):
        return Response(status_code=304, headers=caching(tag))
    headers = caching(tag)
    if media == XML:
        body = Multipart(XML)
        headers["Content-Type"] = body.content_type
        return _answer(request, _as_xml(web, body, found), headers)
    headers["Content-Type"] = media
    if len(series) == 1 and "instance" not in request.path_params:
        packed = await kept.packed(web, series[0], marks[0])
        if packed and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            headers["Vary"] = "Accept, Accept-Encoding"
            return Response(packed, headers=headers)
    whole = "instance" not in request.path_params
    return _answer(request, _as_json(web, series, marks if whole else []), headers)


def _answer(request: Request, pieces: AsyncIterator[bytes], headers: dict[str, str]) -> Response:
    if request.method == "HEAD":
        return without_body(headers)
    return StreamingResponse(pieces, headers=headers)


async def _as_json(
    web: Web, series: Sequence[Sequence[Holding]], marks: Sequence[bytes]
) -> AsyncIterator[bytes]:
    """Yield an array; what was made of a whole series is kept where the series is at rest."""
    separator = b"["
    for place, group in enumerate(series):
        mark = marks[place] if marks else None
        known = await kept.plain(web, group, mark) if mark else None
        if known is not None:
            yield separator + known
            separator = b","
            continue
        made: list[bytes] = []
        there = True
        for at in range(0, len(group), _AT_ONCE):
            some, read = await asyncio.to_thread(_encoded, web, group[at : at + _AT_ONCE])
            made.append(some)
            there = there and read
            yield separator + some
            separator = b","
        if mark and there:
            await kept.keep(web, group, mark, b",".join(made))
    yield b"]"


def _encoded(web: Web, group: Sequence[Holding]) -> tuple[bytes, bool]:
    """Return instances of an array, and whether the archive had the files of all."""
    found = [shown(web, one) for one in group]
    return b",".join(msgspec.json.encode(one) for one, _ in found), all(read for _, read in found)


async def _as_xml(web: Web, body: Multipart, several: Sequence[Holding]) -> AsyncIterator[bytes]:
    for place, one in enumerate(several):
        found, _ = await asyncio.to_thread(shown, web, one)
        head = body.head(XML, f"{web.base}{one.path}/metadata", first=not place)
        yield head + native(found)
    yield body.end()


def shown(web: Web, one: Holding) -> tuple[Json, bool]:
    """Return the metadata of an instance in the JSON model, and whether its file was there.

    Of one that is away, or cannot be parsed, there is what the index knows of it.
    """
    there = True
    links = Links(web.base + one.path, web.settings.bulk_threshold)
    try:
        most = web.server.settings.dicom.max_object_bytes
        with opened(web.blobs, one, most) as file, file.data() as data:
            before = before_pixels(data, file.encoding)
            pixels = pixel_data(data, before)
            found = before.found if pixels is None else {**before.found, pixels.tag: pixels}
            made = data_set(data, found, links)
    except (Broken, OSError) as error:
        there = isinstance(error, Broken)
        log.warning("metadata of %s could not be read: %s", one.instance, type(error).__name__)
        made = {"00080005": {"vr": "CS", "Value": [UNICODE]}, **record(_known(one))}
    if one.overlay:
        made = corrected(made, one.overlay.values, output.said(one.overlay))
    made["00083002"] = {"vr": "UI", "Value": [one.transfer_syntax_uid]}
    return dict(sorted(made.items())), there


def _known(one: Holding) -> dict[str, list[Any]]:
    return {
        "SOPClassUID": [one.sop_class_uid],
        "SOPInstanceUID": [one.instance],
        "StudyInstanceUID": [one.study],
        "SeriesInstanceUID": [one.series],
    }
