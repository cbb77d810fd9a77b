"""SIU^S12 to S26 as Appointment.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-message-siu-s12-to-bundle.html
"""

from collections.abc import Sequence
from typing import Final

from adapters.hl7.mapping.code_tables import EXTENSION_R5
from adapters.hl7.mapping.context import Context, Json, Link, add, extend
from adapters.hl7.mapping.datatypes import hd
from adapters.hl7.mapping.datatypes.period import clock
from adapters.hl7.mapping.messages.subject import subject_of
from adapters.hl7.mapping.segments import ais, orc, practitioner, sch
from adapters.hl7.mapping.segments.ais import Slot
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.accounting import CONDITION_FALSE
from adapters.hl7.message.grouping import grouped, notes_after
from adapters.hl7.message.tokenizer import Segment

EVENTS: Final = tuple(sch.STATUS_OF_EVENT)
_ENDED: Final = frozenset(("fulfilled", "entered-in-error"))


def appointment(ctx: Context) -> None:
    """Add the Appointment of the message with all who take part; raises Refusal."""
    kind = ctx.message.header.first(9)
    event = kind.peek(2) if kind is not None else ""
    segment = ctx.message.named("SCH")[0]
    patients = [
        subject_of(ctx, group).reference for group in grouped(ctx.message) if group.pid is not None
    ]
    resource = sch.appointment(ctx, segment, event, ctx.message.named("AIS"))
    for patient in patients:
        url = EXTENSION_R5 + "Appointment.subject"
        extend(resource, {"url": url, "valueReference": {"reference": patient}})
        add(resource, "participant", sch.participant(patient))
    sch.put_notes(ctx, notes_after(segment), resource)
    _resources(ctx, segment, resource)
    if "participant" not in resource:
        # R4 wants one (cardinality 1..*): somebody who is not known takes part.
        resource["participant"] = [{"type": [{"text": "unknown"}], "status": "accepted"}]
    reference = _write(ctx, segment, resource, patients)
    _provenance(ctx, segment, reference)


def _resources(ctx: Context, segment: Segment, resource: Json) -> None:
    """Add services and participants, and the time of them all."""
    timings = ctx.message.named("TQ1")
    own = _own_slot(ctx, segment, timings)
    slots = []
    for part in ctx.message.segments:
        if part.name in ais.NAMES:
            slots.append(ais.add_resource(ctx, part, resource, own))
            sch.put_notes(ctx, notes_after(part), resource)
    _time(segment, resource, [own, *slots])


def _own_slot(ctx: Context, segment: Segment, timings: Sequence[Segment]) -> Slot:
    """TQ1-7 and 8, else SCH-11.4 and 11.5."""
    for timing in timings[:1]:
        first, last = timing.first(7), timing.first(8)
        start = sch.instant(ctx, first) if first is not None else ""
        if first is not None and start:
            first.mark(1, "Appointment.start")
            segment.refuse(11, CONDITION_FALSE)
            end = sch.instant(ctx, last) if last is not None else ""
            if last is not None and end:
                last.mark(1, "Appointment.end")
            return Slot(start, end)
    rep, start, end = sch.times(ctx, segment)
    if rep is not None:
        for component, value, name in ((4, start, "start"), (5, end, "end")):
            if value:
                rep.mark(component, f"Appointment.{name}")
    return Slot(start, end)


def _time(segment: Segment, resource: Json, slots: Sequence[Slot]) -> None:
    """Set start, end and duration: the first slot that has a start; an end it has to have."""
    length = sch.minutes(segment, 9, 10)
    if length:
        resource["minutesDuration"] = length
    slot = next((one for one in slots if one.start), None)
    if slot is None:
        if sch.needs_time(resource):
            resource["_start"] = resource["_end"] = orc.ABSENT
        return
    end = slot.end or (ais.later(slot.start, length) if length else slot.start)
    # An end before its start is the sender's error; both are needed (app-2, app-3).
    late = clock(end) >= clock(slot.start)
    resource["start"], resource["end"] = slot.start, end if late else slot.start


def _write(ctx: Context, segment: Segment, resource: Json, patients: Sequence[str]) -> str:
    """Write the Appointment under its numbers, else under its time."""
    identity = tuple(hd.token(one) for one in resource.get("identifier", ()))
    if not identity:
        parts = (
            *(who(ctx, one) for one in patients),
            resource.get("start", ""),
            segment.raw(7),
            segment.raw(8),
        )
        key = ctx.key("Appointment", *parts)
        resource["identifier"] = [ctx.key_identifier(key)]
        identity = (ctx.key_token(key),)
    reference = ctx.write("PUT", identity, resource, effect=_kept_ended)
    for based_on in resource.get("basedOn", ()):
        token = (hd.token(based_on["identifier"]),)
        ctx.links.append(Link(reference, "basedOn", "ServiceRequest", token))
    return reference


def _kept_ended(stored: Json, updated: Json) -> Json:
    """An appointment that is over, or was never one, is not booked again by a notice."""
    if stored.get("status") not in _ENDED or updated["status"] in _ENDED:
        return updated
    rest = {name: value for name, value in updated.items() if name not in {"status", "_status"}}
    return {**rest, **{name: stored[name] for name in ("status", "_status") if name in stored}}


def _provenance(ctx: Context, segment: Segment, reference: str) -> None:
    """SCH-20: who entered it."""
    resource: Json = {"resourceType": "Provenance", "target": [{"reference": reference}]}
    for rep in segment.repetitions(20):
        if person := practitioner.practitioner(ctx, rep, resource):
            add(resource, "agent", orc.agent_of("enterer", person))
    if "agent" in resource:
        orc.put_recorded(ctx, resource, "")
        moment = ctx.message.header.raw(7)
        orc.write(ctx, resource, ("SCH", reference, moment))
