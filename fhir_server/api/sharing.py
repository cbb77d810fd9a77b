"""Scripts of other origins: those of registered apps and of the settings may call.

The origin of a request is only ever repeated when it is one of these.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from fhir_server.api.answer import Send
from fhir_server.api.request import Receive
from fhir_server.errors import SangamError
from fhir_server.identity.doors import Doors

Asgi = Callable[[Any, Receive, Send], Awaitable[None]]

_EXPOSED: Final = b"Content-Location, ETag, Last-Modified, Location, Retry-After, X-Request-Id"
_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_TAKEN: Final = (
    b"Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Exist,"
    b" If-None-Match, Prefer, X-Provenance, X-Request-Id"
)
_KEEP: Final = b"600"


def shared(app: Asgi, doors: Doors, *, open_to_all: tuple[str, ...] = ()) -> Asgi:
    """Return the application for scripts of other origins too.

    Paths `open_to_all` are shown to those of any.
    """

    async def sharing(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401  (ASGI)
        origin = next((v for k, v in scope.get("headers", ()) if k == b"origin"), None)
        if scope["type"] != "http" or origin is None:
            await app(scope, receive, send)
            return
        if scope["path"] in open_to_all:
            said = [(b"access-control-allow-origin", b"*")]
        else:
            said = await _allowed(doors, origin)
        if scope["method"] == "OPTIONS" and _asks(scope):
            await _preflight(send, said)
            return

        async def telling(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *said]}
            await send(message)

        await app(scope, receive, telling)

    return sharing


async def _allowed(doors: Doors, origin: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers for an origin; it is told nothing while it cannot be looked up."""
    vary = [(b"vary", b"Origin")]
    try:
        if not await doors.allows(origin.decode("latin-1")):
            return vary
    except SangamError:
        return vary
    return [
        *vary,
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _EXPOSED),
    ]


def _asks(scope: Any) -> bool:  # noqa: ANN401  (ASGI)
    return any(name == b"access-control-request-method" for name, _ in scope["headers"])


async def _preflight(send: Send, said: list[tuple[bytes, bytes]]) -> None:
    may = any(name == b"access-control-allow-origin" for name, _ in said)
    more = [
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _TAKEN),
        (b"access-control-max-age", _KEEP),
    ]
    headers = [(b"content-length", b"0"), *said, *(more if may else [])]
    status = 204 if may else 403
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
