"""ADT events that join, move or link what is stored of patients, accounts and visits.

HL7 v2.9 chapter 3, sections 3.3.18 to 3.3.51; the v2-to-FHIR guide has no map of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.hl7.mapping.context import Context, Json, Merge, Refusal
from adapters.hl7.mapping.datatypes import hd
from adapters.hl7.mapping.messages.person import person
from adapters.hl7.mapping.segments import evn, mrg, pv1
from adapters.hl7.mapping.segments.mrg import Prior
from adapters.hl7.message.accounting import CONDITION_FALSE
from adapters.hl7.message.grouping import PatientGroup, grouped
from adapters.hl7.message.partition import identities
from adapters.hl7.message.tokenizer import Segment

MOVES: Final = frozenset(("A43", "A44", "A45"))
"""Events after which both Patients stay, and something goes from one to the other."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """The Patient of PID: its reference in the message, and its identity."""

    reference: str
    identity: tuple[str, ...]


def merges(ctx: Context) -> None:
    """Add the Patients of the message, and what becomes of what MRG names.

    Raises Refusal NO_PATIENT_ID where PID or MRG names nobody.
    """
    event = _event(ctx)
    targets = []
    for group in _groups(ctx):
        prior = next(iter(group.named("MRG")), None)
        if prior is None:
            raise Refusal("NO_PATIENT_ID", "A PID has no MRG", "MRG", "100")
        survivor = _survivor(ctx, group)
        targets.append(survivor.reference)
        _JOINED[event](ctx, event, group, prior, survivor)
    _announce(ctx, event, targets)


def links(ctx: Context) -> None:
    """Add the two Patients of A24 or A37 and the link between them, made or taken away."""
    event, found = _event(ctx), _groups(ctx)
    if len(found) != 2:  # noqa: PLR2004  (one PID for each of them)
        raise Refusal("NO_PATIENT_ID", "The message does not name two patients", "PID", "100")
    first, second = (_survivor(ctx, group) for group in found)
    keys, others = (_keys(group.pid) for group in found)
    ctx.merges.append(
        Merge(event, "Patient", first.identity, second.identity, keys=keys, old_keys=others)
    )
    _announce(ctx, event, [first.reference, second.reference])


def _event(ctx: Context) -> str:
    kind = ctx.message.header.first(9)
    return kind.peek(2) if kind else ""


def _groups(ctx: Context) -> list[PatientGroup]:
    return [group for group in grouped(ctx.message) if group.pid is not None]


def _keys(segment: Segment | None) -> tuple[str, ...]:
    return tuple(identities(segment)) if segment is not None else ()


def _survivor(ctx: Context, group: PatientGroup) -> Survivor:
    """Add the Patient of PID, whose demographics are those that stay."""
    reference = person(ctx, group, "PUT")
    return Survivor(reference, ctx.writes[reference].identity)


def _announce(ctx: Context, event: str, targets: Sequence[str]) -> None:
    """Add what EVN says of the event."""
    for announced in ctx.message.named("EVN")[:1]:
        evn.event(ctx, announced, event, list(dict.fromkeys(targets)))


def _patients(
    ctx: Context, event: str, group: PatientGroup, prior: Segment, survivor: Survivor
) -> None:
    """Join the Patient of MRG-1 to that of PID-3, and the account and visit that are named."""
    old = _known_patient(ctx, prior)
    ctx.merges.append(_of_patients(event, group, prior, survivor, old))
    if prior.valued(3):
        _account(ctx, event, group, mrg.account(ctx, prior), survivor)
    if prior.valued(5) or prior.valued(6):
        _visit_or_nothing(ctx, event, group, prior, survivor)


def _of_patients(
    event: str, group: PatientGroup, prior: Segment, survivor: Survivor, old: Prior
) -> Merge:
    return Merge(
        event,
        "Patient",
        survivor.identity,
        old.identity,
        old.resource,
        keys=_keys(group.pid),
        old_keys=_keys(prior),
    )


def _known_patient(ctx: Context, prior: Segment) -> Prior:
    old = mrg.patient(ctx, prior)
    if not old.identity:
        raise Refusal("NO_PATIENT_ID", "The prior patient has no identifier", "MRG-1", "101")
    return old


def _identifiers(
    ctx: Context, event: str, group: PatientGroup, prior: Segment, survivor: Survivor
) -> None:
    """Move the identifiers of MRG-1 to the Patient of PID."""
    old = _known_patient(ctx, prior)
    ctx.merges.append(_of_patients(event, group, prior, survivor, old))


def _accounts(
    ctx: Context, event: str, group: PatientGroup, prior: Segment, survivor: Survivor
) -> None:
    """Join, or with A44 move, the Account of MRG-3 to that of PID-18."""
    old = mrg.account(ctx, prior)
    if not old.identity:
        raise Refusal("MAPPING_ERROR", "The prior account has no number", "MRG-3", "101")
    _leave_prior_patient(ctx, prior, survivor)
    _account(ctx, event, group, old, survivor)


def _account(ctx: Context, event: str, group: PatientGroup, old: Prior, survivor: Survivor) -> None:
    """Add the Account of PID-18 (else that of MRG-3 itself), which takes over the prior one."""
    rep = group.pid.first(18) if group.pid else None
    found = hd.cx(ctx, rep, "Account.identifier", "account") if rep else None
    resource: Json = {
        "resourceType": "Account",
        "identifier": [found] if found else old.resource["identifier"],
        "status": "active",
    }
    if event not in MOVES:
        # What moves is still another's; the move itself says whose it is then.
        resource["subject"] = [{"reference": survivor.reference}]
    identity = (hd.token(found),) if found else old.identity
    ctx.write("POST", identity, resource)
    if found or event in MOVES:
        patient = survivor.identity if event in MOVES else ()
        ctx.merges.append(
            Merge(event, "Account", identity, old.identity, old.resource, patient=patient)
        )


def _visits(
    ctx: Context, event: str, group: PatientGroup, prior: Segment, survivor: Survivor
) -> None:
    """Join, or with A45 move, the Encounter of MRG-5 (A51: MRG-6) to that of PV1-19 (PV1-50)."""
    _leave_prior_patient(ctx, prior, survivor)
    if not _visit(ctx, event, group, prior, survivor):
        raise Refusal("MAPPING_ERROR", "PV1 and MRG do not both name a visit", "PV1-19", "101")


def _visit_or_nothing(
    ctx: Context, event: str, group: PatientGroup, prior: Segment, survivor: Survivor
) -> None:
    if not _visit(ctx, event, group, prior, survivor):
        # Without a visit of the survivor the number belongs to nothing.
        for number in (5, 6):
            prior.disown(number, CONDITION_FALSE)


def _visit(
    ctx: Context, event: str, group: PatientGroup, prior: Segment, survivor: Survivor
) -> bool:
    """Add the Encounter of PV1, which takes over the prior one; False without both numbers."""
    old = mrg.encounter(ctx, prior)
    if group.pv1 is None or not old.identity or not (group.pv1.valued(19) or group.pv1.valued(50)):
        return False
    reference, _ = pv1.encounter(ctx, group.pv1, survivor.reference)
    written = ctx.writes.get(reference)
    if written is None:
        return False
    patient = survivor.identity if event in MOVES else ()
    if patient:
        written.resource.pop("subject", None)
    ctx.merges.append(
        Merge(event, "Encounter", written.identity, old.identity, old.resource, patient=patient)
    )
    return True


def _leave_prior_patient(ctx: Context, prior: Segment, survivor: Survivor) -> None:
    """Note that MRG-1 is in no resource, unless it names the Patient of PID once more.

    What is moved is found by its own number, and tells itself whose it was.
    """
    if not set(mrg.patient(ctx, prior).identity) & set(survivor.identity):
        for number in (1, 2, 4, 7):
            prior.disown(number, CONDITION_FALSE)


_Join = Callable[[Context, str, PatientGroup, Segment, Survivor], None]
_JOINED: Final[Mapping[str, _Join]] = {
    **dict.fromkeys(("A18", "A34", "A36", "A39", "A40", "A46", "A47"), _patients),
    **dict.fromkeys(("A35", "A41", "A44", "A49"), _accounts),
    **dict.fromkeys(("A42", "A45", "A50", "A51"), _visits),
    "A43": _identifiers,
}
EVENTS: Final = tuple(sorted(_JOINED))
