"""`Prefer: respond-async`: the answer is fetched later, at a status URL.

https://hl7.org/fhir/R5/async-bundle.html
"""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from fhir_server.access import binding, carried
from fhir_server.api.answer import Answer, refusal
from fhir_server.api.place import Place
from fhir_server.api.prefer import preferences
from fhir_server.api.request import Receive, Request, read_request
from fhir_server.caller import Caller
from fhir_server.errors import Forbidden, Issue, SangamError, Unauthenticated
from fhir_server.identity.present import present
from fhir_server.interactions import asynchronous
from fhir_server.interactions.asynchronous import Ended, Ledger
from fhir_server.r4.outcome import operation_outcome
from fhir_server.server import Server
from fhir_server.store.asynchronous import Answered, Deferred, State

Carry = Callable[[Server, Caller, Request], Awaitable[Answer]]

CODES: Final = frozenset(("search-system", "search-type", "batch", "transaction", "operation"))
"""What may be answered later, by the codes of its route."""

PATH: Final = "_async"
SHAPE: Final = "asynchronous"
# Of a deferred request these are kept. Who asks, with all rights, is sealed beside them under
# a name that no header has.
_CALLER: Final = ":caller"
_KEPT: Final = (
    "accept",
    "accept-language",
    "content-type",
    "prefer",
    "x-cache-id",
    "x-provenance",
    "x-request-id",
)
_FAILED: Final = 400
_METHODS: Final = frozenset(("GET", "POST"))

log = logging.getLogger(__name__)


def is_deferred(request: Request, codes: tuple[str, ...]) -> bool:
    """Whether the client would rather come back for the answer, and may."""
    asked = request.method in _METHODS and b"respond-async" in request.headers.get(b"prefer", b"")
    return asked and not CODES.isdisjoint(codes) and preferences(request).asynchronous


async def accept(server: Server, caller: Caller, request: Request, _: Place) -> Answer:
    """Take the request and answer where its status is told."""
    limits = server.settings.limits
    cap = limits.body_bytes if request.segments else limits.bundle_bytes
    body = await request.body(cap) if _has_body(request) else b""
    path = "/".join(quote(segment, safe="$") for segment in request.segments)
    id_, key = asynchronous.new_request_id(), server.registry.context.page_key
    kept = {name: text for name in _KEPT if (text := request.header(name.encode()))}
    deferred = Deferred(
        id=id_,
        caller=binding.of(caller),
        method=request.method,
        url=f"{path}?{urlencode(request.pairs)}",
        headers={**kept, _CALLER: carried.sealed(key, caller, id_)},
        body=body,
    )
    await asynchronous.accept(server, caller, deferred)
    headers = {
        "Content-Location": f"{server.base}/{PATH}/{deferred.id}",
        "Preference-Applied": "respond-async",
    }
    return Answer(202, _information("Accepted; ask at Content-Location"), headers)


def _has_body(request: Request) -> bool:
    """Whether there is one that is not among the request's pairs yet, as a form is."""
    return request.method == "POST" and request.segments[-1:] != ("_search",)


async def status(server: Server, caller: Caller, request: Request, place: Place) -> Answer:  # noqa: ARG001
    """Answer how far a request is, or what came of it."""
    state = await asynchronous.poll(server, caller, place.id)
    if state.answered is None:
        headers = {"X-Progress": _progress(state), **asynchronous.retry(server)}
        return Answer(202, b"", headers)
    expires = {"Expires": _http_date(state.expires)}
    answered = state.answered
    plain = server.settings.asynchronous.answer_form == "plain"
    if answered.status >= _FAILED or plain:
        return Answer(answered.status, answered.body, {**answered.headers, **expires})
    return Answer(200, _bundle(answered), expires)


async def cancel(server: Server, caller: Caller, request: Request, place: Place) -> Answer:  # noqa: ARG001
    """Answer that a request is forgotten."""
    await asynchronous.cancel(server, caller, place.id)
    return Answer(202, _information("Cancelled"))


async def carry_out(server: Server, lane: int, carry: Carry) -> None:
    """Carry out the requests of a lane, one after the other, until none waits.

    Raises what may pass, so that the job is tried again.
    """
    while (found := await asynchronous.begin(server, lane)) is not None:
        deferred, ledger = found
        try:
            answer = await _carried(server, deferred, ledger, carry)
            answered = Answered(answer.status, answer.headers, await _resource(answer))
            await asynchronous.finish(server, deferred.id, answered)
        except Ended:
            continue


async def _carried(server: Server, deferred: Deferred, ledger: Ledger, carry: Carry) -> Answer:
    """Return the answer, or what says why there is none after several tries."""
    if ledger.attempts > asynchronous.TRIES:
        return refusal(SangamError("The server failed several times to carry out this request"))
    try:
        request = replace(_request(deferred), ledger=ledger)
        caller = await present(server, _caller(server, deferred))
        return await _while_standing(server, caller, carry(server, caller, request))
    except Exception as error:
        if isinstance(error, Ended) or ledger.tries_again(error):
            raise
        if isinstance(error, SangamError):
            return refusal(error)
        # Without the error's text, which might quote a patient.
        log.error("an asynchronous request failed: %s", type(error).__name__)  # noqa: TRY400
        return refusal(SangamError("The server failed to carry out this request"))


async def _while_standing(server: Server, caller: Caller, work: Awaitable[Answer]) -> Answer:
    """Return the answer; it is given up when who asked may not any more, or not all of it."""
    under_way = asyncio.ensure_future(work)
    try:
        while not under_way.done():
            seconds = server.settings.security.revocation_seconds
            await asyncio.wait({under_way}, timeout=seconds)
            if not under_way.done() and await present(server, caller) is not caller:
                raise Forbidden("The rights of who asked were changed meanwhile; ask again")
        return under_way.result()
    finally:
        under_way.cancel()
        await asyncio.gather(under_way, return_exceptions=True)


def _caller(server: Server, deferred: Deferred) -> Caller:
    """Return who asked; Unauthenticated where that cannot be told any more."""
    key, text = server.registry.context.page_key, deferred.headers.get(_CALLER, "")
    found = carried.opened(key, text, deferred.id)
    if found is None:
        raise Unauthenticated("Who asked cannot be told any more; ask again")
    return found


def _request(deferred: Deferred) -> Request:
    path, _, query = deferred.url.partition("?")
    scope = {
        "method": deferred.method,
        "raw_path": f"/{path}".encode("ascii"),
        "query_string": query.encode("ascii"),
        "headers": [
            (k.encode(), v.encode("latin-1")) for k, v in deferred.headers.items() if k != _CALLER
        ],
    }
    return read_request(scope, _receiving(deferred.body), "")


def _receiving(body: bytes) -> Receive:
    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _resource(answer: Answer) -> bytes:
    """Return the answer's body as a resource: what is not FHIR goes into a Binary."""
    body = answer.body
    if answer.stream is not None:
        body = b"".join([piece async for piece in answer.stream.pieces()])
    if answer.media is None or not body:
        return body
    data = base64.b64encode(body).decode()
    binary = {"resourceType": "Binary", "contentType": answer.media, "data": data}
    return msgspec.json.encode(binary)


def _bundle(answered: Answered) -> bytes:
    """Return the batch-response with one entry."""
    response = {"status": f"{answered.status} {HTTPStatus(answered.status).phrase}"}
    for name, header in (("location", "Location"), ("etag", "ETag")):
        if header in answered.headers:
            response[name] = answered.headers[header]
    resource = b'"resource":%b,' % answered.body if answered.body else b""
    return b'{"resourceType":"Bundle","type":"batch-response","entry":[{%b"response":%b}]}' % (
        resource,
        msgspec.json.encode(response),
    )


def _progress(state: State) -> str:
    if not state.begun:
        return "waiting for its turn"
    return "under way" if state.entries is None else f"{state.done} of {state.entries} entries"


def _http_date(moment: datetime) -> str:
    return format_datetime(moment.replace(microsecond=0), usegmt=True)


def _information(text: str) -> bytes:
    return operation_outcome([Issue("information", "informational", text)])
