"""The person and the visit that a message of another kind than ADT speaks of.

HL7 v2.9 chapter 4, section 4.4: PID, PD1, NK1, PV1, PV2, IN1 and AL1 before the orders.
"""

from dataclasses import dataclass

from adapters.hl7.mapping.context import Context, Json
from adapters.hl7.mapping.messages.person import person
from adapters.hl7.mapping.segments import dg1, nte, obx, pr1, pv1
from adapters.hl7.mapping.segments.obx import Surroundings
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.grouping import PatientGroup


@dataclass(frozen=True, slots=True)
class Subject:
    """A patient, and the visit: a reference, "#visit" for one that is `contained`, or ""."""

    reference: str
    encounter: str
    contained: Json | None

    def visit_in(self, resource: Json, name: str = "encounter") -> None:
        """Set the visit of a resource, which has to contain one without a number."""
        if self.contained is not None:
            resource.setdefault("contained", []).append(self.contained)
        if self.encounter:
            resource[name] = {"reference": self.encounter}

    def numbered_visit(self) -> str:
        """Return the reference of a visit that is a resource of its own, "" without one."""
        return "" if self.encounter.startswith("#") else self.encounter


def subject_of(ctx: Context, group: PatientGroup) -> Subject:
    """Return the subject of a group, with what the message says of it; raises Refusal."""
    patient = person(ctx, group)
    named = group.named("PV2")
    second = named[0] if named else None
    encounter, contained = pv1.encounter(ctx, group.pv1, patient, second, group.pid)
    if group.pv1 is not None and group.pv1.raw(20):
        pv1.financial_class(ctx, group.pv1, patient)
    visit = "" if encounter.startswith("#") else encounter
    for segment in group.named("DG1"):
        dg1.condition(ctx, segment, patient, visit)
    for segment in group.named("PR1"):
        pr1.procedure(ctx, segment, patient, visit)
    key = who(ctx, patient)
    around = Surroundings(key=ctx.key("Patient", key), patient=patient)
    for result in group.results:
        obx.observation(ctx, result, around)
    if group.notes:
        text = "\x1f".join(note.raw(3) for note in group.notes)
        nte.observation(ctx, group.notes, ctx.key("PID-NTE", key, text), patient, "final")
    return Subject(patient, encounter, contained)
