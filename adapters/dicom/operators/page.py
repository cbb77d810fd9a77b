"""The page for a person: one document, its script and its style."""

from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_FILES: Final = {
    "": ("page.html", "text/html"),
    "page.js": ("page.js", "text/javascript"),
    "page.css": ("page.css", "text/css"),
}


def router() -> APIRouter:
    """Return the routes of the page."""
    found = APIRouter(include_in_schema=False)
    for path, (name, media_type) in _FILES.items():
        found.add_api_route(f"/{path}", _serving(name, media_type), response_class=Response)
    return found


def _serving(name: str, media_type: str) -> Callable[[], Awaitable[Response]]:
    content = (files("adapters.dicom.operators") / "assets" / name).read_bytes()

    async def serve() -> Response:
        return Response(content, media_type=media_type, headers=_HEADERS)

    return serve
