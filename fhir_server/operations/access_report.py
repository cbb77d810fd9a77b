"""`$access-report`: who has seen and changed a patient's record.

    GET [base]/Patient/1/$access-report?date=ge2024-01-01&_count=100

An operation of this server, for the patient, who acts for the patient, and who reads the audit.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from fhir_server.caller import Caller
from fhir_server.errors import BadRequest
from fhir_server.interactions import access_report
from fhir_server.interactions.access_report import MOST, Access
from fhir_server.operations.operation import Call, Operation, Result
from fhir_server.server import Server

_DEFAULT: Final = 100
_DIGITS: Final = 4
_REASONS: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"

Part = dict[str, Any]


async def _report(server: Server, caller: Caller, call: Call) -> Result:
    """Tell the accesses, the latest first."""
    call.refuse_others(["date", "_count"])
    found = await access_report.report(
        server, caller, call.id, call.texts("date"), _count(call.texts("_count"))
    )
    parameters: Part = {"resourceType": "Parameters"}
    if found:
        parameters["parameter"] = [{"name": "access", "part": list(_parts(one))} for one in found]
    return Result(200, msgspec.json.encode(parameters))


def _count(given: list[str]) -> int:
    if not given:
        return _DEFAULT
    (text, *more) = given
    if more or not (text.isascii() and text.isdecimal()) or len(text) > _DIGITS or not int(text):
        raise BadRequest(f"_count is 1 to {MOST}", code="value", expression="_count")
    return min(int(text), MOST)


def _parts(one: Access) -> Iterator[Part]:
    yield {"name": "when", "valueInstant": one.at}
    yield {"name": "what", "valueCode": one.did}
    if one.who:
        yield {"name": "who", "valueReference": {"reference": one.who}}
    if one.app:
        yield {"name": "app", "valueString": one.app}
    if one.purpose:
        yield {"name": "purpose", "valueCoding": {"system": _REASONS, "code": one.purpose}}
    yield {"name": "outcome", "valueCode": one.outcome}
    yield from ({"name": "type", "valueCode": kind} for kind in one.kinds)


OPERATION = Operation(
    name="access-report",
    definition="urn:sangam:operation:access-report",
    methods={"GET": _report},
    instances=frozenset(("Patient",)),
)
