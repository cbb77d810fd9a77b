"""Operations called by HTTP, or by an entry of a batch.

https://hl7.org/fhir/R4/operations.html#executing
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from fhir_server.api import formats, parts
from fhir_server.api.answer import Answer
from fhir_server.api.place import Place, place
from fhir_server.api.request import Request
from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, MethodNotAllowed, NotFound, NotSupported
from fhir_server.interactions import capabilities
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.retrieve import Called, Pairs
from fhir_server.operations import table
from fhir_server.operations.operation import Call, Level, Operation, Run
from fhir_server.operations.table import OPERATIONS
from fhir_server.r4 import json
from fhir_server.server import Server

SHAPE = "operation"
METHODS = sorted({method for one in OPERATIONS for method in one.methods})
"""The methods by which some operation is called."""

Body: TypeAlias = tuple[bytes, dict[str, Any]]
"""A resource: its JSON text, and what that says."""


async def operation(
    server: Server, caller: Caller, request: Request, place: Place, routed: capabilities.Routed
) -> Answer:
    """Answer a call; NotFound where there is no such operation."""
    found, run = _offered(place, request.method)
    pairs = [pair for pair in request.pairs if pair[0] not in parts.GENERAL]
    body = await _body(server, request) if request.method == "POST" else None
    call = _call(server, found, place, request, (pairs, body), routed)
    result = await run(server, caller, call)
    return Answer(result.status, result.body, dict(result.headers))


def batched(
    server: Server, caller: Caller, request: Request, routed: capabilities.Routed
) -> Called:
    """Return what answers the entries of a batch that call an operation."""

    async def called(entry: Entry, segments: Sequence[str], pairs: Pairs) -> Outcome:
        where = place(server.definitions.type_ids, tuple(segments))
        found, run = _offered(where, entry.method)
        if not found.batched:
            raise NotSupported("A batch does not call this operation")
        body = (entry.raw, entry.resource) if entry.raw and entry.resource else None
        call = _call(server, found, where, request, (list(pairs), body), routed)
        # The conditions of the whole batch are none of an entry's.
        own = {"if-match": entry.if_match, "if-none-exist": entry.if_none_exist}
        given = {**call.headers, **own}
        headers = {name: text for name, text in given.items() if text is not None}
        result = await run(server, caller, replace(call, method=entry.method, headers=headers))
        return Outcome(result.status, "", "", 0, None, result.body)

    return called


def claimed() -> tuple[capabilities.Operation, ...]:
    """Return the operations as the CapabilityStatement lists them."""
    return tuple(each for one in OPERATIONS for each in _claimed(one))


def _claimed(one: Operation) -> Iterator[capabilities.Operation]:
    if one.system:
        yield capabilities.Operation(one.name, one.definition)
    if types := tuple(sorted(one.types | one.instances)):
        yield capabilities.Operation(one.name, one.definition, types)


def _level(where: Place) -> Level:
    return "instance" if where.id else "type" if where.type else "system"


def _offered(where: Place, method: str) -> tuple[Operation, Run]:
    """Return the operation that lies there and what the method does."""
    found = table.operation(where.operation, _level(where), where.type)
    if found is None:
        raise NotFound("There is no such operation", code="not-supported")
    run = found.methods.get("GET" if method == "HEAD" else method)
    if run is None:
        allowed = ", ".join(sorted({*found.methods, "OPTIONS"}))
        raise MethodNotAllowed("The operation is not called so", headers={"Allow": allowed})
    return found, run


def _call(
    server: Server,
    found: Operation,
    where: Place,
    request: Request,
    given: tuple[list[tuple[str, str]], Body | None],
    routed: capabilities.Routed,
) -> Call:
    pairs, body = given
    call = Call(_level(where), where.type, where.id, request.method, pairs, routed)
    if found.takes_as_sent:
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in request.headers.items()}
        return replace(call, sent=body[1] if body else None, headers=headers)
    return replace(call, parameters=[*pairs, *_parameters(server, body)]) if body else call


async def _body(server: Server, request: Request) -> Body | None:
    """Return the resource in the body, None where there is none."""
    raw = await request.body(server.settings.limits.body_bytes)
    if not raw:
        return None
    limits = server.settings.limits
    raw = formats.as_json(server.definitions, raw, limits, formats.sent(request))
    json.check_caps(raw, limits)
    data = json.decode(raw)
    named = data.get("resourceType") if isinstance(data, dict) else None
    if not isinstance(named, str) or named not in server.definitions.type_ids:
        raise BadRequest("The body is not a FHIR resource", code="structure")
    return raw, data


def _parameters(server: Server, body: Body) -> list[tuple[str, Any]]:
    """Return the parameters in a body: those of a Parameters, or the one parameter `resource`."""
    raw, data = body
    if data["resourceType"] != "Parameters":
        return [("resource", data)]
    issues = server.validator.validate("Parameters", raw, data)
    if errors := [issue for issue in issues if issue.severity in {"error", "fatal"}]:
        raise BadRequest("The Parameters are not valid", issues=errors)
    return [(one["name"], _value(one)) for one in data.get("parameter", ())]


def _value(parameter: Mapping[str, Any]) -> Any:  # noqa: ANN401  (of any type)
    for name, value in parameter.items():
        if name in {"resource", "part"} or name.startswith("value"):
            return value
    return None
