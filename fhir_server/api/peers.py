"""Who is at the other end: a client, or a proxy that speaks for one.

What a request says of itself (`X-Forwarded-For`) counts only from a proxy that is trusted.
Nothing is read of `Host`, `X-Forwarded-Host` and `X-Forwarded-Proto`: the base URL is a
setting.

https://www.rfc-editor.org/rfc/rfc7239#section-8.1
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import JSONResponse

from fhir_server.api.answer import Send
from fhir_server.api.request import Receive
from fhir_server.config import Settings
from fhir_server.networks import LOOPBACK, Networks, networks, within

Asgi = Callable[[Any, Receive, Send], Awaitable[None]]

_HEALTH = "/health/"


def behind_proxies(app: Asgi, settings: Settings) -> Asgi:
    """Return the application as its clients see it through trusted proxies.

    A port without TLS answers such proxies and this machine alone; of others only whether
    it is healthy.
    """
    trusted = networks(settings.security.trusted_proxies)
    if settings.demo or (settings.security.tls is not None and not trusted):
        return app
    plain = settings.security.tls is None

    async def peers(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401  (ASGI)
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        peer = scope["client"][0] if scope.get("client") else ""
        if within(peer, trusted):
            scope = {**scope, "client": (_forwarded(scope, peer, trusted), 0)}
        elif plain and not within(peer, LOOPBACK) and not scope["path"].startswith(_HEALTH):
            refusal = JSONResponse({"detail": "This port takes TLS by a proxy only"}, 403)
            await refusal(scope, receive, send)
            return
        await app(scope, receive, send)

    return peers


def _forwarded(scope: Any, peer: str, trusted: Networks) -> str:  # noqa: ANN401
    """Return the nearest address that is no trusted proxy: those before it anyone may write."""
    given = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    named = [one.strip() for one in b",".join(given).decode("latin-1").split(",") if one.strip()]
    for one in reversed(named):
        if not within(one, trusted):
            return one
    return peer
