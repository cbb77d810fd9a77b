"""The segments of a message as patients, orders, specimens and observations.

HL7 v2.9 chapters 4 and 7. Senders break the grammar; what follows what decides,
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
    """A SPM with its containers, notes and the observations made on the specimen itself.

    Where several orders ask for one specimen each has a group of the same SPM, and the
    first has the observations.
    """

    spm: Segment
    containers: list[Segment] = field(default_factory=list)
    notes: list[Segment] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)


@dataclass(slots=True)
class OrderGroup:
    """ORC and OBR, either may be absent, with what follows them.

    `segments` are the others of the group by name: TQ1, DG1, FT1, RXO, RXR, RXA ...
    """

    orc: Segment | None = None
    obr: Segment | None = None
    notes: list[Segment] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    specimens: list[SpecimenGroup] = field(default_factory=list)
    segments: dict[str, list[Segment]] = field(default_factory=dict)

    def named(self, name: str) -> list[Segment]:
        """Return the other segments of this name."""
        return self.segments.get(name, [])


@dataclass(slots=True)
class PatientGroup:
    """A PID, its visit and notes, observations before any order, and the orders.

    `segments` are the others of person and visit by name: PD1, NK1, PV2, IN1 ...
    `specimens` are those under which nothing is ordered. `prior` tells that the group
    holds earlier results that were sent with an order.
    """

    pid: Segment | None = None
    pv1: Segment | None = None
    notes: list[Segment] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    orders: list[OrderGroup] = field(default_factory=list)
    specimens: list[SpecimenGroup] = field(default_factory=list)
    segments: dict[str, list[Segment]] = field(default_factory=dict)
    prior: bool = False

    def named(self, name: str) -> list[Segment]:
        """Return the other segments of this name."""
        return self.segments.get(name, [])


def grouped(
    message: Message, obx_after_spm: Literal["auto", "result", "specimen"] = "auto"
) -> list[PatientGroup]:
    """Return the patients of the message in order.

    Segments that belong to no group are left to the account of unmapped leaves.
    """
    walk = _Walk(obx_after_spm, _kind(message))
    for segment in message.segments[1:]:
        step = _STEPS.get(segment.name)
        if step is not None:
            step(walk, segment)
        elif segment.name not in _TRANSPARENT:
            walk.notes = None
    walk.close_specimen()
    return walk.patients


def notes_after(segment: Segment) -> list[Segment]:
    """Return the NTEs that follow a segment directly."""
    found: list[Segment] = []
    for follower in segment.message.segments[segment.index + 1 :]:
        if follower.name != "NTE":
            break
        found.append(follower)
    return found


def _kind(message: Message) -> str:
    rep = message.header.first(9)
    return rep.peek(1) if rep is not None else ""


class _Walk:
    """Where the walk stands; `notes` is the list that the next NTE joins.

    `specimen_first` tells that orders follow their specimen (OUL, OML_O33), `suffix`
    that ORC follows its OBR (OUL). `containers` wait for their specimen where they come
    before it, and are None where they follow.
    """

    def __init__(self, obx_after_spm: str, kind: str) -> None:
        self.obx_after_spm = obx_after_spm
        self.kind = kind
        self.patients: list[PatientGroup] = []
        self.order: OrderGroup | None = None
        self.specimen: SpecimenGroup | None = None
        self.specimen_results = False
        self.specimen_first = False
        self.suffix = False
        self.notes: list[Segment] | None = None
        self.containers: list[Segment] | None = None

    def patient(self) -> PatientGroup:
        if not self.patients:
            self.patients.append(PatientGroup())
        return self.patients[-1]

    def open_patient(self) -> PatientGroup:
        self.close_specimen()
        self.order = self.specimen = None
        self.specimen_first = self.suffix = False
        self.patients.append(PatientGroup())
        return self.patients[-1]

    def open_order(self, *, suffix: bool = False) -> OrderGroup:
        patient = self.patient()
        if not patient.orders:
            self.suffix = suffix
        self.order = OrderGroup()
        if self.specimen_first and self.specimen is not None:
            self.order.specimens.append(self.specimen)
            # The next order of this specimen does not have its observations again.
            under = self.specimen
            self.specimen = SpecimenGroup(under.spm, under.containers, under.notes)
        else:
            self.specimen = None
        patient.orders.append(self.order)
        return self.order

    def close_specimen(self) -> None:
        """Keep a specimen under which nothing was ordered."""
        if self.specimen_first and self.specimen is not None and self.order is None:
            self.patient().specimens.append(self.specimen)
        self.specimen = None


def _pid(walk: _Walk, segment: Segment) -> None:
    if not walk.patients or walk.patients[-1].pid is not None:
        # A second patient in an order message is the one of its prior results.
        prior = walk.kind == "OML" and any(patient.orders for patient in walk.patients)
        walk.open_patient().prior = prior
    patient = walk.patients[-1]
    patient.pid = segment
    walk.notes = patient.notes


def _pv1(walk: _Walk, segment: Segment) -> None:
    patient = walk.patient()
    if patient.pv1 is None:
        patient.pv1 = segment
    walk.notes = None


def _orc(walk: _Walk, segment: Segment) -> None:
    _end_prior(walk, segment)
    order = walk.order
    if order is None or not walk.suffix or order.orc is not None or order.results:
        order = walk.open_order()
    order.orc = segment
    walk.notes = order.notes


def _end_prior(walk: _Walk, orc: Segment) -> None:
    """Begin or end the prior results of an order: ORC-1 PR announces them (table 0119)."""
    if walk.kind != "OML":
        return
    control, patient = orc.peek(1), walk.patient()
    if control == "PR" and patient.orders and not patient.prior:
        walk.open_patient().prior = True
    elif patient.prior and control not in {"PR", "RE", ""}:
        first = next(one for one in walk.patients if not one.prior)
        resumed = walk.open_patient()
        # The order is the first patient's, of whom nothing is said again.
        resumed.pid, resumed.pv1 = first.pid, first.pv1


def _obr(walk: _Walk, segment: Segment) -> None:
    order = walk.order
    if order is None or order.obr is not None or order.results or order.specimens:
        waits = order is not None and order.orc is not None and order.obr is None
        if order is None or not waits or order.results or not walk.specimen_first:
            order = walk.open_order(suffix=walk.kind == "OUL")
    order.obr = segment
    walk.notes = order.notes


def _obx(walk: _Walk, segment: Segment) -> None:
    result = Result(segment)
    walk.notes = result.notes
    if walk.order is None:
        under = walk.specimen.results if walk.specimen is not None else walk.patient().results
        under.append(result)
    elif walk.specimen is not None and walk.specimen_results:
        walk.specimen.results.append(result)
    else:
        walk.order.results.append(result)


def _spm(walk: _Walk, segment: Segment) -> None:
    walk.close_specimen()
    if walk.order is None or walk.specimen_first:
        _begin_specimen(walk, segment)
        return
    order = walk.order
    if not order.specimens:
        # A sender that puts SPM before its results does so throughout the order.
        auto = walk.obx_after_spm == "auto"
        walk.specimen_results = bool(order.results) if auto else walk.obx_after_spm == "specimen"
    walk.specimen = SpecimenGroup(segment)
    order.specimens.append(walk.specimen)
    walk.notes = walk.specimen.notes


def _begin_specimen(walk: _Walk, segment: Segment) -> None:
    """Open a specimen of which the orders follow."""
    walk.specimen_first, walk.specimen_results, walk.order = True, False, None
    walk.specimen = SpecimenGroup(segment, walk.containers or [])
    walk.containers = None if walk.containers is None else []
    walk.notes = walk.specimen.notes


def _sac(walk: _Walk, segment: Segment) -> None:
    """A container of the specimen before it, or of the one that follows (OUL^R23)."""
    if walk.specimen is not None and walk.containers is None:
        walk.specimen.containers.append(segment)
    else:
        walk.containers = [*(walk.containers or ()), segment]
    walk.notes = None


def _nte(walk: _Walk, segment: Segment) -> None:
    if walk.notes is not None:
        walk.notes.append(segment)


def _person(walk: _Walk, segment: Segment) -> None:
    walk.patient().segments.setdefault(segment.name, []).append(segment)
    if segment.name not in _TRANSPARENT:
        walk.notes = None


def _detail(walk: _Walk, segment: Segment) -> None:
    """RXO, RXE or RXA: what is ordered or was given, as OBR is what is asked."""
    order = walk.order
    if order is None or order.results or segment.name in order.segments:
        order = walk.open_order()
    order.segments.setdefault(segment.name, []).append(segment)
    walk.notes = order.notes


def _of_order(walk: _Walk, segment: Segment) -> None:
    """A segment of the order, or of the patient where none is open."""
    holder = walk.order or walk.patient()
    holder.segments.setdefault(segment.name, []).append(segment)
    if segment.name not in _TRANSPARENT:
        walk.notes = None


# A NTE after one of these still speaks of the segment before it.
_TRANSPARENT = frozenset(("PD1", "PRT", "ROL", "TQ1", "TQ2"))

_STEPS = {
    "PID": _pid,
    "PV1": _pv1,
    "ORC": _orc,
    "OBR": _obr,
    "OBX": _obx,
    "SPM": _spm,
    "SAC": _sac,
    "NTE": _nte,
    **dict.fromkeys(("RXO", "RXE", "RXA"), _detail),
    **dict.fromkeys(
        ("PD1", "NK1", "PV2", "GT1", "IN1", "IN2", "IN3", "AL1", "IAM", "ARV", "MRG"), _person
    ),
    **dict.fromkeys(
        ("TQ1", "TQ2", "DG1", "PR1", "FT1", "RXR", "RXC", "PRT", "ROL", "CTD", "INV", "EQU"),
        _of_order,
    ),
}
