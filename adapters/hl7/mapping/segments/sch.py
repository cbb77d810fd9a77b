"""SCH and NTE as Appointment.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-sch-to-appointment.html
"""

from collections.abc import Sequence
from typing import Final

from adapters.hl7.mapping.code_tables import EXTENSION_R5, THO
from adapters.hl7.mapping.context import Context, Json, add, extend, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd, nm
from adapters.hl7.mapping.segments import nte, practitioner
from adapters.hl7.message.accounting import CONDITION_FALSE, INVALID_VALUE
from adapters.hl7.message.tokenizer import Repetition, Segment

_OF_STATUS: Final = {  # 0278
    "PENDING": "pending",
    "WAITLIST": "waitlist",
    "BOOKED": "booked",
    "STARTED": "checked-in",
    "COMPLETE": "fulfilled",
    "CANCELLED": "cancelled",
    "DELETED": "entered-in-error",
    "NOSHOW": "noshow",
    "DISCONTINUED": "cancelled",
    "BLOCKED": "booked",
    "OVERBOOK": "booked",
}
STATUS_OF_EVENT: Final = {
    **dict.fromkeys(("S12", "S13", "S14", "S18", "S19", "S20", "S21", "S22"), "booked"),
    **dict.fromkeys(("S15", "S16"), "cancelled"),
    "S17": "entered-in-error",
    "S26": "noshow",
}
_WITHOUT_TIME: Final = frozenset(("proposed", "cancelled", "waitlist"))  # app-3
_CANCELLED: Final = frozenset(("cancelled", "noshow"))  # app-4
_TYPE_TABLE: Final = "HL70277"
_REASONS: Final = {  # 0276
    code: ("http://snomed.info/sct", mapped)
    for code, mapped in (
        ("ROUTINE", "3780001"),
        ("CHECKUP", "866149003"),
        ("FOLLOWUP", "185389009"),
        ("EMERGENCY", "373110003"),
    )
}
MINUTES: Final = {
    **dict.fromkeys(("", "M", "MIN", "MINS", "MINUTE", "MINUTES"), 1),
    **dict.fromkeys(("H", "HR", "HRS", "HOUR", "HOURS"), 60),
    **dict.fromkeys(("D", "DAY", "DAYS"), 1440),
}
_PEOPLE: Final[tuple[tuple[int, Json], ...]] = (
    (12, {"text": "placer contact"}),
    (16, {"text": "filler contact"}),
    (
        20,
        {"coding": [{"system": THO + "provenance-participant-type", "code": "enterer"}]},
    ),
)


def appointment(ctx: Context, sch: Segment, event: str, services: Sequence[Segment]) -> Json:
    """Return the Appointment of a SCH without its times and without its resources.

    Its status is SCH-25, else AIS-10 of one of the services, else that of the event.
    """
    resource: Json = {"resourceType": "Appointment"}
    path = "Appointment.identifier"
    for number, code, default in ((1, "PLAC", "appointment"), (2, "FILL", "appointment-filler")):
        rep = sch.first(number)
        if rep is not None and (identifier := hd.ei(ctx, rep, path, default)):
            add(resource, "identifier", {"type": hd.fixed_type(code), **identifier})
    _status(((sch, 25), *((ais, 10) for ais in services)), event, resource)
    _reasons(ctx, sch, resource)
    for number, kind in _PEOPLE:
        for rep in sch.repetitions(number):
            if person := practitioner.practitioner(ctx, rep, resource):
                add(resource, "participant", participant(person, kind))
    _orders(ctx, sch, resource)
    return resource


def participant(reference: str, kind: Json | None = None) -> Json:
    """Return a participant, who has accepted (the sender schedules for all)."""
    found: Json = {"type": [kind]} if kind else {}
    return {**found, "actor": {"reference": reference}, "status": "accepted"}


def put_notes(ctx: Context, notes: Sequence[Segment], resource: Json) -> None:
    """Add notes, which R4 has only as an extension of R5."""
    for annotation in nte.annotations(ctx, notes, resource, "Appointment.extension"):
        extend(resource, {"url": EXTENSION_R5 + "Appointment.note", "valueAnnotation": annotation})


def needs_time(resource: Json) -> bool:
    """Whether an appointment of this status has to have a time (app-3)."""
    return resource["status"] not in _WITHOUT_TIME


def minutes(segment: Segment, number: int, unit: int) -> int | None:
    """Return a duration in minutes and mark it; None where it is none."""
    rep = segment.first(number)
    if rep is None:
        return None
    said = segment.first(unit)
    factor = MINUTES.get(said.peek(1).upper() if said is not None else "")
    count = nm.whole(rep.peek(1))
    if factor is None or count is None:
        segment.refuse(number, INVALID_VALUE)
        return None
    rep.mark(1, "Appointment.minutesDuration")
    if said is not None:
        for component in (1, 2, 3):
            said.mark(component, "Appointment.minutesDuration")
    return count * factor


def _status(places: Sequence[tuple[Segment, int]], event: str, resource: Json) -> None:
    resource["status"] = STATUS_OF_EVENT[event]
    told = False
    for segment, number in places:
        rep = segment.first(number)
        code = rep.peek(1) if rep is not None else ""
        if rep is None or not code:
            continue
        if told:
            segment.refuse(number, CONDITION_FALSE)
            continue
        told = True
        resource["status"] = _OF_STATUS.get(code.upper(), resource["status"])
        resource["_status"] = cwe.alternate("0278", code)
        for component in (1, 2, 3):
            rep.mark(component, "Appointment.status")


def _reasons(ctx: Context, sch: Segment, resource: Json) -> None:
    """SCH-7 and 8: what comes of table 0277 is the type, wherever it stands."""
    for number in (8, 7):
        rep = sch.first(number)
        if rep is None:
            continue
        kind = number == 8 or rep.peek(3) == _TYPE_TABLE  # noqa: PLR2004  (SCH-8)
        if kind and "appointmentType" not in resource:
            table, name = "0277", "appointmentType"
            put(resource, name, cwe.concept(ctx, rep, f"Appointment.{name}", table=table))
        elif not kind:
            path = "Appointment.reasonCode"
            concept = cwe.concept(ctx, rep, path, table="0276", translate=_REASONS)
            add(resource, "reasonCode", concept)
    if resource["status"] in _CANCELLED:
        reason = cwe.first_concept(ctx, sch, 6, "Appointment.cancelationReason")
        put(resource, "cancelationReason", reason)
    else:
        sch.refuse(6, CONDITION_FALSE)


def _orders(ctx: Context, sch: Segment, resource: Json) -> None:
    path = "Appointment.basedOn.identifier"
    for number, code, default in ((26, "PLAC", "placer"), (27, "FILL", "filler")):
        for rep in sch.repetitions(number):
            if identifier := hd.ei(ctx, rep, path, default):
                typed = {"type": hd.fixed_type(code), **identifier}
                add(resource, "basedOn", {"type": "ServiceRequest", "identifier": typed})


def times(ctx: Context, sch: Segment) -> tuple[Repetition | None, str, str]:
    """Return the TQ of SCH-11 with its start and end, "" where they are no instants."""
    rep = sch.first(11)
    if rep is None:
        return None, "", ""
    return rep, instant(ctx, rep, 4), instant(ctx, rep, 5)


def instant(ctx: Context, rep: Repetition, component: int = 1) -> str:
    """Return an instant: a time that lacks minutes or seconds is filled, a date is none."""
    text = rep.peek(component)
    found = dtm.read(ctx, text) if text else None
    if found is None or not found.timed:
        if text:
            rep.refuse(component, INVALID_VALUE)
        return ""
    return found.text
