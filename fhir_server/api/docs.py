"""The OpenAPI document and the page that shows it; nothing of it comes from elsewhere.

https://spec.openapis.org/oas/v3.1.1.html
"""

import asyncio
import base64
import gzip
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files

import msgspec
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from fhir_server.api import rest
from fhir_server.api.encoding import takes_gzip
from fhir_server.api.openapi import Node, as_3_0, document, stored_types
from fhir_server.identity.doors import Door, marked
from fhir_server.interactions.capabilities import capabilities
from fhir_server.server import Server

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
_JSON = "application/json"
DIALECTS: Mapping[str, Callable[[Node], Node]] = {"3.1": lambda found: found, "3.0": as_3_0}
# Swagger UI: types are folded, the list of 800 schemas is left out, and requests
# show how long they took.
_PAGE = {
    "docExpansion": "none",
    "defaultModelsExpandDepth": -1,
    "defaultModelExpandDepth": 2,
    "displayRequestDuration": True,
    "filter": True,
    "deepLinking": True,
    "tryItOutEnabled": True,
}
# On a phone the link beside a type's name goes below it.
_NARROW = b"""<style>@media (max-width: 600px) {
.swagger-ui .opblock-tag { flex-wrap: wrap; overflow-wrap: anywhere }
.swagger-ui .opblock-tag small { padding: 0 }
}</style>"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A document as it is sent, and the tag of the capabilities that it tells of."""

    etag: str
    packed: bytes


def routes(server: Server) -> Sequence[Route]:
    """Return `/openapi.json`, `/docs` and what the page is made of; `/` leads to the page."""
    kept: dict[str, Kept] = {}

    async def openapi(request: Request) -> Response:
        """Answer with the document in OpenAPI 3.1, or for `version=3.0` in 3.0."""
        dialect = request.query_params.get("version", "3.1")
        if dialect not in DIALECTS:
            text = f"version is one of {', '.join(DIALECTS)}"
            return JSONResponse({"detail": text}, status_code=400)
        etag = capabilities(server, rest.ROUTED).etag
        found = kept.get(dialect)
        if found is None or found.etag != etag:
            packed = await asyncio.to_thread(_packed, server, DIALECTS[dialect])
            found = kept[dialect] = Kept(etag, packed)
        return _sent(request, found)

    found = [
        Route("/", _root),
        Route("/docs", _page),
        Route("/docs/{name}", _asset),
        Route("/openapi.json", openapi),
    ]
    return marked(found, Door("", session=True))


def _packed(server: Server, dialect: Callable[[Node], Node]) -> bytes:
    whole = document(server, rest.ROUTES, stored_types(server), rest.ROOT)
    return gzip.compress(msgspec.json.encode(dialect(whole)), 6, mtime=0)


def _sent(request: Request, kept: Kept) -> Response:
    headers = {"ETag": kept.etag, "Vary": "Accept-Encoding", "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == kept.etag:
        return Response(status_code=304, headers=headers)
    if not takes_gzip(request.headers.get("accept-encoding", "").encode("latin-1")):
        return Response(gzip.decompress(kept.packed), media_type=_JSON, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(kept.packed, media_type=_JSON, headers=headers)


async def _root(_: Request) -> Response:
    return RedirectResponse("docs")


async def _page(_: Request) -> Response:
    """Answer with the page, which reads OpenAPI 3.0: of 3.1 each fold would take it seconds."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json?version=3.0",
        title="Sangam FHIR R4 API",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon-32x32.png",
        swagger_ui_parameters=_PAGE,
    )
    whole = bytes(page.body).replace(b"</head>", _NARROW + b"</head>")
    return HTMLResponse(whole, headers={"Content-Security-Policy": _policy(whole)})


def _policy(page: bytes) -> str:
    """Return the policy of a page: its own script, and what this server sends, alone."""
    script = page.rpartition(b"<script>")[2].partition(b"</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self' "
        "'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


async def _asset(request: Request) -> Response:
    """Answer with a file of Swagger UI, from the package that carries it."""
    name = request.path_params["name"]
    if name not in _ASSETS:
        return Response(status_code=404)
    etag = f'"{version("fastapi-swagger")}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    content = (files("fastapi_swagger.resources") / name).read_bytes()
    return Response(content, media_type=_ASSETS[name], headers={"ETag": etag})
