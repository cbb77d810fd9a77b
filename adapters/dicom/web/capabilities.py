"""What the service offers, and what it does not.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_8.9
https://www.w3.org/submissions/wadl/
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from xml.sax.saxutils import quoteattr

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from adapters.dicom.web.accept import chosen
from adapters.dicom.web.service import Web, route
from adapters.dicom.web.wado import ranges_of
from fhir_server.errors import NotAcceptable, NotBuilt

WADL: Final = "application/vnd.sun.wadl+xml"
JSON: Final = "application/json"

_OFFERED = ((WADL, False), (JSON, False))
_NAMESPACE = "http://wadl.dev.java.net/2009/02"
_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")
_WORKITEMS = (
    "/workitems",
    "/workitems/{workitem}",
    "/workitems/{workitem}/{rest:path}",
)
_METHODS = ("GET", "POST", "PUT", "DELETE")

Offer = Mapping[str, Sequence[str]]
"""The methods of each path."""


def routes(web: Web) -> list[Route]:
    """Return the paths of worklists, which are not built."""
    return [route(web, path, _workitems, *_METHODS) for path in _WORKITEMS]


async def _workitems(_: Web, __: Request) -> Response:
    raise NotBuilt("Unified Procedure Steps are not offered")


def described(web: Web, parts: Sequence[Route]) -> list[Route]:
    """Return the paths that tell of all others: OPTIONS on each, and `/capabilities`."""
    offer: dict[str, list[str]] = {}
    for one in parts:
        if not one.path.startswith(_WORKITEMS[0]):
            methods = offer.setdefault(one.path, [])
            methods += sorted((one.methods or set()) - set(methods))

    async def tell(_: Web, request: Request) -> Response:
        return _told(web, request, offer)

    async def options(_: Web, request: Request) -> Response:
        answer = _told(web, request, offer)
        own = offer.get(request.scope["route"].path, ["GET", "HEAD"])
        answer.headers["Allow"] = ", ".join(sorted({*own, "OPTIONS"}))
        return answer

    paths = ["/", "/capabilities", *offer]
    return [
        route(web, "/capabilities", tell),
        route(web, "/", tell),
        *(route(web, path, options, "OPTIONS") for path in paths),
    ]


def _told(web: Web, request: Request, offer: Offer) -> Response:
    media = chosen(ranges_of(request), _OFFERED)
    if media is None:
        raise NotAcceptable(f"Capabilities are {WADL} or {JSON}")
    if media[0] == JSON:
        listed = [{"path": path, "methods": list(methods)} for path, methods in offer.items()]
        return JSONResponse({"base": web.base, "resources": listed})
    return Response(wadl(web.base, offer), media_type=WADL)


def wadl(base: str, offer: Offer) -> str:
    """Return the description of the paths as a WADL document."""
    resources = "".join(_resource(path, methods) for path, methods in offer.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<application xmlns="{_NAMESPACE}"><resources base={quoteattr(base)}>'
        f"{resources}</resources></application>"
    )


def _resource(path: str, methods: Sequence[str]) -> str:
    names = _PARAMETER.findall(path)
    parameters = "".join(f'<param name="{name}" style="template"/>' for name in names)
    offered = "".join(f'<method name="{method}"/>' for method in methods)
    plain = _PARAMETER.sub(r"{\1}", path)
    return f"<resource path={quoteattr(plain)}>{parameters}{offered}</resource>"
