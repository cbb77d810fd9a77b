"""The guard of what lies outside of the FHIR base: nothing is served to who is not let in.

https://www.rfc-editor.org/rfc/rfc9110#section-15.5.2
"""

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from fhir_server.api.answer import UNAUTHENTICATED, Send
from fhir_server.api.request import Receive
from fhir_server.errors import SangamError
from fhir_server.identity.doors import CALLER, CLOSED, Door, Doors, Marked
from fhir_server.identity.web import login_url
from fhir_server.server import Server

_SEE_OTHER = 303


class Guarded:
    """An application behind its door."""

    def __init__(self, server: Server, doors: Doors, app: Any, door: Door) -> None:  # noqa: ANN401  (ASGI)
        self.app = app
        self._server = server
        self.doors = doors
        self.door = door

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401  (ASGI)
        """Serve who may come in, refuse others."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            caller = await self.doors.outside(self.door, scope)
        except SangamError as error:
            await self._refusal(scope, error)(scope, receive, send)
            return
        await self.app({**scope, CALLER: caller}, receive, send)

    def _refusal(self, scope: Any, error: SangamError) -> Response:  # noqa: ANN401  (ASGI)
        request = Request(scope)
        shown = "text/html" in request.headers.get("accept", "") and request.method == "GET"
        if error.status == UNAUTHENTICATED and self.door.session and shown:
            query = f"?{request.url.query}" if request.url.query else ""
            # Paths of a tenant are told without it: its own root has it.
            onward = f"{self._server.root}{request.url.path}{query}"
            return RedirectResponse(login_url(self._server, onward), _SEE_OTHER)
        headers = {"WWW-Authenticate": "Bearer"} if error.status == UNAUTHENTICATED else {}
        return JSONResponse({"detail": error.text}, error.status, {**headers, **error.headers})


def behind_doors(server: Server, doors: Doors, routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """Return the routes, each behind its door; one without a door of its own asks for all."""
    found = list(routes)
    for one in found:
        assert isinstance(one, Route | Mount)
        app = one.app
        door = app.door if isinstance(app, Marked | Guarded) else CLOSED
        inner = app.app if isinstance(app, Marked | Guarded) else app
        one.app = Guarded(server, doors, inner, door)
    return found
