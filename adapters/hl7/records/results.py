"""Result records as the HL7 v2 message that says the same, for the one mapping to FHIR.

CLSI LIS02-A2 (ASTM E1394), sections 6 to 10 and 15: https://clsi.org/shop/standards/lis02/
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from adapters.hl7.mapping.agreement import Place, QcRule
from adapters.hl7.mapping.context import Refusal, slug
from adapters.hl7.message.accounting import (
    CONDITION_FALSE,
    CONTROL,
    INVALID_VALUE,
    NO_TARGET,
    PROFILE_IGNORED,
)
from adapters.hl7.message.tokenizer import Message
from adapters.hl7.profiles.model import Astm
from adapters.hl7.records import draft
from adapters.hl7.records.draft import Draft
from adapters.hl7.records.positions import Positions, Scope
from adapters.hl7.records.transmission import Leaf, Record, Transmission, parse

# R-9 as the code of table 0085 with the same meaning (spec of R-9 in docs/astm.md): V of
# HL7 keeps a stored correction, as a result that was transmitted before must.
_RESULT_STATUS: Final = {
    **dict.fromkeys("FQM", "F"),
    **dict.fromkeys("VR", "V"),
    **dict.fromkeys("PW", "P"),
    **dict.fromkeys("IN", "I"),
    "S": "S",
    "C": "C",
    "X": "X",
}
_DOUBTFUL: Final = "The analyzer gives the validity of this result as questionable (status W)."
# Q answers a query: a reason to send, and no status.
_NO_REPORT_STATUS: Final = frozenset("QODNR")
_PROCESSING: Final = frozenset(("P", "T", "D", "Q"))
_NUMBER: Final = re.compile(r"[<>]?=?\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)\Z")
_MOMENT: Final = re.compile(r"\d{8,14}\Z")
_CLOCK: Final = re.compile(r"\d{12}(\d\d)?\Z")
_ADDRESS: Final = (1, 3, 4, 5, 6)  # street, city, state, zip, country in XAD
_CONTROL: Final = {
    "H": frozenset((1, 2, 3, 11, 12, 13, 14)),
    "L": frozenset((1, 2, 3)),
}
_TYPE_AND_NUMBER: Final = frozenset((1, 2))
_LOT, _LEVEL = 2, 3


@dataclass(slots=True)
class _Translation:
    """The segments so far, and the reason of each leaf that is in none of them."""

    transmission: Transmission
    positions: Positions
    segments: list[Draft] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, name: str) -> Draft:
        self.segments.append(Draft(name))
        return self.segments[-1]

    def scope(self, *records: Record | None) -> Scope:
        own = {record.type: record for record in records if record is not None}
        return Scope({"H": self.transmission.header, **own}, self.positions)


def message(
    transmission: Transmission, astm: Astm | None = None, qc: tuple[QcRule, ...] = ()
) -> Message:
    """Return the results as an ORU^R01 that keeps account of the records' leaves.

    Raises Refusal for records that stand where they have no meaning.
    """
    positions = Positions.of(astm or Astm(), qc)
    work = _Translation(transmission, positions)
    _header(work)
    _Walk(work).all()
    reasons = {
        leaf.address: work.reasons.get(leaf.address) or _reason(record, number)
        for record, number, leaf in transmission.leaves()
    }
    return draft.message(work.segments, transmission.text, reasons)


def _reason(record: Record, number: int) -> str:
    control = _CONTROL.get(record.type, _TYPE_AND_NUMBER)
    return CONTROL if number in control else NO_TARGET


def _header(work: _Translation) -> None:
    """H as MSH: the first component of H-5 is the maker, the second the model (6.5)."""
    header = work.transmission.header
    msh = work.add("MSH")
    for number, places in ((5, (3, 4)), (10, (5, 6))):
        for component, place in enumerate(places, 1):
            msh.take(place, header.leaf(number, component))
    _time(work, msh, 7, header.leaf(14))
    msh.put(9, "ORU")
    msh.put(9, "R01", component=2)
    msh.put(9, "ORU_R01", component=3)
    msh.put(10, control_id(work.transmission), ())
    if (mode := header.leaf(12)) and mode.text in _PROCESSING:
        msh.take(11, mode)
    msh.put(12, "2.5.1")


def control_id(transmission: Transmission) -> str:
    """Return a name for this very content: H-3 is often empty, or the same for all."""
    return hashlib.blake2b(transmission.text.encode(), digest_size=10).hexdigest()


def _time(work: _Translation, segment: Draft, number: int, leaf: Leaf | None) -> None:
    if leaf is not None:
        segment.put(number, work.positions.moment(leaf.text), (leaf.address,))


class _Walk:
    """Where the walk over the records stands."""

    def __init__(self, work: _Translation) -> None:
        self._work = work
        self._patient: Record | None = None
        self._order: Record | None = None
        self._quality = False
        self._specimen_due = False
        self._notes = False

    def all(self) -> None:
        """Take every record after H, in order."""
        for record in self._work.transmission.records[1:]:
            step = _STEPS.get(record.type)
            if step is None:
                self._notes = False
            else:
                step(self, record)
        self._specimen()

    def patient(self, record: Record) -> None:
        """P as PID and PV1; its physician and place are those of the visit."""
        self._specimen()
        self._patient, self._order = record, None
        work, scope = self._work, self._work.scope(record)
        pid = work.add("PID")
        _identify(work, scope, pid)
        for component, leaf in enumerate(scope.parts("name"), 1):
            pid.take(5, leaf if leaf.text else None, component=component)
        _time(work, pid, 7, scope.leaf("birth_date"))
        pid.take(8, scope.leaf("gender"))
        _address(scope, pid)
        pid.put(13, *scope.whole("phone"))
        self._notes = True

    def _visit(self) -> None:
        """PV1 comes after the notes of PID, and before the first order."""
        work, scope = self._work, self._work.scope(self._patient)
        parts = [(7, leaf, n) for n, leaf in enumerate(scope.parts("patient_physician"), 1)]
        parts += [(3, leaf, n) for n, leaf in enumerate(scope.parts("location"), 1)]
        if any(leaf.text for _, leaf, _ in parts):
            pv1 = work.add("PV1")
            for number, leaf, component in parts:
                pv1.take(number, leaf if leaf.text else None, component=component)

    def order(self, record: Record) -> None:
        """O as OBR; its specimen follows its results."""
        self._specimen()
        if self._patient is not None and self._order is None:
            self._visit()
        self._order = record
        scope = self._work.scope(self._patient, record)
        self._quality = scope.is_qc()
        _obr(self._work, scope, quality=self._quality)
        self._notes = True
        self._specimen_due = True

    def _specimen(self) -> None:
        """SPM ends the order."""
        if self._order is not None and self._specimen_due:
            scope = self._work.scope(self._patient, self._order)
            _spm(self._work, scope, quality=self._quality)
        self._specimen_due = False

    def result(self, record: Record) -> None:
        """R as OBX."""
        if self._order is None:
            raise Refusal(
                "INCOMPLETE_TRANSMISSION",
                "A result belongs to no order record",
                f"R[{record.occurrence}]",
            )
        scope = self._work.scope(self._patient, self._order, record)
        if not _selected(scope):
            self._ignore(record)
            return
        _obx(self._work, scope)
        self._notes = True

    def comment(self, record: Record) -> None:
        """C as NTE of the record before (section 9)."""
        if self._notes:
            nte = self._work.add("NTE")
            nte.put(3, *record.whole(4))

    def request(self, record: Record) -> None:
        """Q asks, and brings nothing; but some controls are sent in it."""
        if is_control(record):
            self._specimen()
            _control(self._work, record)
        self._notes = False

    def _ignore(self, record: Record) -> None:
        self._notes = False
        for number in range(3, len(record.fields)):
            for leaf in record.leaves(number):
                self._work.reasons[leaf.address] = PROFILE_IGNORED


_STEPS: Final = {
    "P": _Walk.patient,
    "O": _Walk.order,
    "R": _Walk.result,
    "C": _Walk.comment,
    "Q": _Walk.request,
}


def _identify(work: _Translation, scope: Scope, pid: Draft) -> None:
    """Take the first identifier that there is: only the agreed one says who it is.

    The others may be numbers of a stay, or whatever else a sender puts there.
    """
    found = [leaf for place in scope.positions.patient_ids if (leaf := scope.at(place))]
    pid.take(3, found[0] if found else None)
    work.reasons.update((leaf.address, CONDITION_FALSE) for leaf in found[1:])


def _address(scope: Scope, pid: Draft) -> None:
    """P-11: street, city, state, zip, country (5.6.2); some send it as HL7 does (XAD)."""
    parts = scope.parts("address")
    texts = [leaf.text for leaf in parts]
    as_hl7 = len(texts) > 2 and not texts[1] and bool(texts[2])  # noqa: PLR2004
    for place, leaf in enumerate(parts):
        component = place + 1 if as_hl7 else (*_ADDRESS, 7, 8, 9)[min(place, 7)]
        pid.take(11, leaf if leaf.text else None, component=component)


def _obr(work: _Translation, scope: Scope, *, quality: bool) -> None:
    """O as OBR (section 8); the specimen's number is what the orderer knows it by."""
    obr = work.add("OBR")
    if not quality:
        obr.take(2, scope.leaf("specimen"))
    _code(scope, obr, 4, "order_test")
    obr.take(5, scope.leaf("priority"))
    _time(work, obr, 6, scope.leaf("ordered"))
    _time(work, obr, 7, scope.leaf("collected"))
    _time(work, obr, 8, _collection_end(scope))
    action = scope.leaf("action")
    if action and action.text.upper() == "A":
        obr.take(11, action)
    for component, leaf in enumerate(scope.parts("physician"), 1):
        obr.take(16, leaf if leaf.text else None, component=component)
    _time(work, obr, 22, scope.leaf("reported"))
    status = scope.leaf("report_type")
    if status and status.text.upper() not in _NO_REPORT_STATUS:
        obr.put(25, status.text.upper(), (status.address,))


def _collection_end(scope: Scope) -> Leaf | None:
    """O-9, unless the sender puts something else there."""
    taken = any((at.segment, at.number) == ("O", 9) for at in scope.positions.places.values())
    return None if taken else scope.at(Place("O", 9))


def _code(scope: Scope, segment: Draft, number: int, role: str) -> None:
    code, name, codes, names = scope.code("order_test" if role == "order_test" else "test")
    segment.put(number, code, codes)
    segment.put(number, name, names, component=2)


def _spm(work: _Translation, scope: Scope, *, quality: bool) -> None:
    spm = work.add("SPM")
    spm.put(1, "1")
    spm.take(2, scope.leaf("specimen"))
    kinds = scope.parts("specimen_type")
    spm.take(4, kinds[0] if kinds and kinds[0].text else None)
    if len(kinds) > 1 and kinds[1].text:
        spm.take(8, kinds[1])
    if quality:
        action = scope.leaf("action")
        told = action and action.text.upper() == "Q"
        spm.put(11, "Q", (action.address,) if action and told else ())
    # What the analyzer calls it (rack and position, a number of the day) names no specimen.
    spm.put(14, *scope.whole("instrument_specimen"))
    _time(work, spm, 17, scope.leaf("collected"))
    if end := _collection_end(scope):
        spm.put(17, work.positions.moment(end.text), (end.address,), component=2)
    _time(work, spm, 18, scope.leaf("received"))


def _obx(work: _Translation, scope: Scope) -> None:
    """R as OBX (section 9 of E1394)."""
    obx = work.add("OBX")
    _code(scope, obx, 3, "test")
    _value(scope, obx)
    obx.put(6, *scope.whole("unit"))
    obx.put(7, *scope.whole("range"))
    _flags(scope, obx)
    doubtful = _status(scope, obx)
    _time(work, obx, 14, scope.leaf("completed") or scope.leaf("started"))
    for repetition, leaf in enumerate(scope.parts("operator"), 1):
        if _CLOCK.match(leaf.text):
            # A sender that lost count puts a time here; nobody is called so.
            work.reasons[leaf.address] = INVALID_VALUE
        elif leaf.text:
            obx.take(16, leaf, repetition=repetition)
    _device(scope, obx)
    if doubtful is not None:
        work.add("NTE").put(3, _DOUBTFUL, (doubtful.address,))


def _value(scope: Scope, obx: Draft) -> None:
    """R-4: a number with or without < or >, else text; repetitions are values of their own."""
    found = scope.record("value")
    if found is None:
        return
    record, place = found
    values = []
    for repetition in record.repetitions(place.number):
        parts = record.components(place.number, repetition)
        if place.component:
            parts = parts[place.component - 1 : place.component]
        said = [leaf for leaf in parts if leaf.text]
        if said:
            values.append(("^".join(o.text for o in said), [o.address for o in said]))
    numeric = all(_NUMBER.match(text) for text, _ in values)
    obx.put(2, "NM" if values and numeric else "ST")
    for repetition, (text, origins) in enumerate(values, 1):
        obx.put(5, text, origins, repetition=repetition)


def _flags(scope: Scope, obx: Draft) -> None:
    found = scope.record("flag")
    if found is None:
        return
    record, place = found
    meanings = scope.positions.astm.flags
    said = [
        leaf
        for repetition in record.repetitions(place.number)
        if (leaf := record.leaf(place.number, place.component or 1, repetition))
    ]
    for repetition, leaf in enumerate(said, 1):
        obx.put(8, meanings.get(leaf.text, leaf.text), (leaf.address,), repetition=repetition)


def _status(scope: Scope, obx: Draft) -> Leaf | None:
    """Set OBX-11 from R-9; return the leaf where it doubts the result."""
    leaf = scope.leaf("status")
    astm = scope.positions.astm
    if leaf is None:
        obx.put(11, astm.default_status)
        return None
    said = leaf.text.upper()
    meant = astm.statuses.get(leaf.text) or _RESULT_STATUS.get(said, said)
    obx.put(11, meant, (leaf.address,))
    return leaf if said == "W" and leaf.text not in astm.statuses else None


def _device(scope: Scope, obx: Draft) -> None:
    """R-14, else who H-5 says that sends."""
    if leaf := scope.leaf("instrument"):
        obx.take(18, leaf)
        return
    header = scope.records["H"]
    said = [leaf for component in (1, 2) if (leaf := header.leaf(5, component))]
    text = slug("-".join(leaf.text for leaf in said)) if said else ""
    obx.put(18, text, [leaf.address for leaf in said])


def _selected(scope: Scope) -> bool:
    """Whether the profile wants this R record."""
    return all(
        (leaf := scope.at(_place(one.at))) is not None and leaf.text in one.keep
        for one in scope.positions.astm.select
    )


def _place(text: str) -> Place:
    segment, _, rest = text.partition("-")
    number, _, component = rest.partition(".")
    return Place(segment, int(number), int(component or 0))


def is_control(record: Record) -> bool:
    """Whether a Q record is no request, but the result of a control.

    Some middleware sends `Q|n|test^lot^level|value|unit|time|flag`. In a request Q-6 is
    the nature of the time limits, S or R, and never a time (section 11).
    """
    value, when, lot = record.leaf(4), record.leaf(6), record.leaf(3, _LOT)
    return bool(value and lot and when and _MOMENT.match(when.text))


def _control(work: _Translation, record: Record) -> None:
    """A control as the order, specimen and result of its lot."""
    lot, level = record.leaf(3, _LOT), record.leaf(3, _LEVEL)
    when = record.leaf(6)
    obr = work.add("OBR")
    obr.take(4, record.leaf(3))
    _time(work, obr, 7, when)
    spm = work.add("SPM")
    spm.put(1, "1")
    spm.take(2, lot)
    spm.put(11, "Q")
    spm.take(14, level)
    obx = work.add("OBX")
    obx.take(3, record.leaf(3))
    value = record.leaf(4)
    obx.put(2, "NM" if value and _NUMBER.match(value.text) else "ST")
    obx.take(5, value)
    obx.put(6, *record.whole(5))
    obx.take(8, record.leaf(7))
    obx.put(11, work.positions.astm.default_status or "F")
    _time(work, obx, 14, when)
    _device(work.scope(), obx)


def requests(transmission: Transmission) -> Iterator[Record]:
    """Yield the Q records that ask for orders."""
    for record in transmission.named("Q"):
        if not is_control(record):
            yield record


def has_results(transmission: Transmission) -> bool:
    """Whether there is a result, or a control."""
    return any(
        record.type == "R" or (record.type == "Q" and is_control(record))
        for record in transmission.records
    )


def finding(transmission: Transmission) -> tuple[str, str] | None:
    """Return (reason, text) why a message cannot be taken, None where it can.

    A message ends with L (section 12), and L-3 may say that it did not end well.
    """
    last = transmission.records[-1]
    if last.type != "L":
        return "INCOMPLETE_TRANSMISSION", "L: The terminator record is missing"
    code = last.leaf(3)
    if code and code.text.upper() in {"E", "T", "R"}:
        return "INCOMPLETE_TRANSMISSION", "L-3: The sender did not end the message"
    return _misplaced(transmission.records)


def _misplaced(records: Sequence[Record]) -> tuple[str, str] | None:
    """Return the first record that stands where it has no meaning (section 5.2)."""
    order = False
    for record in records:
        if record.type == "P":
            order = False
        elif record.type == "O":
            order = True
        elif record.type == "R" and not order:
            text = f"R[{record.occurrence}]: A result belongs to no order record"
            return "INCOMPLETE_TRANSMISSION", text
    return None


def opened(text: str, codec: str, astm: Astm | None = None, qc: tuple[QcRule, ...] = ()) -> Message:
    """Return the message that records say; raises BadHeader and Refusal."""
    found = message(parse(text), astm, qc)
    found.codec = codec
    return found
