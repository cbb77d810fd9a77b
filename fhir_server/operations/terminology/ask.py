"""A question put to the terminology library, and its answer.

https://hl7.org/fhir/R4/terminology-service.html
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from fhir_server.caller import Caller
from fhir_server.interactions.read import read
from fhir_server.operations.operation import Call, Result, Run
from fhir_server.operations.terminology import caches
from fhir_server.operations.terminology.context import value_set
from fhir_server.operations.terminology.sent import parameters
from fhir_server.r4 import json
from fhir_server.server import Server
from terminology import operations
from terminology.issues import Issue, Refusal
from terminology.library import Library
from terminology.once import Once
from terminology.parameters import read_parameters, write_outcome
from terminology.scope import Limits

Json = dict[str, Any]
T = TypeVar("T")

TOO_COSTLY = 422
LARGE = 100_000
"""Bytes of a body that takes some milliseconds to read."""
THRESHOLD = "x-too-costly-threshold"


def asks(type_name: str, name: str) -> Run:
    """Return what carries out one of the library's operations."""

    async def run(server: Server, caller: Caller, call: Call) -> Result:
        sent = await _with_url(server, call, parameters(call))
        library = await library_of(server, call, sent)
        asked = operations.Call(
            type=type_name,
            operation=name,
            parameters=sent,
            instance=await _instance(server, caller, call),
            accept_language=call.headers.get("accept-language"),
            limits=limits(server, call),
        )
        try:
            await _read_aside(server, call, sent)
            given = await within(server, operations.answer(library, asked, server.readings))
        except Refusal as refused:
            return refusal(refused)
        return Result(given.status, json.encode(given.resource))

    return run


async def library_of(server: Server, call: Call, sent: Json) -> Library:
    """Return where the call looks: in the cache that it names, then in what the server knows."""
    named = (one.get("valueId") for one in sent["parameter"] if _is_cache(one))
    id_ = call.headers.get(caches.HEADER) or next(named, None)
    return await caches.over(server, id_, Once(await server.vocabulary.present()))


async def _read_aside(server: Server, call: Call, sent: Json) -> None:
    """Read the resources of a large body in a thread, so that others are answered meanwhile."""
    length = call.headers.get("content-length", "")
    if len(length) < len(str(LARGE)):
        return
    for one in read_parameters(sent).resources("tx-resource"):
        await asyncio.to_thread(server.readings.read, one)


def _is_cache(parameter: object) -> bool:
    return isinstance(parameter, dict) and parameter.get("name") == "cache-id"


async def _with_url(server: Server, call: Call, sent: Json) -> Json:
    """Return the parameters with the value set that a `context` means, if nothing names one."""
    given = (one for one in sent["parameter"] if isinstance(one, dict))
    named = {name: one for one in given if isinstance(name := one.get("name"), str)}
    context = named.get("context")
    if call.type != "ValueSet" or call.id or not context or {"url", "valueSet"} & named.keys():
        return sent
    meant = next((text for key, text in context.items() if key.startswith("value")), None)
    if not isinstance(meant, str):
        return sent
    url = {"name": "url", "valueUri": await value_set(server, meant)}
    return {**sent, "parameter": [*sent["parameter"], url]}


def limits(server: Server, call: Call) -> Limits:
    """Return what the call may cost."""
    settings = server.settings.terminology
    unpaged, asked = settings.expansion_codes, call.headers.get(THRESHOLD, "")
    if settings.cost_header and asked.isascii() and asked.isdecimal():
        unpaged = int(asked[:9])
    return Limits(unpaged=unpaged, codes=settings.combined_codes)


async def within(server: Server, work: Awaitable[T]) -> T:
    """Return what comes of the work; Refusal `too-costly` when it takes too long."""
    seconds = server.settings.terminology.seconds
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        text = f"the operation took longer than {seconds:g} s"
        raise Refusal(TOO_COSTLY, Issue("error", "too-costly", None, text)) from None


def refusal(refused: Refusal) -> Result:
    """Return a refusal of the library as an answer."""
    return Result(refused.status, json.encode(write_outcome(refused.issues)))


async def _instance(server: Server, caller: Caller, call: Call) -> Json | None:
    if call.level != "instance":
        return None
    stored = await read(server, caller, call.type, call.id)
    found: Json = json.decode(stored.body or b"{}")
    return found
