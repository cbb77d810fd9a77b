"""ServiceRequest and DiagnosticReport as ORC, OBR and TQ1.

HL7 v2.9 chapter 4, sections 4.5.1, 4.5.3 and 4.5.4.
"""

from dataclasses import dataclass
from typing import Final

from adapters.hl7.mapping.code_tables import (
    EXTENSION,
    ORDER_STATUS,
    PRIORITY,
    REPORT_STATUS,
)
from adapters.hl7.outbound import datatypes as as_
from adapters.hl7.outbound.er7 import Field, Repetition, Segment
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json, Record, extension

_CALLBACK: Final = EXTENSION + "servicerequest-order-callback-phone-number"
_FUNCTION: Final = EXTENSION + "event-performerFunction"
_ORDER_STATUS: Final = {
    "active": "IP",
    "on-hold": "HD",
    "revoked": "CA",
    "completed": "CM",
    "entered-in-error": "ER",
}
_REPORT_STATUS: Final = {
    "registered": "O",
    "partial": "R",
    "preliminary": "P",
    "final": "F",
    "amended": "C",
    "corrected": "C",
    "appended": "C",
    "cancelled": "X",
    "entered-in-error": "X",
}
# What completes a status map both ways: an order that ended has ORC-1 of its own.
_PRIORITY: Final = {**as_.reverse(PRIORITY), "urgent": "A"}
_TQ1_SINCE: Final = (2, 5)
_SPECIMEN_IN_OBR: Final = (2, 5)


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order, or the part of a report that speaks of one; each may be absent."""

    request: Json | None
    report: Json | None = None

    @property
    def first(self) -> Json:
        """The one that names the order: its request, else the report."""
        found = self.request or self.report
        assert found is not None
        return found


def orc(control: str, asked: Ordered, record: Record, peer: Peer) -> Segment:
    """Return ORC with `control` in ORC-1."""
    first = asked.first
    fields: dict[int, Field] = {
        1: as_.table_code(peer, "0119", control),
        2: _number(asked, "PLAC", peer),
        3: _number(asked, "FILL", peer),
    }
    request = asked.request
    if request is None:
        return Segment("ORC", fields)
    if group := request.get("requisition"):
        fields[4] = as_.ei(peer, group)
    fields[5] = _order_status(request, peer)
    fields[9] = as_.dated(request, "authoredOn", peer)
    fields[12] = as_.person(record, peer, request.get("requester"), first)
    if reason := extension(request, EXTENSION + "request-statusReason"):
        fields[16] = as_.cwe(peer, reason.get("valueCodeableConcept"))
    if callback := extension(request, _CALLBACK):
        fields[14] = as_.xtn(callback.get("valueContactPoint", {}), peer)
    fields |= _facility(request, record, peer)
    role = record.get(request.get("requester"), request) or {}
    person = record.get(role.get("practitioner"), role) or role
    fields[24] = [as_.xad(one, peer) for one in person.get("address", ())]
    return Segment("ORC", fields)


def _facility(request: Json, record: Record, peer: Peer) -> dict[int, Field]:
    """Return the facility of who ordered: name, address and telephone."""
    role = record.get(request.get("requester"), request) or {}
    found = record.get(role.get("organization"), role)
    if role.get("resourceType") == "Organization":
        found = role
    if found is None:
        return {}
    return {
        21: as_.xon(peer, found),
        22: [as_.xad(one, peer) for one in found.get("address", ())],
        23: [as_.xtn(one, peer) for one in found.get("telecom", ())],
    }


def _order_status(request: Json, peer: Peer) -> str:
    status = str(request.get("status", ""))
    sent = as_.original(request, "status", "0038", ORDER_STATUS)
    return as_.table_code(peer, "0038", sent or _ORDER_STATUS.get(status, ""))


def control_of(request: Json, result: bool = False) -> str:  # noqa: FBT001, FBT002
    """Return ORC-1 of an order that was sent as it is now."""
    if result:
        return "RE"
    status = request.get("status")
    if status in {"revoked", "entered-in-error"}:
        return "CA"
    return "HD" if status == "on-hold" else "NW"


def _number(asked: Ordered, kind: str, peer: Peer) -> Field:
    """Return the placer's or the filler's number; an order of ours has its own as PLAC."""
    for one in (asked.request, asked.report):
        numbers = as_.numbered(peer, one, kind)
        if numbers:
            return as_.ei(peer, numbers[0])
    if kind == "FILL" or asked.request is None:
        own = [one for one in as_.shown(peer, asked.report) if kind == "FILL"]
        typed = [one for one in own if as_.type_of(one) != "PLAC"]
        return as_.ei(peer, typed[0]) if typed else _made(asked, kind, peer)
    other = [one for one in as_.shown(peer, asked.request) if as_.type_of(one) != "FILL"]
    return as_.ei(peer, other[0]) if other else _made(asked, kind, peer)


def _made(asked: Ordered, kind: str, peer: Peer) -> Field:
    """Return our id as the number where nobody gave one, so that later messages agree."""
    one = asked.report if kind == "FILL" else asked.request
    own = peer.settings.sending_application
    return (str(one["id"]), own) if one is not None and one.get("id") else ""


def obr(number: int, asked: Ordered, record: Record, peer: Peer) -> Segment:
    """Return OBR: of the order, with what a report says of it."""
    fields: dict[int, Field] = {
        1: str(number),
        2: _number(asked, "PLAC", peer),
        3: _number(asked, "FILL", peer),
        4: as_.cwe(peer, (asked.report or asked.first).get("code")),
    }
    if asked.request is not None:
        fields |= _of_request(asked.request, record, peer)
    if asked.report is not None:
        fields |= _of_report(asked.report, record, peer)
    return Segment("OBR", fields)


def _of_request(request: Json, record: Record, peer: Peer) -> dict[int, Field]:
    fields: dict[int, Field] = {
        5: _priority(request, peer),
        6: as_.dated(request, "occurrenceDateTime", peer),
        16: as_.person(record, peer, request.get("requester"), request),
        31: [as_.cwe(peer, one) for one in request.get("reasonCode", ())],
    }
    if request.get("intent") == "reflex-order":
        fields[11] = "G"
    if peer.version >= _TQ1_SINCE:
        fields[5] = fields[6] = ""  # withdrawn: TQ1 has them
    return fields


def tq1(request: Json, peer: Peer) -> Segment | None:
    """Return TQ1 with the time and the priority of an order, None where it has neither."""
    if peer.version < _TQ1_SINCE:
        return None
    bounds = request.get("occurrenceTiming", {}).get("repeat", {}).get("boundsPeriod", {})
    period = request.get("occurrencePeriod", bounds)
    when = as_.dated(request, "occurrenceDateTime", peer) or as_.dated(period, "start", peer)
    until = as_.dated(period, "end", peer)
    urgency = _priority(request, peer)
    if not when and not until and not urgency:
        return None
    return Segment("TQ1", {1: "1", 7: when, 8: until, 9: urgency})


def _priority(request: Json, peer: Peer) -> str:
    sent = next((str(one["code"]) for one in as_.alternates(request.get("_priority"))), "")
    return as_.table_code(peer, "0485", sent or _PRIORITY.get(str(request.get("priority", "")), ""))


def _of_report(report: Json, record: Record, peer: Peer) -> dict[int, Field]:
    period = report.get("effectivePeriod", {})
    status = as_.original(report, "status", "0123", REPORT_STATUS)
    fields: dict[int, Field] = {
        7: as_.dated(report, "effectiveDateTime", peer) or as_.dated(period, "start", peer),
        8: as_.dated(period, "end", peer),
        22: as_.moment(report.get("issued"), peer.zone),
        24: _section(report, peer),
        25: as_.table_code(
            peer, "0123", status or _REPORT_STATUS.get(str(report.get("status", "")), "")
        ),
        32: [_ndl(one) for one in _people(report.get("resultsInterpreter"), report, record, peer)],
    }
    for number, code in ((34, "SPRF"), (35, "TRANS")):
        told = [one for one in report.get("performer", ()) if _function(one) == code]
        fields[number] = [_ndl(one) for one in _people(told, report, record, peer)]
    return fields


def _section(report: Json, peer: Peer) -> str:
    codes = [as_.coded(peer, one, "0074") for one in report.get("category", ())]
    return next(filter(None, codes), "")


def _function(performer: Json) -> str:
    told = extension(performer, _FUNCTION) or {}
    codings = told.get("valueCodeableConcept", {}).get("coding", ())
    return str(codings[0].get("code", "")) if codings else ""


def _people(told: object, report: Json, record: Record, peer: Peer) -> list[Repetition]:
    references = told if isinstance(told, list) else []
    found = [as_.person(record, peer, one, report) for one in references]
    return [one for one in found if one]


def _ndl(person: Repetition) -> Repetition:
    """Return a person as the first component of NDL, its parts as subcomponents (CNN)."""
    flat = [one if isinstance(one, str) else one[0] if one else "" for one in person[:9]]
    authority = person[8] if len(person) > 8 else ""  # noqa: PLR2004  (XCN.9)
    universal = authority if isinstance(authority, tuple) else (authority, "", "")
    return ((*flat[:7], "", *universal),)
