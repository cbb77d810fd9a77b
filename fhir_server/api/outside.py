"""What lies outside of the FHIR base, with the headers that every response has."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import ExitStack
from typing import Any

from starlette.responses import JSONResponse

from fhir_server.api.answer import Send, date
from fhir_server.api.limits import InFlight
from fhir_server.api.request import Receive, request_id
from fhir_server.errors import SangamError

Asgi = Callable[[Any, Receive, Send], Awaitable[None]]

_TEMPORARY = 307
_PAGE = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"same-origin"),
)


def labelled(inner: Asgi, always: Sequence[tuple[bytes, bytes]] = ()) -> Asgi:
    """Return the application with Date, X-Request-Id and Cache-Control on each response.

    And with what it has `always`; nothing of it may be shown inside a page of another site.
    """

    async def app(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401  (ASGI)
        async def labelling(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = _relative(scope, message)
                names = {name for name, _ in given}
                ours = [*_headers(scope), *always, *_PAGE]
                given += [(name, value) for name, value in ours if name not in names]
                message = {**message, "headers": given}
            await send(message)

        await inner(scope, receive, labelling if scope["type"] == "http" else send)

    return app


def _relative(scope: Any, message: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:  # noqa: ANN401  (ASGI)
    """Return the headers; a redirect of the router's leads on without the host that was called."""
    given = list(message.get("headers", ()))
    if message["status"] != _TEMPORARY:
        return given
    host = dict(scope["headers"]).get(b"host", b"")
    begins = tuple(b"%b://%b/" % (scheme, host) for scheme in (b"http", b"https"))
    return [
        (name, value[value.index(b"/", 8) :])
        if name == b"location" and value.startswith(begins)
        else (name, value)
        for name, value in given
    ]


def _headers(scope: Any) -> list[tuple[bytes, bytes]]:  # noqa: ANN401  (ASGI)
    return [
        (b"date", date()),
        (b"x-request-id", request_id(scope).encode()),
        (b"cache-control", b"no-store"),
    ]


def limited(inner: Asgi, in_flight: InFlight, paths: Sequence[str]) -> Asgi:
    """Return the application with as many requests under way below `paths` as are allowed.

    They are counted apart from those of the FHIR base, so that neither waits for the other.
    """

    async def app(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401  (ASGI)
        if scope["type"] != "http" or not scope["path"].startswith(tuple(paths)):
            await inner(scope, receive, send)
            return
        with ExitStack() as held:
            try:
                held.enter_context(in_flight.taken(scope))
            except SangamError as full:
                answer = JSONResponse({"detail": full.text}, full.status, full.headers)
                await answer(scope, receive, send)
                return
            await inner(scope, receive, send)

    return app
