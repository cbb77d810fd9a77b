"""Quality control: results of the analyzer itself, which are nobody's.

HL7 v2.9 chapter 7, section 7.4.3.11 (SPM-11, table 0369), chapter 13, section 13.4.4
(INV).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from adapters.hl7.mapping import event_time
from adapters.hl7.mapping.code_tables import THO
from adapters.hl7.mapping.context import Context, Json, add, coding, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.segments import obx, order, spm
from adapters.hl7.mapping.segments.obx import Surroundings
from adapters.hl7.mapping.sender_rules import QcRule
from adapters.hl7.message.accounting import CONDITION_FALSE, PROFILE_IGNORED
from adapters.hl7.message.grouping import OrderGroup, PatientGroup, SpecimenGroup
from adapters.hl7.message.tokenizer import Message, Segment

ROLES: Final = frozenset("QCEVBFO")
TAG: Final = "qc"
_ROLE_FIELD: Final = 11
_GROUPED: Final = frozenset(("ORC", "OBR", "OBX", "SPM", "SAC", "NTE"))


def is_control(
    role: str, message: Message, group: Sequence[Segment], rules: Sequence[QcRule]
) -> bool:
    """Return whether a group of segments is quality control.

    `role` is SPM-11, "" where it is not said. A rule of the profile is matched with the
    segments of its name in the group, and of the message where the name is of the
    message as a whole (MSH, PID, INV).
    """
    if role in ROLES:
        return True
    for rule in rules:
        name = rule.place.segment
        among = group if name in _GROUPED else message.segments
        if any(_matches(rule, segment) for segment in among if segment.name == name):
            return True
    return False


def _matches(rule: QcRule, segment: Segment) -> bool:
    rep = segment.first(rule.place.number)
    text = rep.peek(rule.place.component or 1, rule.place.sub or 1) if rep is not None else ""
    return bool(text) and rule.pattern.search(text) is not None


def separated(ctx: Context, group: PatientGroup) -> PatientGroup | None:
    """Add the quality control of a group, and return what is left of it.

    None where there was nothing but quality control: whoever PID and PV1 name is no
    patient then.
    """
    orders = [part for part in group.orders if not _took(ctx, part)]
    alone = [one for one in group.specimens if not _took(ctx, OrderGroup(specimens=[one]))]
    if len(orders) == len(group.orders) and len(alone) == len(group.specimens):
        return group
    if orders or alone or group.results:
        return replace(group, orders=orders, specimens=alone)
    segments = [group.pid, group.pv1, *group.notes]
    segments += [one for found in group.segments.values() for one in found]
    _refuse(segments, CONDITION_FALSE)
    return None


def _took(ctx: Context, part: OrderGroup) -> bool:
    if not _is_control(ctx, part):
        return False
    if ctx.profile.qc_policy == "inbox_only":
        _refuse(_segments(part), PROFILE_IGNORED)
    else:
        _results(ctx, part)
    return True


def _is_control(ctx: Context, part: OrderGroup) -> bool:
    roles = [one.spm.peek(_ROLE_FIELD) for one in part.specimens if one.spm.raw(_ROLE_FIELD)]
    if any(role in ROLES for role in roles):
        return True
    rules = ctx.profile.qc
    return bool(rules) and is_control("", ctx.message, list(_segments(part)), rules)


def _segments(part: OrderGroup) -> Iterator[Segment]:
    if part.orc is not None:
        yield part.orc
    if part.obr is not None:
        yield part.obr
    yield from part.notes
    results = list(part.results)
    for described in part.specimens:
        yield from (described.spm, *described.containers, *described.notes)
        results += described.results
    for result in results:
        yield from (result.obx, *result.notes)


def _refuse(segments: Sequence[Segment | None] | Iterator[Segment], reason: str) -> None:
    for segment in segments:
        if segment is not None:
            for number in range(1, len(segment.fields)):
                segment.refuse(number, reason)


def _results(ctx: Context, part: OrderGroup) -> None:
    asked = order.order(ctx, part.orc, part.obr, ())
    ctx.event_time = event_time.of_result(ctx, asked.obr)
    results = [*part.results, *(one for group in part.specimens for one in group.results)]
    analyzer = _analyzer(ctx, [result.obx for result in results])
    key = _key(ctx, asked, part)
    lots = [_lot(ctx, group, key) for group in part.specimens]
    effective: Json = {}
    dtm.put_date_time(ctx, effective, "effectiveDateTime", asked.obr, 7, "Observation")
    around = Surroundings(
        key=key,
        patient=analyzer,
        specimen=lots[0] if lots else "",
        effective=tuple(effective.items()),
        report_status=asked.obr.peek(25),
    )
    for result in results:
        observed = obx.observation(ctx, result, around)
        _tag(ctx.writes[observed.reference].resource, ctx)


def _tag(resource: Json, ctx: Context) -> None:
    tags = [{"system": f"{ctx.profile.base}/hl7/tags", "code": TAG}]
    resource["meta"] = {"tag": tags}


def _key(ctx: Context, asked: order.Order, part: OrderGroup) -> str:
    """Return the key of a run: its number and code, specimen and time, else its message."""
    specimens = [group.spm.raw(number) for group in part.specimens for number in (2, 30)]
    moments = [asked.obr.raw(7), *(result.obx.raw(14) for result in part.results[:1])]
    moment = next(filter(None, moments), "") or ctx.message.header.raw(10)
    return ctx.key("Control", asked.number, asked.code, *specimens, moment)


def _analyzer(ctx: Context, results: Sequence[Segment]) -> str:
    """Return a reference to the analyzer: OBX-18, else EQU-1, else the sender."""
    for segment in results:
        if segment.raw(18) and (device := obx.device(ctx, segment.repetitions(18))):
            return device
    equipment = ctx.message.named("EQU")
    rep = equipment[0].first(1) if equipment else None
    number = hd.ei(ctx, rep, "Device.identifier", "device") if rep is not None else None
    if number is None:
        number = {"system": ctx.profile.ids("sender"), "value": ctx.profile.sender}
    resource: Json = {"resourceType": "Device", "identifier": [number]}
    return ctx.write("POST", (hd.token(number),), resource)


def _lot(ctx: Context, group: SpecimenGroup, key: str) -> str:
    """Return a reference to the control material, with the lot that INV names."""
    reference = spm.specimen(ctx, group, None, "", key)
    if reference not in ctx.writes:
        return reference
    resource = ctx.writes[reference].resource
    _tag(resource, ctx)
    if role := group.spm.take(_ROLE_FIELD, "Specimen.meta.tag"):
        resource["meta"]["tag"].append(coding(THO + "v2-0369", role))
    for inventory in _inventory(group):
        _from_inventory(ctx, inventory, resource)
    return reference


def _inventory(group: SpecimenGroup) -> Iterator[Segment]:
    """Yield the INV that follow the specimen and its containers."""
    last = group.containers[-1] if group.containers else group.spm
    for segment in last.message.segments[last.index + 1 :]:
        if segment.name == "INV":
            yield segment
        elif segment.name not in {"SAC", "NTE"}:
            return


def _from_inventory(ctx: Context, inventory: Segment, resource: Json) -> None:
    if lot := inventory.take(16, "Specimen.identifier.value"):
        system = ctx.profile.ids("lot")
        add(resource, "identifier", {"type": {"text": "lot"}, "system": system, "value": lot})
    if "type" not in resource:
        put(resource, "type", cwe.first_concept(ctx, inventory, 1, "Specimen.type"))
    if expires := inventory.peek(12):
        found = dtm.read(ctx, expires)
        if found is not None:
            inventory.take(12, "Specimen.note.text")
            add(resource, "note", {"text": f"Expires {found.text}"})
