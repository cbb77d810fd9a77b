"""WADO-URI: an instance, or its picture, named by query parameters, as older viewers ask.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#chapter_9
"""

from typing import Final
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from adapters.dicom.dataset.syntaxes import EXPLICIT_LITTLE
from adapters.dicom.web.accept import Range, accepted
from adapters.dicom.web.holdings import Holding, held_at
from adapters.dicom.web.service import Place, Web, check_uids, route
from adapters.dicom.web.wado import DICOM, agreed, caching, current, entity_tag, single
from fhir_server.errors import BadRequest, NotSupported

_SEE_OTHER: Final = 303
# What a picture is asked for by, here and there; of a window the centre comes first.
_WINDOW: Final = ("windowCenter", "windowWidth")
_SIZE: Final = ("columns", "rows")
_REGION: Final = "region"

_IS_PICTURE = """
SELECT attributes ? 'Rows' AND coalesce(attributes -> 'NumberOfFrames' ->> 0, '1') = '1'
FROM dicom_instance WHERE sop_instance_uid = %s
"""


def routes(web: Web) -> list[Route]:
    """Return the path of WADO-URI."""
    return [route(web, "/wado", wado)]


async def wado(web: Web, request: Request) -> Response:
    """Answer with the instance, or say where its picture is."""
    asked = request.query_params
    if asked.get("requestType") != "WADO":
        raise BadRequest("requestType is WADO", expression="requestType")
    [one] = await held_at(web, request, _place(asked))
    if asked.get("anonymize"):
        raise NotSupported("Instances are not anonymized here", expression="anonymize")
    ranges = accepted(asked.get("contentType", ""))
    if not await _wants_dicom(web, asked, ranges, one):
        return RedirectResponse(_picture(web, one, asked, ranges), _SEE_OTHER)
    syntax = asked.get("transferSyntax", EXPLICIT_LITTLE)
    [going] = agreed(web, [one], [Range(DICOM, transfer_syntax=syntax)], multipart=False)
    tag = entity_tag([(*one.version, going.syntax)])
    if current(request, tag):
        return Response(status_code=304, headers=caching(tag))
    return await single(web, request, going, tag)


def _place(asked: QueryParams) -> Place:
    uids = tuple(asked.get(name, "") for name in ("studyUID", "seriesUID", "objectUID"))
    if not all(uids):
        raise BadRequest("studyUID, seriesUID and objectUID are needed")
    check_uids(uids)
    return Place(*uids)


async def _wants_dicom(
    web: Web, asked: QueryParams, ranges: tuple[Range, ...], one: Holding
) -> bool:
    """Return whether the instance itself is wanted: said so, or no single picture (9.1.2.2.1)."""
    if asked.get("contentType"):
        return ranges[0].type == DICOM if ranges else False
    async with web.server.database.connection() as connection:
        row = await (await connection.execute(_IS_PICTURE, (one.instance,))).fetchone()
    return not (row and row[0])


def _picture(web: Web, one: Holding, asked: QueryParams, ranges: tuple[Range, ...]) -> str:
    """Return the URL of the rendered resource that shows the same."""
    wanted = {"accept": ",".join(each.type for each in ranges if each.quality)}
    if all(name in asked for name in _WINDOW):
        wanted["window"] = ",".join([*(asked[name] for name in _WINDOW), "linear"])
    if all(name in asked for name in _SIZE):
        wanted["viewport"] = ",".join(asked[name] for name in _SIZE)
    for here, there in (("imageQuality", "quality"), ("annotation", "annotation")):
        if here in asked:
            wanted[there] = asked[here]
    if _REGION in asked:
        raise NotSupported("A region is asked for by the viewport of /rendered", expression=_REGION)
    frame = f"/frames/{asked['frameNumber']}" if "frameNumber" in asked else ""
    if frame and not asked["frameNumber"].isdecimal():
        raise BadRequest("frameNumber is a number", expression="frameNumber")
    return f"{web.base}{one.path}{frame}/rendered?{urlencode(wanted)}"
