"""`$match`: which stored patients are the one who is described.

    POST [base]/Patient/$match    resource, onlyCertainMatches, count

https://hl7.org/fhir/R4/patient-operation-match.html
"""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from fhir_server.caller import Caller
from fhir_server.errors import BadRequest
from fhir_server.interactions.patient_match import TYPE, Found, matches
from fhir_server.interactions.searchset import bundle
from fhir_server.operations.operation import Call, Operation, Result
from fhir_server.r4 import json
from fhir_server.server import Server

MOST: Final = 100
GRADE: Final = "http://hl7.org/fhir/StructureDefinition/match-grade"
_DECIMALS: Final = 4
_EVIDENCE: Final = ("identifier", "name", "birthDate", "telecom")
"""What patients are found by; the rest only tells them apart."""

T = TypeVar("T")


async def _match(server: Server, caller: Caller, call: Call) -> Result:
    """Answer a searchset of those who may be meant, the likeliest first."""
    call.refuse_others(["resource", "onlyCertainMatches", "count"])
    patient = _patient(server, call)
    count = min(_count(call) or server.settings.match.count, MOST)
    certain = _one(call, "onlyCertainMatches", bool) or False
    found = await matches(server, caller, patient, count=count, only_certain=certain)
    here = [("self", f"{server.base}/{TYPE}/$match")]
    return Result(200, bundle(here, None, [_entry(server, one) for one in found]))


def _patient(server: Server, call: Call) -> Mapping[str, Any]:
    resource: dict[str, Any] | None = _one(call, "resource", dict)
    if resource is None or resource.get("resourceType") != TYPE:
        text = "The parameter resource is a Patient, with what is known of who is meant"
        raise BadRequest(text, code="required", expression="resource")
    issues = server.validator.validate(TYPE, json.encode(resource), resource)
    if errors := [one for one in issues if one.severity in {"error", "fatal"}]:
        raise BadRequest("The Patient is not valid", issues=errors)
    if not any(resource.get(one) for one in _EVIDENCE):
        text = f"A patient is found by one of {', '.join(_EVIDENCE)}"
        raise BadRequest(text, code="required", expression="resource")
    return resource


def _count(call: Call) -> int | None:
    found = _one(call, "count", int)
    if found is not None and found < 1:
        raise BadRequest("count is 1 or more", code="value", expression="count")
    return found


def _one(call: Call, name: str, kind: type[T]) -> T | None:
    """Return the value of a parameter that is given at most once, None where it is not."""
    found = [value for given, value in call.parameters if given == name]
    if len(found) > 1 or any(type(one) is not kind for one in found):
        raise BadRequest(f"{name} is given once", code="value", expression=name)
    return next(iter(found), None)


def _entry(server: Server, one: Found) -> bytes:
    head = f'{{"fullUrl":"{server.base}/{TYPE}/{one.id}","resource":'
    search = {
        "extension": [{"url": GRADE, "valueCode": one.grade}],
        "mode": "match",
        "score": round(one.likeness.probability, _DECIMALS),
    }
    return head.encode() + one.body + b',"search":' + json.encode(search) + b"}"


OPERATION = Operation(
    name="match",
    definition="http://hl7.org/fhir/OperationDefinition/Patient-match",
    methods={"POST": _match},
    types=frozenset((TYPE,)),
    batched=True,
)
