"""DFT^P03 as ChargeItem (the guide has no map of it).

HL7 v2.9 chapter 6, section 6.4.3.
"""

from adapters.hl7.mapping.context import Context
from adapters.hl7.mapping.messages.subject import Subject, subject_of
from adapters.hl7.mapping.segments import account, dg1, evn, ft1, obx, order, pr1
from adapters.hl7.mapping.segments.obx import Surroundings
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.grouping import OrderGroup, PatientGroup, grouped


def charges(ctx: Context) -> None:
    """Add the charges of all patients of the message; raises Refusal."""
    for group in grouped(ctx.message):
        _patient(ctx, group)


def _patient(ctx: Context, group: PatientGroup) -> None:
    subject = subject_of(ctx, group)
    pid = group.pid
    payer = account.account(ctx, pid, subject.reference) if pid is not None else None
    visit = subject.numbered_visit()
    segments = [*group.named("FT1"), *(one for part in group.orders for one in part.named("FT1"))]
    charged = [
        item
        for segment in segments
        if (item := ft1.charge_item(ctx, segment, subject.reference, payer, visit))
    ]
    for part in group.orders:
        for segment in part.named("PR1"):
            pr1.procedure(ctx, segment, subject.reference, visit)
        for segment in part.named("DG1"):
            dg1.condition(ctx, segment, subject.reference, visit)
        _order(ctx, part, subject)
    for segment in ctx.message.named("EVN")[:1]:
        evn.event(ctx, segment, "P03", charged or [subject.reference])


def _order(ctx: Context, part: OrderGroup, subject: Subject) -> None:
    """An order for which is charged, and what was observed with it."""
    asked = order.order(ctx, part.orc, part.obr, part.notes, part.named("TQ1"))
    order.service_request(ctx, asked, subject.reference, subject.encounter, scope_by_code=False)
    key = ctx.key("Charged", who(ctx, subject.reference), asked.number, asked.code)
    around = Surroundings(key=key, patient=subject.reference, encounter=subject.numbered_visit())
    for result in part.results:
        obx.observation(ctx, result, around)
