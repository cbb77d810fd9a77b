"""The FHIR URL grammar: which method on which path is which interaction.

https://hl7.org/fhir/R4/http.html#3.1.0
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from fhir_server.api import (
    asynchronous,
    auditing,
    formats,
    handlers,
    metadata,
    metrics,
    operations,
)
from fhir_server.api.answer import LONG, Answer, Send, Stream, as_gzip, refusal, send_answer
from fhir_server.api.encoding import takes_gzip
from fhir_server.api.limits import InFlight
from fhir_server.api.place import Place, place
from fhir_server.api.request import Receive, Request, Scope, read_request, request_id
from fhir_server.audit.record import Recorder, keep, refuses, written
from fhir_server.caller import Caller, Trail
from fhir_server.errors import BadRequest, MethodNotAllowed, SangamError
from fhir_server.identity.doors import Doors
from fhir_server.interactions import search_parameter, showing
from fhir_server.interactions.binary import BINARY, in_base64, whole
from fhir_server.interactions.draft import NEVER_STORED
from fhir_server.r4.json import decode_keeping
from fhir_server.r4.outcome import operation_outcome
from fhir_server.r4.xml import to_xml
from fhir_server.server import Server

ROOT = "/fhir"
NOT_ALLOWED = 405
FORMS = frozenset(("system-search", "type-search", "compartment-search"))
ANONYMOUS = frozenset((("metadata", "GET"), ("metadata", "HEAD")))
"""What everyone is answered, by shape and method; and OPTIONS anywhere."""

log = logging.getLogger(__name__)


Handler = Callable[[Server, Caller, Request, Place], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """A handler and the interaction codes (R4 restful-interaction) that it offers."""

    handler: Handler
    codes: tuple[str, ...]


async def _capabilities(server: Server, _: Caller, request: Request, __: Place) -> Answer:
    """Answer with the CapabilityStatement; it needs no login."""
    return await metadata.metadata(server, request, ROUTED)


async def _bundle(server: Server, caller: Caller, request: Request, _: Place) -> Answer:
    """Answer a batch or transaction, whose entries may read the capabilities."""

    async def capable(mode: str) -> tuple[bytes, str]:
        statement = await metadata.statement(server, ROUTED, mode)
        return statement.body, statement.etag

    called = operations.batched(server, caller, request, ROUTED)
    return await handlers.bundle(server, caller, request, capable, called)


async def _operation(server: Server, caller: Caller, request: Request, where: Place) -> Answer:
    """Answer an operation, which may tell of all that is routed."""
    return await operations.operation(server, caller, request, where, ROUTED)


ROUTES: Mapping[tuple[str, str], Route] = {
    ("system", "GET"): Route(handlers.search, ("search-system",)),
    ("system", "POST"): Route(_bundle, ("batch", "transaction")),
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
    (asynchronous.SHAPE, "GET"): Route(asynchronous.status, ()),
    (asynchronous.SHAPE, "DELETE"): Route(asynchronous.cancel, ()),
    **{(operations.SHAPE, method): Route(_operation, ()) for method in operations.METHODS},
}
ROUTED = metadata.routed({key: route.codes for key, route in ROUTES.items()}, operations.claimed())


def handler(where: Place, method: str) -> Handler:
    """Return the interaction; MethodNotAllowed names the methods that this URL has."""
    found = ROUTES.get((where.shape, "GET" if method == "HEAD" else method))
    if found is None and method == "OPTIONS":
        return _options
    if found is None:
        raise MethodNotAllowed(f"{method} has no meaning at this URL")
    if found.codes and where.type in NEVER_STORED:
        raise MethodNotAllowed(f"{where.type} is not stored", headers={"Allow": "OPTIONS"})
    return found.handler


def codes(where: Place, method: str) -> tuple[str, ...]:
    """Return what a request with this method does there, by R4's codes of interactions.

    Where there is none, as for an operation, it is the shape of the URL.
    """
    found = ROUTES.get((where.shape, method))
    return (found.codes or (where.shape,)) if found else ()


async def carry_out(server: Server, payload: dict[str, Any]) -> None:
    """Carry out what waits in the lane `payload["lane"]`, as requests are; a job of workers."""
    await asynchronous.carry_out(server, int(payload["lane"]), _carried)


async def _carried(server: Server, caller: Caller, request: Request) -> Answer:
    where = place(server.definitions.type_ids, request.segments)
    await search_parameter.current(server)
    caller = replace(caller, trail=Trail(request.id))
    answer = await handler(where, request.method)(server, caller, request, where)
    await _note(server, caller, request, where, answer)
    return answer


async def _note(
    server: Server, caller: Caller, request: Request, where: Place, answer: Answer
) -> None:
    """Record a request that a worker carried out."""
    told = codes(where, request.method)
    records = auditing.record(server.settings.audit, caller, request, where, told, answer)
    if records:
        async with server.database.statement() as connection:
            await keep(connection, [written(one) for one in records])


def allowed(shape: str, *, besides: str = "") -> str:
    """Return the methods of a shape of URL as the header Allow lists them."""
    methods = {method for known, method in ROUTES if known == shape} - {besides} | {"OPTIONS"}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


async def _options(_: Server, __: Caller, ___: Request, where: Place) -> Answer:
    """Answer with the methods of this URL."""
    return Answer(204, b"", {"Allow": allowed(where.shape)})


async def serve(
    server: Server,
    in_flight: InFlight,
    recorder: Recorder,
    doors: Doors,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """Answer one HTTP request below the FHIR base."""
    began = time.perf_counter()
    # The place is held until the answer is sent: the largest and the slowest ones cost most.
    with ExitStack() as held:
        found = _Exchange()
        answer = await _answered(server, in_flight, doors, scope, receive, held, found)
        answer = await _recorded(server, recorder, scope, found, answer)
        answer = await _shown(server, scope, answer, found.wanted, pretty=found.pretty)
        given = found.request.id if found.request else request_id(scope)
        always = doors.headers
        await send_answer(send, answer, given, head=scope["method"] == "HEAD", always=always)
    if refuses(answer.status, found.caller):
        doors.rates.answered(answer.status, auditing.address(scope), found.caller)
    shape = found.where.shape if found.where else "none"
    metrics.note(shape, scope["method"], answer.status, time.perf_counter() - began)


@dataclass(slots=True)
class _Exchange:
    """What is known of a request, as far as it could be read, when its answer is shown."""

    request: Request | None = None
    where: Place | None = None
    wanted: formats.Format = "json"
    pretty: bool = False
    caller: Caller | None = None


async def _recorded(
    server: Server, recorder: Recorder, scope: Scope, found: _Exchange, answer: Answer
) -> Answer:
    """Return the answer when it is on record that it was given, else a refusal."""
    if found.request is None or found.where is None:
        return answer
    caller = found.caller or auditing.anonymous(scope, found.request)
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    told = codes(found.where, method)
    records = auditing.record(
        server.settings.audit, caller, found.request, found.where, told, answer
    )
    if not records:
        return answer
    try:
        await recorder.keep(records)
    except SangamError as error:
        return refusal(error)
    return answer


async def _answered(
    server: Server,
    in_flight: InFlight,
    doors: Doors,
    scope: Scope,
    receive: Receive,
    held: ExitStack,
    found: _Exchange,
) -> Answer:
    """Return the answer, be it a refusal; `found` is filled in on the way."""
    try:
        if len(scope["query_string"]) + len(scope["raw_path"]) > server.settings.limits.url_bytes:
            return _too_long()
        request = found.request = read_request(scope, receive, ROOT)
        found.wanted = formats.named(request) or "json"
        where = found.where = place(server.definitions.type_ids, request.segments)
        held.enter_context(in_flight.taken(scope))
        caller = found.caller = await _caller(doors, scope, request, where)
        if request.method == "POST" and where.shape in FORMS:
            request = found.request = await formats.with_form(request, server.settings.limits)
        if not _is_content(request, where):
            found.wanted = formats.accepted(request)
        found.pretty = formats.is_pretty(request)
        await search_parameter.current(server)
        carry = handler(where, request.method)
        if asynchronous.is_deferred(request, codes(where, request.method)):
            carry = asynchronous.accept
        answer = await carry(server, caller, request, where)
        return await _seen(server, caller, answer)
    except SangamError as error:
        answer = refusal(error)
        if answer.status == NOT_ALLOWED and found.where is not None:
            besides = scope["method"]
            answer.headers.setdefault("Allow", allowed(found.where.shape, besides=besides))
        return answer
    except Exception as error:  # noqa: BLE001  (the last guard of the door)
        return _fault(error, found.request)


async def _seen(server: Server, caller: Caller, answer: Answer) -> Answer:
    """Return the answer with what the caller sees of the resources in it."""
    body = await showing.shown(server, caller, answer.body)
    return answer if body is answer.body else replace(answer, body=body)


async def _caller(doors: Doors, scope: Scope, request: Request, where: Place) -> Caller:
    """Return who asks; before anything else of the request is looked at."""
    if request.method == "OPTIONS" or (where.shape, request.method) in ANONYMOUS:
        return auditing.anonymous(scope, request)
    address = auditing.address(scope)
    caller = await doors.rest(request.headers, address)
    return replace(caller, address=address, trail=Trail(request.id))


def _is_content(request: Request, where: Place) -> bool:
    """Whether the answer may be of any media type, or the body is, which says nothing of Accept."""
    reads = request.method in {"GET", "HEAD"}
    return where.type == BINARY and (where.shape in {"instance", "version"} or not reads)


async def _shown(
    server: Server, scope: Scope, answer: Answer, wanted: formats.Format, *, pretty: bool
) -> Answer:
    """Return the answer as the client is to see it: whole, in its format, perhaps packed."""
    try:
        if answer.media is None and answer.body:
            answer = await _whole(server, answer, streams=not pretty and wanted == "json")
        if answer.body and answer.media is None and (pretty or wanted == "xml"):
            written = partial(_written, server, answer, wanted, pretty=pretty)
            answer = await asyncio.to_thread(written) if len(answer.body) > LONG else written()
    except SangamError as error:  # a blob is away
        answer = refusal(error)
    least = server.settings.gzip_from_bytes
    if (
        least
        and len(answer.body) >= least
        and "Content-Encoding" not in answer.headers
        and answer.media is None
        and takes_gzip(dict(scope["headers"]).get(b"accept-encoding"))
    ):
        answer = await as_gzip(answer)
    return answer


async def _whole(server: Server, answer: Answer, *, streams: bool) -> Answer:
    """Return the answer with the data of a large Binary."""
    if streams:
        found = await in_base64(server, answer.body)
        return answer if found is None else replace(answer, body=b"", stream=Stream(*found))
    return replace(answer, body=await whole(server, answer.body))


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


def asgi(server: Server, doors: Doors) -> Callable[[Any, Receive, Send], Awaitable[None]]:
    """Return the FHIR API as an ASGI application."""
    in_flight = InFlight(server.settings.limits)
    recorder = Recorder(server.database)

    async def app(scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401  (ASGI)
        await serve(server, in_flight, recorder, doors, scope, receive, send)

    return app
