"""Result records as the HL7 v2 message that says the same, for the one mapping to FHIR.

CLSI LIS02-A2 (ASTM E1394), sections 6 to 10 and 15: https://clsi.org/shop/standards/lis02/
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Final

from adapters.hl7.mapping.context import Refusal
from adapters.hl7.mapping.sender_rules import QcRule
from adapters.hl7.message.accounting import (
    CONTROL,
    NO_TARGET,
    PROFILE_IGNORED,
)
from adapters.hl7.message.tokenizer import Message
from adapters.hl7.profiles.model import Astm, place_of
from adapters.hl7.records import answered, draft
from adapters.hl7.records.answered import Answered, Candidate, Known
from adapters.hl7.records.controls import is_control, put_control
from adapters.hl7.records.positions import Positions, Scope
from adapters.hl7.records.segments import (
    identifiers,
    put_address,
    put_identifiers,
    put_obr,
    put_obx,
    put_orc,
    put_spm,
)
from adapters.hl7.records.translation import Translation
from adapters.hl7.records.transmission import Record, Transmission, parse

_PROCESSING: Final = frozenset(("P", "T", "D", "Q"))
_CONTROL: Final = {
    "H": frozenset((1, 2, 3, 11, 12, 13, 14)),
    "L": frozenset((1, 2, 3)),
}
_TYPE_AND_NUMBER: Final = frozenset((1, 2))


def message(
    transmission: Transmission,
    astm: Astm | None = None,
    qc: tuple[QcRule, ...] = (),
    known: Known | None = None,
) -> Message:
    """Return the results as an ORU^R01 that keeps account of the records' leaves.

    `known` are the stored orders that they may answer. Raises Refusal for records that stand
    where they have no meaning.
    """
    positions = Positions.of(astm or Astm(), qc)
    work = Translation(transmission, positions, known=known or {})
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


def _header(work: Translation) -> None:
    """H as MSH: the first component of H-5 is the maker, the second the model (6.5)."""
    header = work.transmission.header
    msh = work.add("MSH")
    for number, places in ((5, (3, 4)), (10, (5, 6))):
        for component, place in enumerate(places, 1):
            msh.take(place, header.leaf(number, component))
    work.time(msh, 7, header.leaf(14))
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


class _Walk:
    """Where the walk over the records stands."""

    def __init__(self, work: Translation) -> None:
        self._work = work
        self._patient: Record | None = None
        self._order: Record | None = None
        self._answered: Answered | None = None
        self._candidate: Candidate | None = None
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
        self._answered = _answered(work, scope, self._following(record))
        put_identifiers(work, scope, pid, self._answered)
        for component, leaf in enumerate(scope.parts("name"), 1):
            pid.take(5, leaf if leaf.text else None, component=component)
        work.time(pid, 7, scope.leaf("birth_date"))
        pid.take(8, scope.leaf("gender"))
        put_address(scope, pid)
        pid.put(13, *scope.whole("phone"))
        self._notes = True

    def _following(self, patient: Record) -> list[Record]:
        """Return the orders of a patient record."""
        records = self._work.transmission.records
        after = records[records.index(patient) + 1 :]
        return [one for one in takewhile(lambda each: each.type != "P", after) if one.type == "O"]

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
        code, _, _, _ = scope.code("order_test")
        self._candidate = self._meant(scope, code)
        self._open(scope)

    def _meant(self, scope: Scope, code: str) -> Candidate | None:
        """Return the stored order of this specimen for a test."""
        number = scope.leaf("specimen")
        if self._answered is None or number is None or self._quality:
            return None
        return answered.order_of(self._answered.orders.get(number.text, ()), code)

    def _open(self, scope: Scope) -> None:
        """Begin the group of an order."""
        if self._candidate is not None:
            put_orc(self._work, self._candidate)
        put_obr(self._work, scope, self._candidate, quality=self._quality)
        self._notes = True
        self._specimen_due = True

    def _specimen(self) -> None:
        """SPM ends the order."""
        if self._order is not None and self._specimen_due:
            scope = self._work.scope(self._patient, self._order)
            put_spm(self._work, scope, quality=self._quality)
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
        self._turn(scope)
        put_obx(self._work, scope)
        self._notes = True

    def _turn(self, scope: Scope) -> None:
        """Begin another group where a result answers another order of the specimen."""
        code, _, _, _ = scope.code("test")
        candidate = self._meant(scope, code)
        if candidate is not None and candidate != self._candidate:
            if self._work.segments[-1].name == "OBR":
                # Nothing was reported of the first test that the record names.
                del self._work.segments[-2 if self._candidate else -1 :]
            else:
                self._specimen()
            self._candidate = candidate
            self._open(scope)

    def comment(self, record: Record) -> None:
        """C as NTE of the record before (section 9)."""
        if self._notes:
            nte = self._work.add("NTE")
            nte.put(3, *record.whole(4))

    def request(self, record: Record) -> None:
        """Q asks, and brings nothing; but some controls are sent in it."""
        if is_control(record):
            self._specimen()
            put_control(self._work, record)
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


def _answered(work: Translation, scope: Scope, orders: Sequence[Record]) -> Answered | None:
    """Return whose the results are by the stored orders of their specimens."""
    scopes = [work.scope(scope.records["P"], record) for record in orders]
    numbers = [leaf.text for one in scopes if not one.is_qc() and (leaf := one.leaf("specimen"))]
    told = [leaf.text for leaf in identifiers(scope)]
    return answered.answered(work.known, numbers, told) if work.known else None


def _selected(scope: Scope) -> bool:
    """Whether the profile wants this R record."""
    return all(
        (leaf := scope.at(place_of(one.at))) is not None and leaf.text in one.keep
        for one in scope.positions.astm.select
    )


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


def specimens(text: str, astm: Astm | None = None, qc: tuple[QcRule, ...] = ()) -> set[str]:
    """Return the numbers of the specimens of patients, no controls."""
    transmission = parse(text)
    work = Translation(transmission, Positions.of(astm or Astm(), qc))
    scopes = [work.scope(record) for record in transmission.named("O")]
    found = [scope.leaf("specimen") for scope in scopes if not scope.is_qc()]
    return {leaf.text for leaf in found if leaf is not None}


def opened(
    text: str,
    codec: str,
    astm: Astm | None = None,
    qc: tuple[QcRule, ...] = (),
    *,
    known: Known | None = None,
) -> Message:
    """Return the message that records say; raises BadHeader and Refusal."""
    found = message(parse(text), astm, qc, known)
    found.codec = codec
    return found
