"""OML^O33: work for an analyzer, work that is taken back, and no work.

IHE Laboratory Technical Framework, volume 2b, transaction LAB-28.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from adapters.hl7.outbound import datatypes as as_
from adapters.hl7.outbound.er7 import Field, Segment
from adapters.hl7.outbound.messages import Draft, written
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json
from adapters.hl7.outbound.segments.order import tq1
from adapters.hl7.outbound.segments.pid import pid
from adapters.hl7.outbound.segments.spm import spm
from adapters.hl7.profiles.destination import Law

AUTHORITY: Final = "AWOS"
"""The namespace of the numbers of work."""

Control = Literal["NW", "CA"]


@dataclass(frozen=True, slots=True)
class Step:
    """A test on a specimen as an analyzer is told of it: number, order, and its own code."""

    id: str
    request: Json
    code: str
    display: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A specimen, the number on its label, and whose it is; each resource may be unknown."""

    number: str
    specimen: Json | None = None
    patient: Json | None = None


def work(control: Control, sample: Sample, steps: Sequence[Step], peer: Peer) -> Draft:
    """Return the message that gives steps on a specimen to an analyzer, or takes them back."""
    segments = [pid(sample.patient, peer)] if sample.patient else []
    segments += _specimen(sample, peer)
    for at, step in enumerate(steps, 1):
        segments += _step(at, control, step, peer)
    return Draft("OML^O33", tuple(segments))


def _specimen(sample: Sample, peer: Peer) -> list[Segment]:
    told: dict[int, Field] = {}
    if sample.specimen is not None:
        told = dict(spm(1, sample.specimen, peer).fields)
    told = {
        1: "1",
        2: ((sample.number,),),
        4: ("", "unknown"),
        **{n: f for n, f in told.items() if f},
    }
    return [Segment("SPM", {**told, 11: "P"}), Segment("SAC", {3: (sample.number,)})]


def _step(at: int, control: Control, step: Step, peer: Peer) -> list[Segment]:
    number = (step.id, AUTHORITY)
    ordered = as_.moment(step.request.get("authoredOn"), peer.zone)
    segments = [Segment("ORC", {1: control, 2: number, 9: ordered})]
    if control == "NW" and (timing := tq1(step.request, peer)) is not None:
        segments.append(timing)
    system = peer.coding_system(step.system) if step.system else ""
    code = (step.code, step.display, system or "L")
    return [*segments, Segment("OBR", {1: str(at), 2: number, 4: code})]


def no_work(number: str) -> Draft:
    """Return the message that tells that there is nothing to do: ORC-1 is DC."""
    segments = [
        Segment("SPM", {1: "1", 2: ((number,),), 4: ("", "unknown"), 11: "P"}),
        Segment("SAC", {3: (number,)}),
        Segment("ORC", {1: "DC"}),
    ]
    return Draft("OML^O33", tuple(segments))


def bytes_of(draft: Draft, peer: Peer, law: Law, control_id: str, now: datetime) -> bytes:
    """Return a message for an analyzer; MSH-15, 16 and 21 are those of LAB-28."""
    more: dict[int, Field] = {15: law.accept, 16: law.application, 21: ("LAB-28", "IHE")}
    return written(draft, peer, control_id, now, more)
