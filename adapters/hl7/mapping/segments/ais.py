"""AIS, AIG, AIL and AIP as the service and the participants of an Appointment.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-ais-to-appointment.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-aip-to-appointment.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from adapters.hl7.mapping.context import Context, Json, add
from adapters.hl7.mapping.datatypes import cwe, hd
from adapters.hl7.mapping.datatypes.period import clock
from adapters.hl7.mapping.segments import practitioner
from adapters.hl7.mapping.segments.location import location
from adapters.hl7.mapping.segments.sch import MINUTES, instant, minutes
from adapters.hl7.message.accounting import CONDITION_FALSE, INVALID_VALUE
from adapters.hl7.message.tokenizer import Segment

# Where each segment has its start; the offset, the duration and the filler status follow.
_START: Final[Mapping[str, int]] = {"AIS": 4, "AIG": 8, "AIL": 6, "AIP": 6}
NAMES: Final = frozenset(_START)
_DELETED: Final = "D"  # 0206
_STATUS: Final = {  # 0278 as the answer of a participant
    "BOOKED": "accepted",
    "STARTED": "accepted",
    "COMPLETE": "accepted",
    "OVERBOOK": "accepted",
    "PENDING": "tentative",
    "WAITLIST": "tentative",
    "CANCELLED": "declined",
    "DELETED": "declined",
    "DISCONTINUED": "declined",
    "NOSHOW": "declined",
}


@dataclass(frozen=True, slots=True)
class Slot:
    """A start and an end as instants, "" where there is none."""

    start: str = ""
    end: str = ""

    @property
    def period(self) -> Json:
        """The slot as a Period."""
        named = {"start": self.start, "end": self.end}
        return {name: value for name, value in named.items() if value}


def add_resource(ctx: Context, segment: Segment, resource: Json, around: Slot) -> Slot:
    """Add what a segment schedules to the Appointment; return its slot.

    `around` is when the appointment starts: an offset counts from there. What the
    action code deletes is no part of the appointment any more.
    """
    if segment.peek(2) == _DELETED:
        for number in range(2, len(segment.fields)):
            segment.refuse(number, CONDITION_FALSE)
        return Slot()
    slot = _slot(ctx, segment, around)
    if segment.name == "AIS":
        service = cwe.first_concept(ctx, segment, 3, "Appointment.serviceType")
        add(resource, "serviceType", service)
        for number in (11, 12):
            for more in cwe.concepts(ctx, segment, number, "Appointment.serviceType"):
                add(resource, "serviceType", more)
        return slot
    if actor := _actor(ctx, segment, resource):
        _participant(ctx, segment, actor, slot, resource)
    return slot


def _participant(ctx: Context, segment: Segment, actor: Json, slot: Slot, resource: Json) -> None:
    found: Json = {}
    if segment.name != "AIL":
        kind = cwe.first_concept(ctx, segment, 4, "Appointment.participant.type", table="0182")
        if kind:
            found["type"] = [kind]
    found["actor"] = actor
    rep = segment.first(_START[segment.name] + 6)
    said = _STATUS.get(rep.peek(1).upper()) if rep is not None else None
    if rep is not None and not said:
        rep.segment.refuse(rep.number, INVALID_VALUE)
    found["status"] = said or "accepted"
    if said and rep is not None:
        for component in (1, 2, 3):
            rep.mark(component, "Appointment.participant.status")
    if slot.period:
        found["period"] = slot.period
    add(resource, "participant", found)


def _actor(ctx: Context, segment: Segment, resource: Json) -> Json | None:
    """Return the reference of AIP-3 (a person), AIL-3 (a place) or AIG-3 (something else)."""
    rep = segment.first(3)
    if rep is None:
        return None
    if segment.name == "AIL":
        return location(ctx, rep)
    if segment.name == "AIP":
        person = practitioner.practitioner(ctx, rep, resource)
        return {"reference": person} if person else None
    path = "Appointment.participant.actor"
    code, text = rep.peek(1), rep.take(2, f"{path}.display")
    found: Json = {}
    if code:
        system = hd.system_of(ctx, rep.take(3, f"{path}.identifier.system"), "", "", "resource")
        found["identifier"] = {"system": system, "value": rep.take(1, f"{path}.identifier.value")}
    if text:
        found["display"] = text
    return found or None


def _slot(ctx: Context, segment: Segment, around: Slot) -> Slot:
    """The start, or the offset from the appointment's; and the duration from there."""
    at = _START[segment.name]
    path = "Appointment.participant.period"
    rep = segment.first(at)
    start = instant(ctx, rep) if rep is not None else ""
    if rep is not None and start:
        rep.mark(1, f"{path}.start")
        segment.refuse(at + 1, CONDITION_FALSE)
    elif around.start and (offset := _offset(segment, at + 1)) is not None:
        start = later(around.start, offset)
    if not start:
        return Slot()
    length = minutes(segment, at + 3, at + 4)
    return Slot(start, later(start, length) if length else "")


def _offset(segment: Segment, number: int) -> int | None:
    """Return an offset in minutes, which may be none or before."""
    text = segment.peek(number)
    unit = MINUTES.get(segment.peek(number + 1).upper())
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if not digits.isdecimal() or unit is None:
        return None
    segment.take(number, "Appointment.participant.period.start")
    segment.take(number + 1, "Appointment.participant.period.start")
    return sign * int(digits) * unit


def later(moment: str, count: int) -> str:
    """Return an instant some minutes later, in its own offset."""
    return (clock(moment) + timedelta(minutes=count)).isoformat()
