"""`$subset` and `$versions`: parts of what describes the server.

https://hl7.org/fhir/R4/capabilitystatement-operation-subset.html
https://hl7.org/fhir/R4/capabilitystatement-operation-versions.html
"""

import msgspec

from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, NotFound
from fhir_server.interactions import capabilities
from fhir_server.operations.operation import Call, Operation, Result
from fhir_server.server import Server

VERSION = "4.0"


async def _subset(server: Server, _: Caller, call: Call) -> Result:
    """Return the statement of this server with the types that `resource` names."""
    call.refuse_others(["server", "resource"])
    if any(url.rstrip("/") != server.base for url in call.texts("server")):
        text = "This server knows its own capabilities only"
        raise NotFound(text, code="not-supported")
    types = call.texts("resource")
    if not types:
        raise BadRequest("Name a resource type", code="required", expression="resource")
    if any(name not in server.definitions.type_ids for name in types):
        raise BadRequest("This is no resource type", code="value", expression="resource")
    whole = msgspec.json.decode(capabilities.capabilities(server, call.routed).body)
    return Result(200, msgspec.json.encode(capabilities.subset(whole, types)))


async def _versions(_: Server, __: Caller, call: Call) -> Result:
    """Return the versions of FHIR that this server speaks, of which one is its own."""
    call.refuse_others([])
    told = [{"name": name, "valueCode": VERSION} for name in ("version", "default")]
    return Result(200, msgspec.json.encode({"resourceType": "Parameters", "parameter": told}))


SUBSET = Operation(
    name="subset",
    definition="http://hl7.org/fhir/OperationDefinition/CapabilityStatement-subset",
    methods={"GET": _subset, "POST": _subset},
    types=frozenset(("CapabilityStatement",)),
    batched=True,
)
VERSIONS = Operation(
    name="versions",
    definition="http://hl7.org/fhir/OperationDefinition/CapabilityStatement-versions",
    methods={"GET": _versions, "POST": _versions},
    system=True,
    batched=True,
)
