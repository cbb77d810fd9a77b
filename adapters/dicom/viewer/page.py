"""The list of studies and the viewer: two documents, their scripts and their styles.

A query as of Invoke Image Display opens a study too.
https://www.ihe.net/uploadedFiles/Documents/Radiology/IHE_RAD_Suppl_IID.pdf
"""

import hashlib
from collections.abc import Awaitable, Callable
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from adapters.dicom.address import VIEWER
from fhir_server.identity.doors import Door, marked
from fhir_server.server import Server

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; frame-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# The codecs of the worker are WebAssembly, whose glue is made at run time. A worker has no
# document and reaches only this server.
_WORKER_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'unsafe-eval'; connect-src 'self'"
)
_TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".wasm": "application/wasm",
    ".txt": "text/plain",
    ".svg": "image/svg+xml",
}
_WORKER: Final = ".worker.js"
_IID: Final = {"studyUID": "study", "accessionNumber": "AccessionNumber", "patientID": "PatientID"}


def routes(_: Server) -> list[Route]:
    """Return the pages at `/viewer`; with `study` in the query it is the viewer's."""
    assets = files("adapters.dicom.viewer") / "assets"
    found, viewer = _document(assets / "list.html"), _document(assets / "viewer.html")

    async def page(request: Request) -> Response:
        asked = _translated(request)
        if asked is not None:
            return RedirectResponse(f"{request.url.path}?{urlencode(asked)}", status_code=302)
        return viewer if request.query_params.get("study") else found

    found_at = [_asset(f"{VIEWER}/assets", one) for one in _within(assets)]
    return list(marked([Route(VIEWER, page), *found_at], Door("", session=True)))


def _translated(request: Request) -> list[tuple[str, str]] | None:
    """Return our query for one of Invoke Image Display; None when it is none."""
    if request.query_params.get("requestType") not in {"STUDY", "PATIENT"}:
        return None
    pairs = request.query_params.multi_items()
    return [(_IID[name], value) for name, value in pairs if name in _IID]


def _within(folder: Traversable, prefix: str = "") -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for one in folder.iterdir():
        name = f"{prefix}/{one.name}"
        found += _within(one, name) if one.is_dir() else [(name, one)]
    return sorted(found, key=lambda pair: pair[0])


def _asset(root: str, named: tuple[str, Traversable]) -> Route:
    name, source = named

    answer = _document(source)
    tag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    # Asked for each time, and sent once: a new release shows at once.
    known = {"ETag": tag, "Cache-Control": "private, no-cache"}
    answer.headers.update(known)

    async def serve(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=known)
        return answer

    serving: Callable[[Request], Awaitable[Response]] = serve
    return Route(root + name, serving)


def _document(source: Traversable) -> Response:
    headers = {
        "Content-Security-Policy": _WORKER_POLICY if source.name.endswith(_WORKER) else _POLICY,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    kind = _TYPES[source.name[source.name.rindex(".") :]]
    return Response(source.read_bytes(), headers=headers, media_type=kind)
