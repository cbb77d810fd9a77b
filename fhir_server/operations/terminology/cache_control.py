"""`$cache-control`: resources sent once, which later requests name by X-Cache-Id.

    POST [base]/$cache-control?mode=start   tx-resource*; answers cache-id
    POST [base]/$cache-control?mode=end     cache-id, or the header X-Cache-Id

https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/
"""

from fhir_server.caller import Caller
from fhir_server.errors import BadRequest
from fhir_server.operations.operation import Call, Operation, Result
from fhir_server.operations.terminology import ask, caches
from fhir_server.operations.terminology.sent import parameters
from fhir_server.r4 import json
from fhir_server.server import Server
from terminology.issues import Refusal
from terminology.parameters import Given, parameter, read_parameters, write_parameters


async def _cache_control(server: Server, _: Caller, call: Call) -> Result:
    """Begin a cache, or end one."""
    try:
        given = read_parameters(parameters(call))
        mode = given.text("mode")
        if mode not in {"start", "end"}:
            raise BadRequest("mode is start or end", code="value", expression="mode")
        if mode == "start":
            resources = given.resources("tx-resource")
            id_ = await caches.keep(server, resources)
        else:
            id_ = _named(given, call)
            await caches.forget(server, id_)
    except Refusal as refused:
        return ask.refusal(refused)
    told = write_parameters([parameter("cache-id", "Id", id_)])
    return Result(200, json.encode(told))


OPERATION = Operation(
    name="cache-control",
    definition="urn:sangam:operation:cache-control",
    methods={"POST": _cache_control},
    system=True,
    takes_as_sent=True,
)


def _named(given: Given, call: Call) -> str:
    id_ = given.text("cache-id") or call.headers.get(caches.HEADER)
    if not id_:
        raise BadRequest("Name the cache", code="required", expression="cache-id")
    return id_
