"""All paths of DICOMweb, under `/dicom-web`.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#chapter_10
"""

from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from adapters.dicom.address import PATH
from adapters.dicom.web import (
    bulkdata,
    capabilities,
    frames,
    metadata,
    reject,
    rendered,
    search,
    stow,
    uri,
    wado,
)
from adapters.dicom.web.refusal import refused
from adapters.dicom.web.service import Web, service
from fhir_server.identity.doors import Door, marked
from fhir_server.server import Server

PARTS: Sequence[Callable[[Web], Sequence[Route]]] = (
    wado.routes,
    metadata.routes,
    frames.routes,
    bulkdata.routes,
    search.routes,
    uri.routes,
    rendered.routes,
    stow.routes,
    reject.routes,
    capabilities.routes,
)
"""What has paths: a function of each module from the service to its routes."""


def routes(server: Server) -> list[Mount]:
    """Return DICOMweb of a server."""
    web = service(server)
    parts = [one for part in PARTS for one in part(web)]
    app = Starlette(
        routes=[*parts, *capabilities.described(web, parts)],
        exception_handlers={HTTPException: _no_such_path},
    )
    app.router.redirect_slashes = False
    return list(marked([Mount(PATH, app=app)], Door("", session=True, shared=True)))


async def _no_such_path(_: Request, error: Exception) -> Response:
    status, headers = 404, None
    if isinstance(error, HTTPException):
        status, headers = error.status_code, dict(error.headers or {})
    told = {404: "There is no such resource", 405: "The method has no meaning at this URL"}
    return refused(status, told.get(status, "The request is refused"), headers)
