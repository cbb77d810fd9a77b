"""The guard of what lies outside of the FHIR base: nothing is served to who is not let in.

https://www.rfc-editor.org/rfc/rfc9110#section-15.5.2
"""

import logging
from collections.abc import Iterable, MutableMapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from fhir_server.api import auditing
from fhir_server.api.answer import UNAUTHENTICATED, Send
from fhir_server.api.request import Receive, request_id
from fhir_server.audit.record import HIDING, MINOR, Record, Recorder, who
from fhir_server.caller import Caller
from fhir_server.errors import SangamError
from fhir_server.identity.doors import CALLER, CLOSED, Door, Doors, Marked, require
from fhir_server.identity.web import login_url
from fhir_server.server import Server

_SEE_OTHER = 303

log = logging.getLogger(__name__)


class Guarded:
    """An application behind its door; what is refused there is recorded and counted."""

    def __init__(
        self,
        server: Server,
        doors: Doors,
        recorder: Recorder,
        app: Any,  # noqa: ANN401  (ASGI)
        door: Door,
    ) -> None:
        self.app = app
        self._server = server
        self._recorder = recorder
        self.doors = doors
        self.door = door

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401  (ASGI)
        """Serve who may come in, refuse others."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        caller: Caller | None = None
        try:
            caller = await self.doors.outside(self.door, scope)
            require(self.door, caller)
        except SangamError as error:
            answer = self._refusal(scope, error)
            await self._note(scope, caller, answer.status_code)
            await answer(scope, receive, send)
            return
        if self.door.public:  # the login tells of itself (identity/login_pages.py)
            await self.app({**scope, CALLER: caller}, receive, send)
            return

        async def noting(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                await self._note(scope, caller, message["status"])
            await send(message)

        await self.app({**scope, CALLER: caller}, receive, noting)

    async def _note(self, scope: Any, caller: Caller | None, status: int) -> None:  # noqa: ANN401  (ASGI)
        """Count and record what was refused, or hidden as what is not there."""
        if status not in HIDING:
            return
        request = Request(scope)
        # A page whose login has ended tries nothing, and is to keep no one else out.
        if caller is not None or {"authorization", "cookie"} & set(request.headers) != {"cookie"}:
            self.doors.rates.answered(status, auditing.address(scope), caller)
        query = f"?{request.url.query}" if request.url.query else ""
        asked = f"{request.url.path.lstrip('/')}{query}"
        known = who(caller or auditing.anonymous(scope, None))
        said = Record("read", known, outcome=MINOR, request=request_id(scope), query=asked)
        try:
            await self._recorder.keep([said])
        except SangamError as error:  # it shows nothing, so that it may be said all the same
            log.error("a refusal was not recorded: %s", type(error).__name__)  # noqa: TRY400

    def _refusal(self, scope: Any, error: SangamError) -> Response:  # noqa: ANN401  (ASGI)
        request = Request(scope)
        shown = "text/html" in request.headers.get("accept", "") and request.method == "GET"
        # Who brings a token is told that it is none, and is counted by that.
        led = self.door.session and shown and "authorization" not in request.headers
        if error.status == UNAUTHENTICATED and led:
            query = f"?{request.url.query}" if request.url.query else ""
            # Paths of a tenant are told without it: its own root has it.
            onward = f"{self._server.root}{request.url.path}{query}"
            return RedirectResponse(login_url(self._server, onward), _SEE_OTHER)
        headers = {"WWW-Authenticate": "Bearer"} if error.status == UNAUTHENTICATED else {}
        return JSONResponse({"detail": error.text}, error.status, {**headers, **error.headers})


def behind_doors(server: Server, doors: Doors, routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """Return the routes, each behind its door; one without a door of its own asks for all."""
    found, recorder = list(routes), Recorder(server.database)
    for one in found:
        assert isinstance(one, Route | Mount)
        app = one.app
        door = app.door if isinstance(app, Marked | Guarded) else CLOSED
        inner = app.app if isinstance(app, Marked | Guarded) else app
        one.app = Guarded(server, doors, recorder, inner, door)
    return found
