"""`$expunge`: a patient erased for good, by two persons.

    POST   [base]/Patient/[id]/$expunge   with `reason`: asked for
    POST   [base]/Patient/[id]/$expunge   with `approve` true, by another: carried out
    DELETE [base]/Patient/[id]/$expunge   taken back, before it is approved

An operation of this server, for those who run it.
"""

import msgspec

from fhir_server.caller import Caller
from fhir_server.errors import BadRequest
from fhir_server.interactions import erasure
from fhir_server.operations.operation import Call, Operation, Result
from fhir_server.server import Server

_APPROVED = {True, "true"}
_SHORTEST = 3


async def _ask(server: Server, caller: Caller, call: Call) -> Result:
    """Ask for an erasure, or approve it."""
    call.refuse_others(["reason", "approve"])
    given = dict(call.parameters)
    if given.get("approve") in _APPROVED:
        number = await erasure.approve(server, caller, call.id)
        return _told(202, number, "approved")
    reason = str(given.get("reason") or "").strip()
    if len(reason) < _SHORTEST:
        raise BadRequest("An erasure needs a reason", code="required", expression="reason")
    return _told(202, await erasure.ask(server, caller, call.id, reason), "asked")


async def _withdraw(server: Server, caller: Caller, call: Call) -> Result:
    """Take a request back."""
    call.refuse_others([])
    return _told(200, await erasure.withdraw(server, caller, call.id), "withdrawn")


def _told(status: int, number: int, state: str) -> Result:
    parameters = [
        {"name": "request", "valuePositiveInt": number},
        {"name": "state", "valueCode": state},
    ]
    return Result(
        status, msgspec.json.encode({"resourceType": "Parameters", "parameter": parameters})
    )


OPERATION = Operation(
    name="expunge",
    definition="urn:sangam:operation:expunge",
    methods={"POST": _ask, "DELETE": _withdraw},
    instances=frozenset(("Patient",)),
)
