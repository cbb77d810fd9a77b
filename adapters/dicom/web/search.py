"""QIDO-RS: searches for studies, series and instances, answered from the index.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_10.6
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from adapters.dicom.dataset.identifier import UNICODE, tag_of, vr_of
from adapters.dicom.dataset.levels import Level
from adapters.dicom.query.answers import Record, record
from adapters.dicom.query.statement import Statement, matches
from adapters.dicom.web import access, auditing, model, qido
from adapters.dicom.web.metadata import XML, form
from adapters.dicom.web.model import Json
from adapters.dicom.web.multipart import Multipart
from adapters.dicom.web.native import native
from adapters.dicom.web.qido import IF_KNOWN, OF_PATIENT, Rules, Search
from adapters.dicom.web.service import SERIES, STUDY, Place, Web, place, route
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, TooLarge, Unavailable

MORE: Final = "There are additional results that can be requested"

_NO_CONTENT = 204
_MAX_FIELDS = 200

Row = Sequence[Any]


def routes(web: Web) -> list[Route]:
    """Return the paths of searches."""
    paths = {
        "/studies": Level.STUDY,
        "/series": Level.SERIES,
        "/instances": Level.IMAGE,
        f"{STUDY}/series": Level.SERIES,
        f"{STUDY}/instances": Level.IMAGE,
        f"{SERIES}/instances": Level.IMAGE,
    }
    return [route(web, path, partial(_search, level)) for path, level in paths.items()]


async def _search(level: Level, web: Web, request: Request) -> Response:
    media, where = form(request), place(request)
    asked = understood(web, level, where, request)
    found, more = await _found(web, request, where, asked)
    await auditing.searched(web, request, (one["StudyInstanceUID"][0] for one in found))
    results = [result(web, asked, one) for one in found]
    answer = _answer(media, results, web)
    for text in _warnings(asked, more=more):
        answer.headers.append("Warning", f"299 {web.base}: {text}")
    return answer


def understood(web: Web, level: Level, where: Place, request: Request) -> Search:
    """Return what a request searches for. Raises BadRequest."""
    try:
        pairs = parse_qsl(
            request.url.query,
            keep_blank_values=True,
            strict_parsing=bool(request.url.query),
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise BadRequest("The query cannot be read") from None
    above = {Level.STUDY: where.study, Level.SERIES: where.series}
    settings = web.settings
    rules = Rules(settings.limit, settings.max_limit, settings.unsupported_key == "error")
    return qido.search(level, {one: uid for one, uid in above.items() if uid}, pairs, rules)


async def _found(
    web: Web, request: Request, where: Place, asked: Search
) -> tuple[list[Record], bool]:
    """Return the results that the caller may know of, and whether there are more.

    Raises TooLarge when they cannot be found in time.
    """
    who = access.caller(request)
    # Else the numbers of a patient's studies would tell of those that are hidden.
    hidden = OF_PATIENT if who.rights.walls else frozenset[str]()
    try:
        async with web.server.database.connection() as connection:
            if where.study:
                await access.check(web.server, connection, who, where.study, access.SEARCH)
            wall = await access.wall(web.server, connection, who, access.SEARCH)
            statement = matches(asked.level, asked.keys, asked.computed() - hidden, wall=wall)
            rows = await _rows(connection, paged(statement, asked.limit + 1, asked.offset))
    except Unavailable as error:
        if error.issues[0].code == "timeout":
            raise TooLarge("The search takes too long; ask for less") from error
        raise
    kept = [record(asked.level, row, statement.counted) for row in rows[: asked.limit]]
    await access.require_reached_all(web.server, who, [one["StudyInstanceUID"][0] for one in kept])
    return kept, len(rows) > asked.limit


def paged(statement: Statement, limit: int, offset: int) -> Statement:
    """Return the statement for some of its rows."""
    values = (*statement.values, limit, offset)
    return Statement(f"{statement.sql} LIMIT %s OFFSET %s", values, statement.counted)


async def _rows(connection: Connection, statement: Statement) -> list[Row]:
    # Each search is planned for its own values (fhir_server/database.py).
    cursor = await connection.execute(statement.sql, statement.values, prepare=False)
    return list(await cursor.fetchall())


def result(web: Web, asked: Search, found: Record) -> Json:
    """Return a result in the JSON model: the fields asked for, empty where nothing is known."""
    whole = {**found, "InstanceAvailability": ["ONLINE"], "RetrieveURL": [_url(web, found)]}
    wanted = asked.fields | (set(found) if asked.whole else set()) | {"RetrieveURL"}
    fields = {name: values for name, values in whole.items() if name in wanted and values}
    made = model.record(fields)
    for name in wanted - set(fields) - IF_KNOWN:
        tag = tag_of(name)
        made[f"{tag:08X}"] = {"vr": vr_of(tag)}
    made["00080005"] = {"vr": "CS", "Value": [UNICODE]}
    return dict(sorted(made.items()))


def _url(web: Web, found: Record) -> str:
    names = (
        ("studies", "StudyInstanceUID"),
        ("series", "SeriesInstanceUID"),
        ("instances", "SOPInstanceUID"),
    )
    parts = [f"/{kind}/{found[name][0]}" for kind, name in names if name in found]
    return web.base + "".join(parts)


def _warnings(asked: Search, *, more: bool) -> Iterator[str]:
    if more:
        yield MORE
    if asked.ignored:
        yield f"These attributes are not matched: {', '.join(asked.ignored)}"


def _answer(media: str, results: Sequence[Json], web: Web) -> Response:
    if not results and web.settings.empty_status == _NO_CONTENT:
        return Response(status_code=_NO_CONTENT)
    if media != XML:
        return Response(msgspec.json.encode(results), media_type=media)
    body = Multipart(XML)

    async def parts() -> AsyncIterator[bytes]:
        for number, one in enumerate(results):
            yield body.head(XML, first=not number) + native(one)
        yield body.end()

    return StreamingResponse(parts(), headers={"Content-Type": body.content_type})
