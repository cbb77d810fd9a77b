"""The doors of tenants: `[base]/t/[tenant]/...`, and `/t/[tenant]/...` for what is not FHIR.

The URL alone says which tenant is meant, never a header.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from fhir_server.api.answer import Send, refusal, send_answer
from fhir_server.api.app import Asgi
from fhir_server.api.metrics import tenant_requests
from fhir_server.api.request import Receive, request_id
from fhir_server.api.rest import ROOT
from fhir_server.bases import NAME
from fhir_server.errors import NotFound, SangamError

Of = Callable[[str], Awaitable[Asgi]]
"""Returns the application of a tenant; NotFound or Forbidden when it is not served."""

_DOOR: Final = f"{ROOT}/t/".encode()
_BESIDE: Final = b"/t/"
_NAMED: Final = re.compile(rf"(?:{ROOT})?/t/({NAME})(?=[/?]|\Z)")


def by_tenant(own: Asgi, of: Of, headers: Sequence[tuple[bytes, bytes]] = ()) -> Asgi:
    """Return the application that leaves each tenant's requests to its own.

    All others are the installation's own, as if there were no tenants. `headers` are those
    that a refusal has, as every answer.
    """
    always = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}

    async def app(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401  (ASGI)
        raw = scope.get("raw_path") or b""
        if not raw.startswith((_DOOR, _BESIDE)):
            await own(scope, receive, send)
            return
        path = raw.decode("latin-1")
        found = _NAMED.match(path)
        try:
            if found is None:
                raise NotFound("There is no such tenant")
            theirs = await of(found[1])
        except SangamError as error:
            await _refuse(scope, send, error, always)
            return
        tenant_requests.labels(found[1]).inc()
        await theirs(_inside(scope, path, found), receive, send)

    return app


def _inside(scope: Any, path: str, found: re.Match[str]) -> Any:  # noqa: ANN401  (ASGI)
    """Return the scope as the tenant's own application sees it: without the tenant."""
    before = ROOT if path.startswith(ROOT) else ""
    rest = path[found.end() :]
    # The decoded path begins as the raw one does: the part that goes has no escapes.
    inner = f"{before}{scope['path'][found.end() :]}" or "/"
    raw = f"{before}{rest}" if rest[:1] == "/" or before else f"/{rest}"
    return {**scope, "path": inner, "raw_path": raw.encode("latin-1")}


async def _refuse(scope: Any, send: Send, error: SangamError, always: Mapping[str, str]) -> None:  # noqa: ANN401  (ASGI)
    if scope["type"] != "http":
        await send({"type": "websocket.close", "code": 1008})
        return
    answer = refusal(error)
    answer.headers.update(always)
    await send_answer(send, answer, request_id(scope), head=scope["method"] == "HEAD")
