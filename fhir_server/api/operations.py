"""Operations called by HTTP.

https://hl7.org/fhir/R4/operations.html#executing
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_server.api import formats, parts
from fhir_server.api.answer import Answer
from fhir_server.api.place import Place
from fhir_server.api.request import Request
from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, MethodNotAllowed, NotFound
from fhir_server.interactions import capabilities
from fhir_server.operations import table
from fhir_server.operations.operation import Call, Level, Operation
from fhir_server.operations.table import OPERATIONS
from fhir_server.r4 import json
from fhir_server.server import Server

SHAPE = "operation"
METHODS = sorted({method for one in OPERATIONS for method in one.methods})
"""The methods by which some operation is called."""


async def operation(
    server: Server, caller: Caller, request: Request, place: Place, routed: capabilities.Routed
) -> Answer:
    """Answer a call; NotFound where there is no such operation."""
    level: Level = "instance" if place.id else "type" if place.type else "system"
    found = table.operation(place.operation, level, place.type)
    if found is None:
        raise NotFound("There is no such operation", code="not-supported")
    run = found.methods.get("GET" if request.method == "HEAD" else request.method)
    if run is None:
        allowed = ", ".join(sorted({*found.methods, "OPTIONS"}))
        raise MethodNotAllowed("The operation is not called so", headers={"Allow": allowed})
    pairs = [pair for pair in request.pairs if pair[0] not in parts.GENERAL]
    given = await _body(server, request) if request.method == "POST" else []
    call = Call(level, place.type, place.id, request.method, [*pairs, *given], routed)
    result = await run(server, caller, call)
    return Answer(result.status, result.body, dict(result.headers))


def claimed() -> tuple[capabilities.Operation, ...]:
    """Return the operations as the CapabilityStatement lists them."""
    return tuple(each for one in OPERATIONS for each in _claimed(one))


def _claimed(one: Operation) -> Iterator[capabilities.Operation]:
    if one.system:
        yield capabilities.Operation(one.name, one.definition)
    if types := tuple(sorted(one.types | one.instances)):
        yield capabilities.Operation(one.name, one.definition, types)


async def _body(server: Server, request: Request) -> list[tuple[str, Any]]:
    """Return the parameters in the body: a Parameters, or the one parameter `resource`."""
    raw = await request.body(server.settings.limits.body_bytes)
    if not raw:
        return []
    limits = server.settings.limits
    raw = formats.as_json(server.definitions, raw, limits, formats.sent(request))
    json.check_caps(raw, limits)
    data = json.decode(raw)
    named = data.get("resourceType") if isinstance(data, dict) else None
    if not isinstance(named, str) or named not in server.definitions.type_ids:
        raise BadRequest("The body is not a FHIR resource", code="structure")
    if named != "Parameters":
        return [("resource", data)]
    issues = server.validator.validate(named, raw, data)
    if errors := [issue for issue in issues if issue.severity in {"error", "fatal"}]:
        raise BadRequest("The Parameters are not valid", issues=errors)
    return [(one["name"], _value(one)) for one in data.get("parameter", ())]


def _value(parameter: Mapping[str, Any]) -> Any:  # noqa: ANN401  (of any type)
    for name, value in parameter.items():
        if name in {"resource", "part"} or name.startswith("value"):
            return value
    return None
