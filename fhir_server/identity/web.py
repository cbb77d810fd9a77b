"""Requests and answers of the login's pages: forms, same origin, templates, headers.

There is no script but the one that asks a browser for a passkey, on pages that do.

https://www.w3.org/TR/CSP3/
"""

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from fhir_server.errors import BadRequest, Forbidden, SangamError, TooLarge
from fhir_server.identity import authorization, clients, sessions
from fhir_server.identity.refusal import Refusal
from fhir_server.identity.sessions import Visitor
from fhir_server.server import Server

Handler = Callable[[Server, Request], Awaitable[Response]]

FORM_BYTES: Final = 65_536
FORM_FIELDS: Final = 200
SEE_OTHER: Final = 303
_FORM: Final = "application/x-www-form-urlencoded"
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Pragma": "no-cache",
}

log = logging.getLogger(__name__)


def page(
    server: Server,
    template: str,
    values: Mapping[str, Any],
    *,
    status: int = 200,
    targets: Sequence[str] = (),
    script: bool = False,
) -> HTMLResponse:
    """Return a page; its forms may lead to `targets` (origins) beside this server.

    A browser holds `form-action` against the redirects too that follow a form. Where there may
    be a `script`, it is one of our files.
    """
    leading = " ".join(["'self'", *targets])
    scripts = "script-src 'self'; " if script else ""
    policy = (
        f"default-src 'none'; {scripts}style-src 'self'; img-src 'self' data:; base-uri 'none'; "
        f"frame-ancestors 'none'; form-action {leading}"
    )
    text = _environment().get_template(f"{template}.html").render(root=server.root, **values)
    headers = {**_HEADERS, "Content-Security-Policy": policy}
    return HTMLResponse(text, status, headers)


def error_page(server: Server, text: str, status: int, reference: str = "") -> HTMLResponse:
    """Return the page that says what went wrong."""
    return page(server, "error", {"text": text, "reference": reference}, status=status)


def redirect(url: str, cookie: str = "") -> RedirectResponse:
    """Return the answer that leads on, by GET."""
    found = RedirectResponse(url, SEE_OTHER, {**_HEADERS})
    if cookie:
        found.headers.append("Set-Cookie", cookie)
    return found


def guarded(server: Server, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return the handler with a page for whatever it refuses."""

    async def serve(request: Request) -> Response:
        try:
            return await handler(server, request)
        except Refusal as refused:
            return error_page(server, refused.text, refused.status)
        except SangamError as error:
            found = error_page(server, error.text, error.status)
            found.headers.update(error.headers)
            return found
        except Exception as error:  # noqa: BLE001  (the last guard of the door)
            return error_page(server, "The server failed.", 500, note(server, error))

    return serve


async def form(request: Request) -> list[tuple[str, str]]:
    """Return the pairs of a form's body; BadRequest when it is none, TooLarge over 64 KiB."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise BadRequest(f"The body is {_FORM}")
    return pairs((await body(request)).decode("latin-1"))


async def body(request: Request) -> bytes:
    """Return the body; TooLarge over 64 KiB."""
    found = b""
    async for piece in request.stream():
        found += piece
        if len(found) > FORM_BYTES:
            raise TooLarge(f"The body is larger than {FORM_BYTES} bytes")
    return found


def pairs(text: str) -> list[tuple[str, str]]:
    """Return the pairs of an encoded form or query."""
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS)
    except ValueError as error:
        raise BadRequest("The form cannot be read") from error


async def own_form(server: Server, request: Request) -> list[tuple[str, str]]:
    """Return the form, if it was sent from one of our own pages; else Forbidden."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if origin is None or origin != own_origin(server) or site != "same-origin":
        raise Forbidden("This form was not sent from a page of this server")
    return await form(request)


async def visitors_form(server: Server, request: Request) -> tuple[Visitor, list[tuple[str, str]]]:
    """Return who is logged in and the form that was sent; Forbidden when it is not theirs."""
    given = await own_form(server, request)
    visitor = await sessions.visitor(server, request.headers.get("cookie"))
    if visitor is None:
        raise Forbidden("You are not logged in any more; go back and log in")
    token = next((value for name, value in given if name == "csrf"), "")
    if not sessions.is_csrf(server, visitor.session, token):
        raise Forbidden("This form is too old; go back and load the page again")
    return visitor, given


def once(given: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters by name; BadRequest when one comes twice."""
    return authorization.once(given)


def markup(text: str) -> Markup:
    """Return markup of ours that a template puts in as it is."""
    return Markup(text)  # noqa: S704  (nothing of it was given by anyone)


def own_origin(server: Server) -> str:
    """Return the origin of our pages."""
    return clients.origin(server.base)


def own_path(server: Server, given: str | None) -> str:
    """Return where to go on: a URL of ours, else that of the account (no open redirect)."""
    account = f"{server.root}/auth/manage"
    if not given or not given.isprintable() or "\\" in given or not given.isascii():
        return account
    origin = own_origin(server)
    if given.startswith("/") and not given.startswith("//"):
        given = origin + given
    return given if given.startswith(f"{origin}/") else account


def login_url(server: Server, onward: str, *, again: bool = False) -> str:
    """Return the URL of the login that leads on to `onward`."""
    asked = {"next": onward} | ({"again": "yes"} if again else {})
    return f"{server.root}/auth/login?{urlencode(asked)}"


def address(request: Request) -> str:
    """Return the network address of who asks."""
    return request.client.host if request.client else ""


def note(server: Server, error: Exception) -> str:
    """Log a fault of ours by type and place: its message might quote what was typed.

    Returns the number under which the log has it.
    """
    frames = "; ".join(
        f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    )
    reference = server.new_id()
    log.error("login %s failed: %s at %s", reference, type(error).__name__, frames)
    return reference


@lru_cache(maxsize=1)
def _environment() -> Environment:
    loader = PackageLoader("fhir_server.identity", "pages")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
