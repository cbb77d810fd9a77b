"""ADT as Patient and Encounter with all that belongs to them, by trigger event.

https://hl7.org/fhir/uv/v2mappings/STU1/message_maps.html
HL7 v2.9 chapter 3, section 3.3.
"""

from collections.abc import Mapping
from typing import Final

from adapters.hl7.mapping import happened
from adapters.hl7.mapping.context import Context, Json, Refusal, add, put
from adapters.hl7.mapping.datatypes import dtm
from adapters.hl7.mapping.messages.person import person, roles
from adapters.hl7.mapping.segments import account, dg1, evn, npu, nte, obx, pr1, pv1, rol
from adapters.hl7.mapping.segments.obx import Surroundings
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.accounting import CONDITION_FALSE
from adapters.hl7.message.grouping import PatientGroup, grouped
from adapters.hl7.message.tokenizer import Segment

# The status that an event gives the visit; "" where PV1-2 and PV1-45 tell it.
STATUS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("A01", "A04", "A06", "A07"), ""),
    **dict.fromkeys(("A02", "A13", "A22", "A52"), "in-progress"),
    "A03": "finished",
    **dict.fromkeys(("A05", "A14"), "planned"),
    "A10": "arrived",
    **dict.fromkeys(("A11", "A27", "A38"), "cancelled"),
    **dict.fromkeys(("A21", "A53"), "onleave"),
    "A23": "entered-in-error",
    # These leave a stored visit what it is (mapping/happened).
    **dict.fromkeys(("A08", "A09", "A12", "A15", "A16", "A17", "A25", "A26"), ""),
    **dict.fromkeys(("A32", "A33", "A54", "A55", "A60", "A61", "A62"), ""),
}
PERSON_ONLY: Final = frozenset(("A28", "A29", "A31"))
EVENTS: Final = frozenset(STATUS) | PERSON_ONLY
_DELETED_PERSON: Final = "A29"
_TRANSFER: Final = "A02"
_PENDING_TRANSFER: Final = "A15"
_MOVED: Final = frozenset(("A02", "A17"))
_EXPECTED: Final = frozenset(("A05", "A14"))


def admissions(ctx: Context) -> None:
    """Add the resources of all patients of the message; raises Refusal."""
    kind = ctx.message.header.first(9)
    event = kind.peek(2) if kind else ""
    announced = next(iter(ctx.message.named("EVN")), None)
    targets: list[str] = []
    for group in grouped(ctx.message, ctx.profile.obx_after_spm):
        targets += _patient(ctx, group, event, announced)
    if not targets:
        raise Refusal("NO_PATIENT_ID", "The message names no patient", "PID", code="100")
    if announced is not None:
        evn.event(ctx, announced, event, targets)


def bed_status(ctx: Context) -> None:
    """Add the Locations whose state A20 tells."""
    for segment in ctx.message.named("NPU"):
        npu.bed(ctx, segment)


def _patient(ctx: Context, group: PatientGroup, event: str, announced: Segment | None) -> list[str]:
    """Add what the message says of a patient; return the references of person and visit."""
    subject = person(ctx, group, "PUT")
    if event == _DELETED_PERSON:
        ctx.writes[subject].resource["active"] = False
    visit = "" if event in PERSON_ONLY else _visit(ctx, group, subject, event, announced)
    if group.pv1 is not None and not visit:
        _refuse(group)
    _clinical(ctx, group, subject, visit)
    key = who(ctx, subject)
    around = Surroundings(key=ctx.key("Patient", key), patient=subject, encounter=visit)
    for result in group.results:
        obx.observation(ctx, result, around)
    if group.notes:
        text = "\x1f".join(note.raw(3) for note in group.notes)
        nte.observation(ctx, group.notes, ctx.key("PID-NTE", key, text), subject, "final")
    return [subject, visit] if visit else [subject]


def _refuse(group: PatientGroup) -> None:
    """A visit that the event does not speak of, or that nothing names, is not stored."""
    for segment in (group.pv1, *group.named("PV2")):
        if segment is not None:
            for number in range(2, len(segment.fields)):
                segment.disown(number, CONDITION_FALSE)


def _visit(
    ctx: Context, group: PatientGroup, subject: str, event: str, announced: Segment | None
) -> str:
    """Add the Encounter after the event; return its reference, "" where nothing names it."""
    first = group.pv1
    if first is None or not _is_named(ctx, group):
        if first is not None and len(first.fields) > 2:  # noqa: PLR2004  (the set id alone)
            ctx.warn("PV1 has neither a visit number nor an admission time")
        return ""
    second = next(iter(group.named("PV2")), None)
    found = pv1.described(ctx, first, subject, second, group.pid)
    resource = found.resource
    identity = found.identity or pv1.key(ctx, first, subject, resource)
    for segment in roles(group):
        if not rol.is_primary_care(segment):
            rol.participant(ctx, segment, resource)
    when = _occurred(ctx, announced)
    _settle(resource, event, when)
    put(resource, "episodeOfCare", _list(pv1.episode_of_care(ctx, first, subject)))
    held = account.account(ctx, group.pid, subject) if group.pid is not None else None
    put(resource, "account", _list({"reference": held} if held else None))
    pv1.financial_class(ctx, first, subject)
    effect = happened.effect(event, when, ends="end" in resource.get("period", {}))
    return ctx.write("PUT", identity, resource, cleared=found.cleared, effect=effect)


def _is_named(ctx: Context, group: PatientGroup) -> bool:
    first = group.pv1
    if first is None:
        return False
    by_account = ctx.profile.visit_from_account and group.pid is not None and group.pid.valued(18)
    return by_account or any(first.valued(number) for number in (19, 50, 44))


def _list(found: Json | None) -> list[Json]:
    return [found] if found else []


def _occurred(ctx: Context, announced: Segment | None) -> str:
    """Return the time of the event: EVN-6, EVN-2, else MSH-7."""
    texts = [announced.peek(6), announced.peek(2)] if announced is not None else []
    for text in (*texts, ctx.message.header.peek(7)):
        found = dtm.read(ctx, text) if text else None
        if found is not None:
            return found.text
    return ""


def _settle(resource: Json, event: str, when: str) -> None:
    """Give the Encounter what the event says of it, stored or not."""
    resource["status"] = STATUS[event] or resource["status"]
    period = resource.setdefault("period", {})
    if event == "A03" and "end" not in period:
        put(period, "end", when)
    if event == "A13":
        period.pop("end", None)
    if not period:
        del resource["period"]
    for place in resource.get("location", ()):
        if event in _MOVED and when and place["status"] == "completed":
            place["period"] = {"end": when}
        if event == _PENDING_TRANSFER and place["status"] == "reserved":
            place["status"] = "planned"
        if event in _EXPECTED and place["status"] == "active":
            place["status"] = "planned"


def _clinical(ctx: Context, group: PatientGroup, subject: str, visit: str) -> None:
    """Add diagnoses and procedures, and the diagnoses to the Encounter."""
    for segment in group.named("DG1"):
        reference = dg1.condition(ctx, segment, subject, visit)
        if visit:
            found = dg1.diagnosis(ctx, segment, reference)
            add(ctx.writes[visit].resource, "diagnosis", found)
    for segment in group.named("PR1"):
        pr1.procedure(ctx, segment, subject, visit)
