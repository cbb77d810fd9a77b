"""The stored orders that results of a specimen answer, and whose they are.

What a host was asked for comes back with the number of the specimen, often without more: the
patient is then the one of the order (CLSI LIS02-A2, sections 8.4.3 and 11).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.hl7.mapping.context import Refusal

_FIRST: Final = ("MR", "MRT")


@dataclass(frozen=True, slots=True)
class Number:
    """An identifier with its system; `kind` is its type of table 0203, "" without one."""

    system: str
    value: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored order of a specimen.

    `code` is the analyzer's for what is ordered; `number` names the order alone, if anything
    does; `patient` is a reference, `identifiers` are that patient's. `active` orders wait for
    results, `recent` ones changed lately.
    """

    code: str
    number: Number | None
    patient: str
    identifiers: tuple[Number, ...]
    active: bool
    recent: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """Whose results these are, and the orders that they may answer, by specimen."""

    patient: Number
    orders: Mapping[str, tuple[Candidate, ...]]


Known = Mapping[str, Sequence[Candidate]]
"""Orders by the number of their specimen."""


def answered(known: Known, specimens: Sequence[str], told: Sequence[str]) -> Answered | None:
    """Return what the specimens of one patient record say; None where that is open.

    `told` are the numbers that the analyzer has for the patient. Without one only recent orders
    count, as numbers of specimens are used again, and orders of several patients say nothing.
    PATIENT_CONFLICT where a specimen waits for results of somebody who has none of the numbers.
    """
    found = {number: _of(known.get(number, ()), told) for number in dict.fromkeys(specimens)}
    everything = [one for orders in found.values() for one in orders]
    if told and not everything and _awaited(known, found):
        text = "The specimen is of a patient with other numbers"
        raise Refusal("PATIENT_CONFLICT", text, "P-3", "204")
    if len({one.patient for one in everything}) != 1:
        return None
    patient = _named(everything[0].identifiers, told)
    return Answered(patient, found) if patient else None


def _awaited(known: Known, specimens: Iterable[str]) -> bool:
    return any(one.active and one.recent for number in specimens for one in known.get(number, ()))


def _of(candidates: Sequence[Candidate], told: Sequence[str]) -> tuple[Candidate, ...]:
    if not told:
        return tuple(one for one in candidates if one.recent)
    own = [one for one in candidates if any(i.value in told for i in one.identifiers)]
    return tuple(one for one in own if one.active or one.recent)


def _named(identifiers: Sequence[Number], told: Sequence[str]) -> Number | None:
    """Return the identifier that was told, else a medical record number, else the first."""
    said = [one for one in identifiers if one.value in told]
    records = [one for one in identifiers if one.kind in _FIRST]
    return next(iter((*said, *records, *identifiers)), None)


def order_of(candidates: Sequence[Candidate], code: str) -> Candidate | None:
    """Return the order of an analyzer's code; the active one of several, None where that is open.

    Without any of this code None.
    """
    own = [one for one in candidates if code and one.code == code and one.number]
    waiting = [one for one in own if one.active] or own
    return waiting[0] if len(waiting) == 1 else None
