"""The FHIR URL grammar: which method on which path is which interaction.

https://hl7.org/fhir/R4/http.html#3.1.0
"""

import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from fhir_server.api import formats, handlers, metrics
from fhir_server.api.answer import Answer, Send, refusal, send_answer
from fhir_server.api.place import Place, place
from fhir_server.api.request import Receive, Request, Scope, read_request
from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, MethodNotAllowed, SangamError
from fhir_server.interactions.capabilities import capabilities
from fhir_server.keys import new_id
from fhir_server.r4.json import decode_keeping
from fhir_server.r4.outcome import operation_outcome
from fhir_server.r4.xml import to_xml
from fhir_server.server import Server

ROOT = "/fhir"
OPEN_CALLER = Caller("demo", "rest")

log = logging.getLogger(__name__)


Handler = Callable[[Server, Caller, Request, Place], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """A handler and the interaction codes (R4 restful-interaction) that it offers."""

    handler: Handler
    codes: tuple[str, ...]


async def _capabilities(server: Server, _: Caller, request: Request, __: Place) -> Answer:
    """Answer with the CapabilityStatement; it needs no login."""
    offered = {code for route in ROUTES.values() for code in route.codes}
    body, etag = capabilities(server, offered)
    if request.header(b"if-none-match") == etag:
        return Answer(304, b"", {"ETag": etag}, cacheable=True)
    return Answer(200, body, {"ETag": etag}, cacheable=True)


ROUTES: Mapping[tuple[str, str], Route] = {
    ("system", "GET"): Route(handlers.search, ("search-system",)),
    ("system", "POST"): Route(handlers.bundle, ("batch", "transaction")),
    ("system", "OPTIONS"): Route(_capabilities, ("capabilities",)),
    ("metadata", "GET"): Route(_capabilities, ("capabilities",)),
    ("system-search", "POST"): Route(handlers.search, ("search-system",)),
    ("system-history", "GET"): Route(handlers.history, ("history-system",)),
    ("type", "GET"): Route(handlers.search, ("search-type",)),
    ("type", "POST"): Route(handlers.create, ("create",)),
    ("type", "PUT"): Route(handlers.update, ("update",)),
    ("type", "DELETE"): Route(handlers.delete, ("delete",)),
    ("type", "PATCH"): Route(handlers.patch, ("patch",)),
    ("type-search", "POST"): Route(handlers.search, ("search-type",)),
    ("type-history", "GET"): Route(handlers.history, ("history-type",)),
    ("instance", "GET"): Route(handlers.read, ("read",)),
    ("instance", "PUT"): Route(handlers.update, ("update",)),
    ("instance", "PATCH"): Route(handlers.patch, ("patch",)),
    ("instance", "DELETE"): Route(handlers.delete, ("delete",)),
    ("instance-history", "GET"): Route(handlers.history, ("history-instance",)),
    ("compartment", "GET"): Route(handlers.search, ("search-type",)),
    ("compartment-search", "POST"): Route(handlers.search, ("search-type",)),
    ("version", "GET"): Route(handlers.vread, ("vread",)),
}


def handler(where: Place, method: str) -> Handler:
    """Return the interaction; MethodNotAllowed names the methods that this URL has."""
    found = ROUTES.get((where.shape, "GET" if method == "HEAD" else method))
    if found is None:
        allowed = sorted(m for shape, m in ROUTES if shape == where.shape)
        if "GET" in allowed:
            allowed.append("HEAD")
        raise MethodNotAllowed(
            f"{method} has no meaning at this URL", headers={"Allow": ", ".join(allowed)}
        )
    return found.handler


async def serve(server: Server, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request below the FHIR base."""
    began = time.perf_counter()
    request: Request | None = None
    where: Place | None = None
    pretty = False
    wanted: formats.Format = "json"
    try:
        if len(scope["query_string"]) + len(scope["raw_path"]) > server.settings.limits.url_bytes:
            answer = _too_long()
        else:
            request = read_request(scope, receive, ROOT)
            wanted = formats.accepted(request)
            pretty = formats.is_pretty(request)
            where = place(server.definitions.type_ids, request.segments)
            answer = await handler(where, request.method)(server, OPEN_CALLER, request, where)
    except SangamError as error:
        answer = refusal(error)
    except Exception as error:  # noqa: BLE001  (the last guard of the door)
        answer = _fault(error, request)
    if answer.body and (pretty or wanted == "xml"):
        answer = _written(server, answer, wanted, pretty=pretty)
    request_id = request.id if request else new_id()
    await send_answer(send, answer, request_id, head=scope["method"] == "HEAD")
    shape = where.shape if where else "none"
    metrics.note(shape, scope["method"], answer.status, time.perf_counter() - began)


def _written(server: Server, answer: Answer, wanted: formats.Format, *, pretty: bool) -> Answer:
    """Return the answer with its body in XML, or indented."""
    if wanted == "json":
        return replace(answer, body=msgspec.json.format(answer.body, indent=2))
    try:
        body = to_xml(server.definitions, decode_keeping(answer.body), pretty=pretty)
    except SangamError as error:  # what XML cannot hold is told in JSON
        return refusal(error)
    return replace(answer, body=body, format="xml")


def _too_long() -> Answer:
    error = BadRequest("The URL is too long; search by POST", code="too-long")
    return Answer(414, operation_outcome(error.issues))


def _fault(error: Exception, request: Request | None) -> Answer:
    """Log a fault of ours by type and place: its message might quote a patient."""
    frames = "; ".join(
        f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    )
    name = type(error).__name__
    log.error("request %s failed: %s at %s", request.id if request else "-", name, frames)
    hidden = SangamError("The server failed; its log has the request's X-Request-Id")
    return Answer(500, operation_outcome(hidden.issues))


def asgi(server: Server) -> Callable[[Any, Receive, Send], Awaitable[None]]:
    """Return the FHIR API as an ASGI application."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401  (ASGI)
        await serve(server, scope, receive, send)

    return app
