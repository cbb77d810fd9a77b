"""OML^O21, O33, O35 and ORM^O01 as requests with their specimens, reasons and history.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-message-oml-o21-to-bundle.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-message-orm-o01-to-bundle.html
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from adapters.hl7.mapping import event_time
from adapters.hl7.mapping.context import Context, Json, add, put
from adapters.hl7.mapping.messages.subject import Subject, subject_of
from adapters.hl7.mapping.segments import dg1, obx, orc, order, order_status, rxo, spm
from adapters.hl7.mapping.segments.obx import Surroundings
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.accounting import PROFILE_IGNORED
from adapters.hl7.message.grouping import OrderGroup, PatientGroup, grouped

_REPLACED: Final = "RP"
_REPLACING: Final = "RO"


@dataclass(slots=True)
class _Asking:
    """For whom is ordered, and what the orders of one patient share.

    `shared` are numbers under which several codes are ordered; `replaced` are the
    orders that RP named and the next RO stands for.
    """

    subject: Subject
    shared: set[str]
    replaced: list[str] = field(default_factory=list)

    @property
    def patient(self) -> str:
        """The reference of the patient."""
        return self.subject.reference


def orders(ctx: Context) -> None:
    """Add the resources of all patients of the message; raises Refusal."""
    for group in grouped(ctx.message, ctx.profile.obx_after_spm):
        if group.prior:
            _ignore(group)
        else:
            _patient(ctx, group)


def _ignore(group: PatientGroup) -> None:
    """Earlier results that are sent with an order came as results before."""
    segments = [group.pid, group.pv1, *group.notes]
    segments += [one for found in group.segments.values() for one in found]
    results = list(group.results)
    for asked in group.orders:
        results += asked.results
        segments += [asked.orc, asked.obr, *asked.notes]
        segments += [one for found in asked.segments.values() for one in found]
    segments += [one for result in results for one in (result.obx, *result.notes)]
    for segment in segments:
        if segment is not None:
            for number in range(1, len(segment.fields)):
                segment.refuse(number, PROFILE_IGNORED)


def _patient(ctx: Context, group: PatientGroup) -> None:
    subject = subject_of(ctx, group)
    asked = [order.order(ctx, g.orc, g.obr, g.notes, g.named("TQ1")) for g in group.orders]
    around = _Asking(subject, _shared_numbers(asked))
    for one, part in zip(asked, group.orders, strict=True):
        told = ctx.event_time
        ctx.event_time = event_time.of_order(ctx, part.orc)
        _order(ctx, one, part, around)
        ctx.event_time = told
    for alone in group.specimens:
        numbers = (ctx.message.header.raw(10), str(alone.spm.index))
        key = ctx.key("Specimen", who(ctx, subject.reference), *numbers)
        reference = spm.specimen(ctx, alone, None, subject.reference, key, collected=False)
        seen = Surroundings(key=key, patient=subject.reference, specimen=reference)
        for result in alone.results:
            obx.observation(ctx, result, seen, focus=reference)


def _shared_numbers(asked: Sequence[order.Order]) -> set[str]:
    """Return the numbers under which this message orders several codes."""
    codes = {(one.number, one.code) for one in asked}
    counts = Counter(number for number, _ in codes)
    return {number for number, count in counts.items() if count > 1}


def _order(ctx: Context, asked: order.Order, group: OrderGroup, around: _Asking) -> None:
    """Add one order with all that it refers to, its history, and the request to cancel it."""
    medication = bool(group.named("RXO"))
    if medication:
        resource = rxo.described(ctx, asked, group, around.patient)
        identity: tuple[str, ...] = (asked.number,) if asked.number else ()
    else:
        resource, identity = order.described(
            ctx, asked, around.patient, "", scope_by_code=asked.number in around.shared
        )
    key = ctx.key(resource["resourceType"], *(identity or _anonymous(ctx, asked, around)))
    if not identity:
        add(resource, "identifier", ctx.key_identifier(key))
        identity = (ctx.key_token(key),)
    revokes = ctx.profile.cancel_request_revokes and asked.orc.peek(1) == order_status.CANCEL
    if revokes and not order_status.is_explicit(asked.orc):
        resource["status"] = "cancelled" if medication else "revoked"
    around.subject.visit_in(resource)
    _complete(ctx, asked, group, around, key, resource)
    effect = effect_of(asked, medication=medication, revokes=revokes)
    gone = frozenset[str]() if medication else order.cleared(asked)
    reference = ctx.write("PUT", identity, resource, cleared=gone, effect=effect)
    order.link_parents(ctx, reference, resource)
    if not ctx.profile.cancel_request_revokes:
        orc.cancellation(ctx, asked.orc, reference, around.patient, asked.number)
    orc.provenance(ctx, asked.orc, reference, asked.number)
    if asked.orc.peek(1) == _REPLACED:
        around.replaced.append(reference)


def _complete(
    ctx: Context,
    asked: order.Order,
    group: OrderGroup,
    around: _Asking,
    key: str,
    resource: Json,
) -> None:
    """Add what an order refers to: specimens, diagnoses, observations, what it replaces."""
    for segment in group.named("DG1"):
        diagnosis = dg1.condition(ctx, segment, around.patient, around.subject.numbered_visit())
        add(resource, "reasonReference", {"reference": diagnosis})
    if resource["resourceType"] == "ServiceRequest":
        _specimens(ctx, asked, group, around, key, resource)
        _replacement(asked, around, resource)
    _supporting(ctx, group, around, key, resource)


def effect_of(
    asked: order.Order, *, medication: bool, revokes: bool
) -> Callable[[Json, Json], Json] | None:
    """Return what an order control does to the request that is stored."""
    if order_status.is_explicit(asked.orc):
        return None
    if order_status.keeps(asked.orc, asked.obr) and not revokes:
        return order_status.kept
    return rxo.settled if medication else order_status.settled


def _anonymous(ctx: Context, asked: order.Order, around: _Asking) -> tuple[str, ...]:
    """Return what tells an order without numbers apart."""
    when = asked.orc.raw(9) or asked.obr.raw(6) or ctx.message.header.raw(10)
    return (who(ctx, around.patient), asked.code, when)


def _specimens(
    ctx: Context,
    asked: order.Order,
    group: OrderGroup,
    around: _Asking,
    key: str,
    resource: Json,
) -> None:
    obr = asked.obr
    found = [
        spm.specimen(ctx, one, obr, around.patient, key, collected=False) for one in group.specimens
    ]
    if not found and (only := spm.of_obr(ctx, obr, around.patient, key, collected=False)):
        found = [only]
    put(resource, "specimen", [{"reference": one} for one in dict.fromkeys(found)])
    described = Surroundings(key=ctx.key("SPM", key), patient=around.patient)
    for one, reference in zip(group.specimens, found, strict=False):
        for result in one.results:
            observed = obx.observation(ctx, result, described, focus=reference)
            add(resource, "supportingInfo", {"reference": observed.reference})


def _supporting(ctx: Context, group: OrderGroup, around: _Asking, key: str, resource: Json) -> None:
    surroundings = Surroundings(key=key, patient=around.patient)
    for result in group.results:
        observed = obx.observation(ctx, result, surroundings)
        add(resource, "supportingInfo", {"reference": observed.reference})


def _replacement(asked: order.Order, around: _Asking, resource: Json) -> None:
    """RO stands for the orders that RP named before it."""
    if asked.orc.peek(1) == _REPLACING and around.replaced:
        resource["replaces"] = [{"reference": one} for one in around.replaced]
        around.replaced = []
