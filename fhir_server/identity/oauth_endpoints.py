"""The endpoints that apps call: JSON, OAuth's errors, open to scripts of registered origins.

https://www.rfc-editor.org/rfc/rfc6749#section-5
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fhir_server.errors import BadRequest, SangamError, Throttled
from fhir_server.identity import (
    client_authentication,
    clients,
    discovery,
    registration,
    signing,
    token_endpoint,
    token_state,
    web,
)
from fhir_server.identity.doors import caller_of
from fhir_server.identity.refusal import Refusal
from fhir_server.r4 import json
from fhir_server.server import Server

_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_KEPT_SECONDS: Final = 300
_OPEN: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cache-Control": f"public, max-age={_KEPT_SECONDS}",
}
STYLE: Final = {
    "color_background": "#f6f7f9",
    "color_error": "#b3261e",
    "color_highlight": "#0b5cad",
    "color_modal_backdrop": "rgba(27, 36, 48, 0.5)",
    "color_success": "#1b6e3c",
    "color_text": "#1b2430",
    "dim_border_radius": "10px",
    "dim_font_size": "15px",
    "dim_spacing_size": "16px",
    "font_family_body": "system-ui, sans-serif",
    "font_family_heading": "system-ui, sans-serif",
}
"""What apps may look like to look like us (`smart_style_url`)."""


async def token(server: Server, request: Request) -> Response:
    """Answer with tokens."""
    form = web.once(await web.form(request))
    given = await token_endpoint.answer(server, form, request.headers.get("authorization"))
    return JSONResponse(given, 200, _NO_STORE)


async def introspect(server: Server, request: Request) -> Response:
    """Answer what a token is good for, to a client that proved who it is."""
    form = web.once(await web.form(request))
    client = await _client(server, request, form)
    if client.authentication == "none":
        raise Refusal("invalid_client", "Only a client that authenticates may ask", status=401)
    given = await token_state.introspected(server, client, form.get("token", ""))
    return JSONResponse(given, 200, _NO_STORE)


async def revoke(server: Server, request: Request) -> Response:
    """Revoke a token of the client; 200 also for what is none (RFC 7009, 2.2)."""
    form = web.once(await web.form(request))
    client = await _client(server, request, form)
    await token_state.revoke(server, client, form.get("token", ""))
    return Response(status_code=200, headers=_NO_STORE)


async def register(server: Server, request: Request) -> Response:
    """Register a client for an operator (RFC 7591); its secret is shown only now."""
    metadata = json.decode(await web.body(request))
    if not isinstance(metadata, dict):
        raise Refusal("invalid_client_metadata", "The body is an object")
    try:
        given = await registration.register(server, metadata, caller_of(request.scope))
    except BadRequest as refused:
        raise Refusal("invalid_client_metadata", refused.text) from refused
    return JSONResponse(given, 201, _NO_STORE)


async def jwks(server: Server, _: Request) -> Response:
    """Answer with our public keys."""
    # Whoever keeps them has to have a new key before it signs.
    seconds = min(_KEPT_SECONDS, server.settings.security.identity.key_lead_seconds)
    headers = {**_OPEN, "Cache-Control": f"public, max-age={seconds}"}
    return JSONResponse(await signing.published(server), 200, headers)


async def smart_configuration(server: Server, _: Request) -> Response:
    """Answer with SMART's configuration, in JSON whatever is accepted."""
    return JSONResponse(discovery.smart_configuration(server), 200, _OPEN)


async def openid_configuration(server: Server, _: Request) -> Response:
    """Answer with OpenID's configuration."""
    return JSONResponse(discovery.openid_configuration(server), 200, _OPEN)


async def style(_: Server, __: Request) -> Response:
    """Answer with the style that apps may take up."""
    return JSONResponse(STYLE, 200, _OPEN)


async def preflight(server: Server, request: Request) -> Response:
    """Answer a browser that asks whether a script may call."""
    headers = {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
        "Access-Control-Max-Age": "600",
        **await _origin(server, request),
    }
    return Response(status_code=204, headers=headers)


def guarded(server: Server, handler: web.Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return the handler with OAuth's error for whatever it refuses, and CORS of the origin."""

    async def serve(request: Request) -> Response:
        found = await _answered(server, handler, request)
        if "Access-Control-Allow-Origin" not in found.headers:
            found.headers.update(await _origin(server, request))
        return found

    return serve


async def _answered(server: Server, handler: web.Handler, request: Request) -> Response:
    try:
        return await handler(server, request)
    except Refusal as refused:
        headers = dict(_NO_STORE)
        if refused.status == 401 and "authorization" in request.headers:  # noqa: PLR2004
            headers["WWW-Authenticate"] = f'Basic realm="{server.base}"'
        return _error(refused.error, refused.text, refused.status, headers)
    except Throttled as error:
        return _error("temporarily_unavailable", error.text, error.status, error.headers)
    except SangamError as error:
        name = "invalid_request" if error.status < 500 else "temporarily_unavailable"  # noqa: PLR2004
        return _error(name, error.text, error.status, {**_NO_STORE, **error.headers})
    except Exception as error:  # noqa: BLE001  (the last guard of the door)
        web.note(server, error)
        return _error("server_error", "The server failed", 500, _NO_STORE)


def _error(name: str, text: str, status: int, headers: Mapping[str, str]) -> Response:
    said: dict[str, Any] = {"error": name, "error_description": text}
    return JSONResponse(said, status, dict(headers))


async def _client(server: Server, request: Request, form: Mapping[str, str]) -> clients.Client:
    return await client_authentication.client_of(
        server,
        form,
        request.headers.get("authorization"),
        audience=token_endpoint.url(server),
    )


async def _origin(server: Server, request: Request) -> dict[str, str]:
    """Return the header for a script of a registered origin; others get none."""
    origin = request.headers.get("origin")
    if origin is None:
        return {}
    if origin not in server.settings.security.origins:
        async with server.database.connection() as connection:
            if not await clients.allows_origin(connection, origin, demo=server.settings.demo):
                return {"Vary": "Origin"}
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
