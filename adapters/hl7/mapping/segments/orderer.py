"""ORC-12 and ORC-21 to 24: who orders, for which facility; and ORC-28.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-orc-to-servicerequest.html
"""

from adapters.hl7.mapping.code_tables import CONFIDENTIALITY, THO
from adapters.hl7.mapping.context import Context, Json, add
from adapters.hl7.mapping.datatypes import cwe
from adapters.hl7.mapping.datatypes.xad import xad
from adapters.hl7.mapping.datatypes.xtn import xtn
from adapters.hl7.mapping.segments import practitioner
from adapters.hl7.message.accounting import CONDITION_FALSE, DUPLICATE
from adapters.hl7.message.tokenizer import Repetition, Segment

_CODE, _SYSTEM = 1, 3  # of a CWE


def requester(ctx: Context, orc: Segment, other: Repetition | None, holder: Json) -> str | None:
    """Return a reference to who orders: the role of ORC-12, else the person of `other`.

    `other` is OBR-16 or RXO-14; only ORC knows the facility (decision D30).
    """
    source = orc.first(12)
    if source is None:
        return practitioner.practitioner(ctx, other, holder) if other is not None else None
    if other is not None:
        same = other.segment.raw(other.number) == orc.raw(12)
        other.segment.refuse(other.number, DUPLICATE if same else CONDITION_FALSE)
    person = practitioner.practitioner(ctx, source, holder)
    if person is None:
        return None
    if orc.raw(24):
        _addresses(ctx, orc, person)
    return practitioner.role(ctx, person, ("", ""), facility(ctx, orc))


def facility(ctx: Context, orc: Segment) -> str | None:
    """Return a reference to the Organization of ORC-21, with the address and telecom of 22, 23."""
    rep = orc.first(21)
    if rep is None:
        return None
    reference = practitioner.organization(ctx, rep, orc.repetitions(22))
    written = ctx.writes.get(reference or "")
    if written is not None:
        path = "Organization.telecom"
        points = [_of_work(xtn(ctx, one, path, "work")) for one in orc.repetitions(23)]
        _put_once(orc, 23, written.resource, "telecom", points)
    return reference


def _of_work(point: Json | None) -> Json | None:
    """No telecom of an organization is one of a home (org-3), though senders type it so."""
    return {**point, "use": "work"} if point and point.get("use") == "home" else point


def _addresses(ctx: Context, orc: Segment, person: str) -> None:
    """ORC-24 where the Practitioner is written by this message."""
    written = ctx.writes.get(person)
    if written is not None:
        places = [xad(ctx, one, "Practitioner.address") for one in orc.repetitions(24)]
        _put_once(orc, 24, written.resource, "address", places)


def _put_once(
    orc: Segment, number: int, resource: Json, name: str, found: list[Json | None]
) -> None:
    """Set a list that no order of the message has set; another one's is not in the output."""
    values = [one for one in found if one]
    if not values:
        return
    if resource.setdefault(name, values) != values:
        orc.disown(number, CONDITION_FALSE)


def put_security(ctx: Context, segment: Segment, number: int, resource: Json) -> None:
    """Add the labels of a confidentiality field (0177) to the meta of a resource."""
    for rep in segment.repetitions(number):
        concept = cwe.concept(ctx, rep, "meta.security", table="0177", translate=_LABELS)
        for coding in (concept or {}).get("coding", ())[:1]:
            add(resource.setdefault("meta", {}), "security", coding)
            _label_only(rep, coding)


def _label_only(rep: Repetition, coding: Json) -> None:
    """List what a label does not have: other codings, and the display of a mapped code."""
    mapped = rep.message.mapped
    for component, sub, _ in rep.marks():
        if component not in {_CODE, _SYSTEM} and rep.peek(component, sub) not in coding.values():
            del mapped[(rep.segment.index, rep.number, rep.repetition, component, sub)]
            rep.refuse(component, CONDITION_FALSE, sub)


_LABELS = {
    code: (system, label)
    for code, (system, label) in CONFIDENTIALITY.items()
    if system != THO + "v2-0177"
}
