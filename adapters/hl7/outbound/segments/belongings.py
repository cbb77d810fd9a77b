"""What belongs to a person and to a visit as the segments of an ADT message.

HL7 v2.9 chapter 3, section 3.3: NK1 follows PID; AL1, DG1, PR1 and IN1 follow PV1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.hl7.outbound.er7 import Segment
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json, Record, literal
from adapters.hl7.outbound.segments.al1 import al1, is_current
from adapters.hl7.outbound.segments.dg1 import dg1, is_held
from adapters.hl7.outbound.segments.in1 import in1
from adapters.hl7.outbound.segments.nk1 import contact, related
from adapters.hl7.outbound.segments.pr1 import is_done, pr1

_WHOLE: Final = frozenset(("A01", "A08", "A13", "A31"))
_VISIT_ENDS: Final = "A03"


@dataclass(frozen=True, slots=True)
class Belongings:
    """Related persons, allergies and coverages of a patient; conditions, procedures of a visit."""

    resources: Sequence[Json] = ()

    def of(self, kind: str) -> list[Json]:
        """Return those of a type, in an order that stays."""
        found = [one for one in self.resources if one["resourceType"] == kind]
        return sorted(found, key=lambda one: str(one["id"]))


def kin(
    event: str, patient: Json | None, own: Belongings, record: Record, peer: Peer
) -> list[Segment]:
    """Return the NK1 of a message: the contacts, then the related persons."""
    if event not in _WHOLE:
        return []
    told = [one for one in own.of("RelatedPerson") if one.get("active", True)]
    contacts = list((patient or {}).get("contact", ()))
    first = [contact(at, one, record, peer) for at, one in enumerate(contacts, 1)]
    return [*first, *(related(at, one, peer) for at, one in enumerate(told, len(first) + 1))]


def clinical(
    event: str, visit: Json | None, own: Belongings, record: Record, peer: Peer
) -> list[Segment]:
    """Return AL1, DG1, PR1 and IN1 as far as the message of an event has them."""
    whole, ends = event in _WHOLE, event == _VISIT_ENDS
    found: list[Segment] = []
    if whole:
        found += allergies(own, peer)
    if whole or ends:
        found += diagnoses(visit, own, record, peer)
        done = [one for one in own.of("Procedure") if is_done(one)]
        found += [pr1(at, one, record, peer) for at, one in enumerate(done, 1)]
    if whole:
        found += coverages(own, record, peer)
    return found


def allergies(own: Belongings, peer: Peer) -> list[Segment]:
    """Return the AL1 of those allergies that AL1 can tell."""
    told = [one for one in own.of("AllergyIntolerance") if is_current(one)]
    return [al1(at, one, peer) for at, one in enumerate(told, 1)]


def coverages(own: Belongings, record: Record, peer: Peer) -> list[Segment]:
    """Return the IN1."""
    told = [one for one in own.of("Coverage") if one.get("status") != "draft"]
    return [in1(at, one, record, peer) for at, one in enumerate(told, 1)]


def diagnoses(visit: Json | None, own: Belongings, record: Record, peer: Peer) -> list[Segment]:
    """Return the DG1: first those that the visit lists, in its order, then others of it."""
    told = [(one, each) for one, each in _listed(visit, own, record) if is_held(one)]
    return [dg1(at, one, each, record, peer) for at, (one, each) in enumerate(told, 1)]


def _listed(
    visit: Json | None, own: Belongings, record: Record
) -> Iterator[tuple[Json, Json | None]]:
    seen = set()
    for each in (visit or {}).get("diagnosis", ()):
        one = record.get(each.get("condition"))
        if one is not None and one["resourceType"] == "Condition":
            seen.add(literal(one))
            yield one, each
    for one in own.of("Condition"):
        if literal(one) not in seen:
            yield one, None
