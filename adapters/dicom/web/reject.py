"""DELETE: what a study, a series or an instance holds is rejected, and stays on disk.

Our extension of DICOMweb; docs/dicom-studies.md says what follows.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.dicom.dataset.rejections import QUALITY
from adapters.dicom.studies import audit
from adapters.dicom.studies.rejection import Target, reject
from adapters.dicom.web import access
from adapters.dicom.web.auditing import actor
from adapters.dicom.web.service import LEVELS, Web, place, route

_NO_CONTENT = 204


def routes(web: Web) -> list[Route]:
    """Return the paths that can be deleted."""
    return [route(web, path, delete, "DELETE") for path in LEVELS]


async def delete(web: Web, request: Request) -> Response:
    """Reject what the path names, for the reason `code` (PS3.16, CID 7011)."""
    where, who = place(request), access.caller(request)
    code = request.query_params.get("code", QUALITY)
    target = Target(where.study, where.series or None, where.instance or None)
    async with web.server.database.transaction() as connection:
        await access.check_change(web.server, connection, who, where.study)
        await reject(connection, target, code, who.name)
        by = actor(request)
        await audit.record(
            *(web.server, connection, where.study, by, audit.CHANGED, "reject"), user=who.user
        )
    return Response(status_code=_NO_CONTENT)
