"""The segments of a result message as patients, orders, specimens and observations.

HL7 v2.9 chapter 7, ORU^R01. Senders break the grammar; what follows what decides,
never MSH-9.3.
"""

from dataclasses import dataclass, field
from typing import Literal

from adapters.hl7.message.tokenizer import Message, Segment


@dataclass(slots=True)
class Result:
    """An OBX with its notes."""

    obx: Segment
    notes: list[Segment] = field(default_factory=list)


@dataclass(slots=True)
class SpecimenGroup:
    """A SPM with its containers, notes and the observations made on the specimen itself."""

    spm: Segment
    containers: list[Segment] = field(default_factory=list)
    notes: list[Segment] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)


@dataclass(slots=True)
class OrderGroup:
    """ORC and OBR, either may be absent, with what follows them."""

    orc: Segment | None = None
    obr: Segment | None = None
    notes: list[Segment] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    specimens: list[SpecimenGroup] = field(default_factory=list)


@dataclass(slots=True)
class PatientGroup:
    """A PID, its visit and notes, observations before any order, and the orders."""

    pid: Segment | None = None
    pv1: Segment | None = None
    notes: list[Segment] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    orders: list[OrderGroup] = field(default_factory=list)


def grouped(
    message: Message, obx_after_spm: Literal["auto", "result", "specimen"] = "auto"
) -> list[PatientGroup]:
    """Return the patients of the message in order.

    Segments that belong to no group are left to the account of unmapped leaves.
    """
    walk = _Walk(obx_after_spm)
    for segment in message.segments[1:]:
        step = _STEPS.get(segment.name)
        if step is not None:
            step(walk, segment)
        elif segment.name not in _TRANSPARENT:
            walk.notes = None
    return walk.patients


class _Walk:
    """Where the walk stands; `notes` is the list that the next NTE joins."""

    def __init__(self, obx_after_spm: str) -> None:
        self.obx_after_spm = obx_after_spm
        self.patients: list[PatientGroup] = []
        self.order: OrderGroup | None = None
        self.specimen: SpecimenGroup | None = None
        self.specimen_results = False
        self.notes: list[Segment] | None = None

    def patient(self) -> PatientGroup:
        if not self.patients:
            self.patients.append(PatientGroup())
        return self.patients[-1]

    def open_order(self) -> OrderGroup:
        self.order = OrderGroup()
        self.specimen = None
        self.patient().orders.append(self.order)
        return self.order


def _pid(walk: _Walk, segment: Segment) -> None:
    if not walk.patients or walk.patients[-1].pid is not None:
        walk.patients.append(PatientGroup())
    patient = walk.patients[-1]
    patient.pid = segment
    walk.order = walk.specimen = None
    walk.notes = patient.notes


def _pv1(walk: _Walk, segment: Segment) -> None:
    patient = walk.patient()
    if patient.pv1 is None:
        patient.pv1 = segment
    walk.notes = None


def _orc(walk: _Walk, segment: Segment) -> None:
    order = walk.open_order()
    order.orc = segment
    walk.notes = order.notes


def _obr(walk: _Walk, segment: Segment) -> None:
    order = walk.order
    if order is None or order.obr is not None or order.results or order.specimens:
        order = walk.open_order()
    order.obr = segment
    walk.notes = order.notes


def _obx(walk: _Walk, segment: Segment) -> None:
    result = Result(segment)
    walk.notes = result.notes
    if walk.order is None:
        walk.patient().results.append(result)
    elif walk.specimen is not None and walk.specimen_results:
        walk.specimen.results.append(result)
    else:
        walk.order.results.append(result)


def _spm(walk: _Walk, segment: Segment) -> None:
    order = walk.order or walk.open_order()
    if not order.specimens:
        # A sender that puts SPM before its results does so throughout the order.
        auto = walk.obx_after_spm == "auto"
        walk.specimen_results = bool(order.results) if auto else walk.obx_after_spm == "specimen"
    walk.specimen = SpecimenGroup(segment)
    order.specimens.append(walk.specimen)
    walk.notes = walk.specimen.notes


def _sac(walk: _Walk, segment: Segment) -> None:
    if walk.specimen is not None:
        walk.specimen.containers.append(segment)
    walk.notes = None


def _nte(walk: _Walk, segment: Segment) -> None:
    if walk.notes is not None:
        walk.notes.append(segment)


# A NTE after one of these still speaks of the segment before it.
_TRANSPARENT = frozenset(("PD1", "PRT", "ROL"))

_STEPS = {
    "PID": _pid,
    "PV1": _pv1,
    "ORC": _orc,
    "OBR": _obr,
    "OBX": _obx,
    "SPM": _spm,
    "SAC": _sac,
    "NTE": _nte,
}
