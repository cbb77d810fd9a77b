"""VXU^V04 as Immunization.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-message-vxu-v04-to-bundle.html
"""

from adapters.hl7.mapping import event_time
from adapters.hl7.mapping.context import Context, add
from adapters.hl7.mapping.messages.subject import Subject, subject_of
from adapters.hl7.mapping.segments import obx, orc, order, rxa
from adapters.hl7.mapping.segments.obx import Surroundings
from adapters.hl7.message.grouping import OrderGroup, grouped


def immunizations(ctx: Context) -> None:
    """Add the immunizations of all patients of the message; raises Refusal."""
    for group in grouped(ctx.message):
        subject = subject_of(ctx, group)
        for part in group.orders:
            told = ctx.event_time
            ctx.event_time = event_time.of_order(ctx, part.orc)
            _immunization(ctx, part, subject)
            ctx.event_time = told


def _immunization(ctx: Context, part: OrderGroup, subject: Subject) -> None:
    asked = order.order(ctx, part.orc, part.obr, part.notes, part.named("TQ1"))
    given = part.named("RXA")
    key = ctx.key("Vaccination", subject.reference, asked.number)
    reference = ""
    if given:
        resource = rxa.described(ctx, asked, part, subject.reference)
        subject.visit_in(resource)
        key = rxa.key(ctx, asked, given[0], subject.reference)
        reference = ctx.put_keyed(key, resource)
        orc.provenance(ctx, asked.orc, reference, asked.number)
    around = Surroundings(key=key, patient=subject.reference, encounter=subject.numbered_visit())
    for result in part.results:
        observed = obx.observation(ctx, result, around)
        written = ctx.writes.get(observed.reference)
        if written is not None and reference:
            add(written.resource, "partOf", {"reference": reference})
