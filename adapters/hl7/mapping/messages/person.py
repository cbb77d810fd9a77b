"""PID with PD1, NK1, ROL, AL1, IAM, GT1, IN1, IN2: the person of a message of any kind.

HL7 v2.9 chapter 3, section 3.3.1: the segments around PID are the same in all messages.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from adapters.hl7.mapping.context import Context
from adapters.hl7.mapping.segments import account, al1, evn, gt1, in1, nk1, pd1, pid, rol
from adapters.hl7.message.grouping import PatientGroup
from adapters.hl7.message.tokenizer import Segment


def person(ctx: Context, group: PatientGroup, method: Literal["PUT", "POST"] = "POST") -> str:
    """Return a reference to the Patient of a group, with all that is said of the person.

    `method` PUT updates the Patient, POST creates one where nobody is stored. Raises
    Refusal without an identification.
    """
    described = pid.described(ctx, group.pid)
    resource = described.resource
    cleared = pid.cleared(group.pid, ctx.profile.ssn_type) if group.pid is not None else frozenset()
    first = next(iter(group.named("PD1")), None)
    if first is not None:
        pd1.complete(ctx, first, resource)
        cleared |= pd1.cleared(first)
    kin = [(segment, nk1.is_contact(ctx, segment)) for segment in group.named("NK1")]
    for segment, (is_contact, _) in kin:
        if is_contact:
            nk1.contact(ctx, segment, resource)
    for segment in roles(group):
        if rol.is_primary_care(segment):
            rol.general_practitioner(ctx, segment, resource)
    reference = ctx.write(method, described.identity, resource, cleared=cleared)
    for segment, (_, is_related) in kin:
        if is_related:
            nk1.related_person(ctx, segment, reference)
    _belongings(ctx, group, reference, first)
    return reference


def roles(group: PatientGroup) -> list[Segment]:
    """Return the ROL and PRT of a group."""
    return [*group.named("ROL"), *group.named("PRT")]


def _belongings(ctx: Context, group: PatientGroup, patient: str, first: Segment | None) -> None:
    """Add what is stored beside the Patient: account, mother, will, allergies, insurances."""
    if group.pid is not None:
        told = (gt1.guarantor(ctx, segment, patient) for segment in group.named("GT1"))
        account.account(ctx, group.pid, patient, [one for one in told if one])
        nk1.mother(ctx, group.pid, patient)
        evn.last_update(ctx, group.pid, patient)
    if first is not None:
        pd1.living_will(ctx, first, patient, ctx.key("PD1-7", pid.who(ctx, patient)))
    for name in ("AL1", "IAM"):
        for segment in group.named(name):
            al1.allergy(ctx, segment, patient)
    for segment, more in _insurances(group):
        in1.coverage(ctx, segment, patient, more)


def _insurances(group: PatientGroup) -> Iterator[tuple[Segment, Segment | None]]:
    """Yield each IN1 with the IN2 that follows it."""
    found = sorted([*group.named("IN1"), *group.named("IN2")], key=lambda one: one.index)
    for first, second in pairwise([*found, None]):
        if first is not None and first.name == "IN1":
            follows = second is not None and second.name == "IN2"
            yield first, second if follows else None
