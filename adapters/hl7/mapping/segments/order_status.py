"""ORC-1 and ORC-5 as the status of a request, and what they do to one that is stored.

HL7 v2.9 chapter 4, section 4.5.1.1 (table 0119) and 4.5.1.5 (table 0038).
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-table-hl70119-to-request-status.html
"""

from typing import Final

from adapters.hl7.mapping.code_tables import ORDER_CONTROL_STATUS, ORDER_STATUS
from adapters.hl7.mapping.context import Json
from adapters.hl7.mapping.datatypes import cwe
from adapters.hl7.message.accounting import INVALID_VALUE
from adapters.hl7.message.tokenizer import Segment

CANCEL: Final = "CA"
# Answers, counts and plain notices say nothing of the order's status.
_KEEPING: Final = frozenset("CP DE LI SR SS UC UD UF UH UM UN UR UX".split())  # noqa: SIM905
_BY_RESULT: Final = {"F": "completed", "C": "completed", "X": "revoked"}  # OBR-25
_TOLD_BY_RESULT: Final = frozenset(("RE", "SC"))
_BY_REPORT: Final = {
    "final": "completed",
    "amended": "completed",
    "corrected": "completed",
    "cancelled": "revoked",
}
_ENDED: Final = frozenset(("completed", "revoked", "entered-in-error"))


def put_status(orc: Segment, obr: Segment, resource: Json) -> None:
    """Set the status of a new request: ORC-5, else ORC-1, else unknown."""
    status = orc.peek(5)
    if status in ORDER_STATUS:
        orc.take(5, "ServiceRequest.status")
        resource["status"] = ORDER_STATUS[status]
        resource["_status"] = cwe.alternate("0038", status)
        return
    if status:
        orc.refuse(5, INVALID_VALUE)
    control, result = orc.peek(1), obr.peek(25)
    if control in _TOLD_BY_RESULT and result:
        resource["status"] = _BY_RESULT.get(result, "active")
    else:
        otherwise = "active" if control == "RE" else "unknown"
        resource["status"] = ORDER_CONTROL_STATUS.get(control, otherwise)


def put_answered(resource: Json, orc: Segment, report_status: str) -> None:
    """Set the status that a report gives its order: RE answers it.

    ORC is optional in results: without one a report that is done ends its order too, and
    one that is not says nothing.
    """
    control = orc.peek(1)
    if control in {"", "RE"} and "_status" not in resource:
        otherwise = "active" if control else resource["status"]
        resource["status"] = _BY_REPORT.get(report_status, otherwise)


def keeps(orc: Segment, obr: Segment) -> bool:
    """Whether the order control says nothing of the status of a known order.

    CA only asks for the end of an order; RE and SC tell a status where OBR-25 has one.
    """
    if orc.peek(5) in ORDER_STATUS:
        return False
    control = orc.peek(1)
    if control in _TOLD_BY_RESULT:
        return not obr.valued(25)
    return control in _KEEPING or control == CANCEL or control not in ORDER_CONTROL_STATUS


def is_explicit(orc: Segment) -> bool:
    """Whether ORC-5 tells the status, so that not the event alone does."""
    return orc.peek(5) in ORDER_STATUS


def kept(stored: Json, updated: Json) -> Json:
    """Return the update of a stored order with the status that it has."""
    return _with_status_of(stored, updated)


def settled(stored: Json, updated: Json) -> Json:
    """Return the update of a stored order; an event does not open again what has ended."""
    if stored.get("status") in _ENDED and updated["status"] not in _ENDED:
        return _with_status_of(stored, updated)
    return updated


def answered(stored: Json, updated: Json) -> Json:
    """Return a stored order with what its result says of it: an end, numbers, and answers."""
    found = dict(stored)
    numbers = stored.get("identifier", [])
    known = {(one.get("system"), one.get("value")) for one in numbers}
    said = updated.get("identifier", ())
    # The filler's number, by which later results may name the order alone.
    more = [one for one in said if (one.get("system"), one.get("value")) not in known]
    if more:
        found["identifier"] = [*numbers, *more]
    if updated["status"] in _ENDED and stored.get("status") not in _ENDED:
        found = _with_status_of(updated, found)
    before = stored.get("supportingInfo", [])
    answers = [one for one in updated.get("supportingInfo", ()) if one not in before]
    if answers:
        found["supportingInfo"] = [*before, *answers]
    return found


def _with_status_of(source: Json, target: Json) -> Json:
    rest = {name: value for name, value in target.items() if name not in {"status", "_status"}}
    told: Json = {name: source[name] for name in ("status", "_status") if name in source}
    return {**rest, **told}
