"""Records P, O and R as PID, OBR, SPM and OBX.

CLSI LIS02-A2 (ASTM E1394), sections 6 to 10: https://clsi.org/shop/standards/lis02/
"""

import re
from typing import Final

from adapters.hl7.mapping.context import slug
from adapters.hl7.mapping.sender_rules import Place
from adapters.hl7.message.accounting import CONDITION_FALSE, INVALID_VALUE
from adapters.hl7.records.answered import Answered, Candidate
from adapters.hl7.records.draft import SUBCOMPONENT, Draft
from adapters.hl7.records.positions import Scope
from adapters.hl7.records.translation import Translation
from adapters.hl7.records.transmission import Leaf

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
_NUMBER: Final = re.compile(r"[<>]?=?\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)\Z")
_CLOCK: Final = re.compile(r"\d{12}(\d\d)?\Z")
_ADDRESS: Final = (1, 3, 4, 5, 6)  # street, city, state, zip, country in XAD


def is_number(text: str) -> bool:
    """Whether a value is a number, with or without a comparator."""
    return _NUMBER.match(text) is not None


def identifiers(scope: Scope) -> list[Leaf]:
    """Return the numbers of the patient, in the order in which they are tried."""
    return [leaf for place in scope.positions.patient_ids if (leaf := scope.at(place))]


def put_identifiers(work: Translation, scope: Scope, pid: Draft, answers: Answered | None) -> None:
    """Take the first identifier that there is: only the agreed one says who it is.

    The others may be numbers of a stay, or whatever else a sender puts there. Of who is known
    by an order it is that patient's, with its authority.
    """
    found = identifiers(scope)
    said = found[0] if found else None
    if answers is None:
        pid.take(3, said)
    else:
        own = answers.patient
        said = next((leaf for leaf in found if leaf.text == own.value), None)
        pid.put(3, own.value, (said.address,) if said else ())
        pid.put(3, SUBCOMPONENT.join(("", own.system, "URI")), component=4)
        pid.put(3, own.kind, component=5)
    work.reasons.update((leaf.address, CONDITION_FALSE) for leaf in found if leaf != said)


def put_address(scope: Scope, pid: Draft) -> None:
    """P-11: street, city, state, zip, country (5.6.2); some send it as HL7 does (XAD)."""
    parts = scope.parts("address")
    texts = [leaf.text for leaf in parts]
    as_hl7 = len(texts) > 2 and not texts[1] and bool(texts[2])  # noqa: PLR2004
    for place, leaf in enumerate(parts):
        component = place + 1 if as_hl7 else (*_ADDRESS, 7, 8, 9)[min(place, 7)]
        pid.take(11, leaf if leaf.text else None, component=component)


def put_orc(work: Translation, order: Candidate) -> None:
    """A stored order that is answered, by its own number."""
    orc = work.add("ORC")
    orc.put(1, "RE")
    if order.number is not None:
        orc.put(2, order.number.value)
        orc.put(2, order.number.system, component=3)
        orc.put(2, "URI", component=4)


def put_obr(work: Translation, scope: Scope, order: Candidate | None, *, quality: bool) -> None:
    """O as OBR (section 8); the specimen's number is what the orderer knows it by."""
    obr = work.add("OBR")
    if order is not None:
        origins = [leaf.address for leaf in scope.every("order_test") if leaf.text == order.code]
        obr.put(4, order.code, origins)
    else:
        if not quality:
            _specimen_number(scope, obr)
        _code(scope, obr, 4, "order_test")
    obr.take(5, scope.leaf("priority"))
    work.time(obr, 6, scope.leaf("ordered"))
    work.time(obr, 7, scope.leaf("collected"))
    work.time(obr, 8, _collection_end(scope))
    action = scope.leaf("action")
    if action and action.text.upper() == "A":
        obr.take(11, action)
    for component, leaf in enumerate(scope.parts("physician"), 1):
        obr.take(16, leaf if leaf.text else None, component=component)
    work.time(obr, 22, scope.leaf("reported"))
    status = scope.leaf("report_type")
    if status and status.text.upper() not in _NO_REPORT_STATUS:
        obr.put(25, status.text.upper(), (status.address,))


def _specimen_number(scope: Scope, segment: Draft) -> None:
    """Set field 2 to the specimen's number; one that is used again is told apart by its time."""
    number = scope.leaf("specimen")
    if number is None:
        return
    period = scope.period()
    if segment.name == "SPM" and period:
        # An EIP: the placer's number with its authority.
        segment.put(2, SUBCOMPONENT.join((number.text, period)), (number.address,))
    else:
        segment.take(2, number)
        segment.put(2, period, component=2)


def _collection_end(scope: Scope) -> Leaf | None:
    """O-9, unless the sender puts something else there."""
    taken = any((at.segment, at.number) == ("O", 9) for at in scope.positions.places.values())
    return None if taken else scope.at(Place("O", 9))


def _code(scope: Scope, segment: Draft, number: int, role: str) -> None:
    code, name, codes, names = scope.code("order_test" if role == "order_test" else "test")
    segment.put(number, code, codes)
    segment.put(number, name, names, component=2)


def put_spm(work: Translation, scope: Scope, *, quality: bool) -> None:
    """O as SPM; `quality` tells that the specimen is a control."""
    spm = work.add("SPM")
    spm.put(1, "1")
    _specimen_number(scope, spm)
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
    work.time(spm, 17, scope.leaf("collected"))
    if end := _collection_end(scope):
        spm.put(17, work.positions.moment(end.text), (end.address,), component=2)
    work.time(spm, 18, scope.leaf("received"))


def put_obx(work: Translation, scope: Scope) -> None:
    """R as OBX (section 9 of E1394)."""
    obx = work.add("OBX")
    _code(scope, obx, 3, "test")
    _value(scope, obx)
    obx.put(6, *scope.whole("unit"))
    obx.put(7, *scope.whole("range"))
    _flags(scope, obx)
    doubtful = _status(scope, obx)
    work.time(obx, 14, scope.leaf("completed") or scope.leaf("started"))
    for repetition, leaf in enumerate(scope.parts("operator"), 1):
        if _CLOCK.match(leaf.text):
            # A sender that lost count puts a time here; nobody is called so.
            work.reasons[leaf.address] = INVALID_VALUE
        elif leaf.text:
            obx.take(16, leaf, repetition=repetition)
    put_device(scope, obx)
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


def put_device(scope: Scope, obx: Draft) -> None:
    """R-14, else who H-5 says that sends."""
    if leaf := scope.leaf("instrument"):
        obx.take(18, leaf)
        return
    header = scope.records["H"]
    said = [leaf for component in (1, 2) if (leaf := header.leaf(5, component))]
    text = slug("-".join(leaf.text for leaf in said)) if said else ""
    obx.put(18, text, [leaf.address for leaf in said])
