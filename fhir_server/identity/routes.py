"""What the login and the authorization server answer, beside the FHIR base.

https://hl7.org/fhir/smart-app-launch/
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fhir_server.identity import (
    account_pages,
    app_pages,
    authorize_pages,
    doors,
    login_pages,
    oauth_endpoints,
    passkey_pages,
    review_pages,
    web,
)
from fhir_server.server import Server

_PAGES: Final[Mapping[tuple[str, str], web.Handler]] = {
    ("authorize", "GET"): authorize_pages.authorize,
    ("authorize", "POST"): authorize_pages.authorize,
    ("continue", "GET"): authorize_pages.go_on,
    ("continue", "POST"): authorize_pages.decide,
    ("login", "GET"): login_pages.show,
    ("login", "POST"): login_pages.submit,
    ("second-factor", "GET"): login_pages.start,
    ("second-factor", "POST"): login_pages.submit_code,
    ("passkey", "GET"): login_pages.start,
    ("passkey", "POST"): passkey_pages.submit,
    ("new-passkey", "GET"): login_pages.start,
    ("new-passkey", "POST"): passkey_pages.submit_new,
    ("enrol", "GET"): login_pages.start,
    ("enrol", "POST"): login_pages.submit_device,
    ("logout", "GET"): login_pages.start,
    ("logout", "POST"): login_pages.log_out,
    ("me", "GET"): account_pages.me,
    ("manage", "GET"): account_pages.show,
    ("manage", "POST"): account_pages.change,
    ("reviews", "GET"): review_pages.show,
    ("reviews", "POST"): review_pages.sign,
    ("apps", "GET"): app_pages.show,
    ("apps", "POST"): app_pages.open_app,
}
_CALLED: Final[Mapping[str, web.Handler]] = {
    "token": oauth_endpoints.token,
    "introspect": oauth_endpoints.introspect,
    "revoke": oauth_endpoints.revoke,
    "launch": app_pages.launch,
}
_READ: Final[Mapping[str, web.Handler]] = {
    "jwks": oauth_endpoints.jwks,
    "style.json": oauth_endpoints.style,
}
WELL_KNOWN: Final[Mapping[str, web.Handler]] = {
    "smart-configuration": oauth_endpoints.smart_configuration,
    "openid-configuration": oauth_endpoints.openid_configuration,
}
"""What lies below `[base]/.well-known/`."""

_FILE_HEADERS: Final = {
    "Cache-Control": "public, max-age=3600",
    "X-Content-Type-Options": "nosniff",
}


def routes(server: Server) -> Sequence[BaseRoute]:
    """Return the routes below `/auth`; none where the embedded server is off."""
    if not server.settings.security.identity.enabled:
        return []
    called = [*_CALLED]
    return [
        *(
            Route(f"/auth/{name}", web.guarded(server, handler), methods=[method])
            for (name, method), handler in _PAGES.items()
        ),
        *(_posted(server, name, handler) for name, handler in _CALLED.items()),
        *(
            Route(
                f"/auth/{name}",
                oauth_endpoints.guarded(server, oauth_endpoints.preflight),
                methods=["OPTIONS"],
            )
            for name in called
        ),
        *(
            Route(f"/auth/{name}", oauth_endpoints.guarded(server, handler))
            for name, handler in _READ.items()
        ),
        Route("/auth/page.css", _file("page.css", "text/css")),
        Route("/auth/me.js", _file("me.js", "text/javascript")),
        Route("/auth/passkey.js", _file("passkey.js", "text/javascript")),
        Route("/auth/{name:path}", web.guarded(server, _nothing)),
    ]


def operator_routes(server: Server) -> Sequence[BaseRoute]:
    """Return the routes that ask for an operator scope, each with its door."""
    if not server.settings.security.identity.enabled:
        return []
    register = oauth_endpoints.guarded(server, oauth_endpoints.register)
    routes = [Route("/auth/register", register, methods=["POST"])]
    return doors.marked(routes, doors.Door(operator="clients"))


def well_known(server: Server, root: str) -> Sequence[BaseRoute]:
    """Return the routes below `[base]/.well-known`; `root` is the path of the FHIR base."""
    if not server.settings.security.identity.enabled:
        return []
    return [
        Route(f"{root}/.well-known/{name}", oauth_endpoints.guarded(server, handler))
        for name, handler in WELL_KNOWN.items()
    ]


async def _nothing(server: Server, request: Request) -> Response:
    """Answer who asks for a page that there is not, or for what takes forms alone."""
    if request.path_params["name"] in {*_CALLED, "register"}:
        found = web.error_page(server, "Apps send forms here.", 405)
        found.headers["Allow"] = "POST"
        return found
    return web.error_page(server, "There is no such page.", 404)


def _posted(server: Server, name: str, handler: web.Handler) -> Route:
    return Route(f"/auth/{name}", oauth_endpoints.guarded(server, handler), methods=["POST"])


def _file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = (files("fhir_server.identity") / "pages" / name).read_bytes()

    async def serve(_: Request) -> Response:
        return Response(content, media_type=kind, headers=_FILE_HEADERS)

    return serve
