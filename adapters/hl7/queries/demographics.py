"""QBP^Q22 and Q23: patients by their demographics, and the other identifiers of one.

HL7 v2.9 chapter 3, sections 3.3.56 and 3.3.57; IHE ITI-21 and ITI-9.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.hl7.mapping.code_tables import GENDER
from adapters.hl7.mapping.context import slug
from adapters.hl7.mapping.datatypes.hd import escaped, known_system
from adapters.hl7.message.tokenizer import Message, Segment
from adapters.hl7.outbound import datatypes as as_
from adapters.hl7.outbound.er7 import Encoding
from adapters.hl7.outbound.er7 import Segment as Written
from adapters.hl7.outbound.er7 import segment as written
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json
from adapters.hl7.outbound.segments.pid import pid

Pair = tuple[str, str]
System = Callable[[Sequence[str]], str]
"""What gives the identifier system of an HD, "" without one."""
MOST: Final = 100


class Unanswerable(Exception):
    """The query asks for nothing that can be looked for; the text says what."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for, as pairs of a search; `domains` limit the identifiers told.

    `known` are the systems that a name of an authority may stand for.
    """

    pairs: tuple[Pair, ...]
    domains: tuple[str, ...] = ()


def system_of(agreed: Mapping[str, str], base: str, sender: str) -> System:
    """Return what gives the system of an HD, as the mapping of messages does."""

    def system(hd: Sequence[str]) -> str:
        namespace, universal, kind = (*hd, "", "", "")[:3]
        name = namespace or universal
        local = f"{base}/hl7/{sender}/ids/{slug(name)}" if name else ""
        return known_system(agreed, namespace, universal, kind) or local

    return system


def by_demographics(qpd: Segment, system: System) -> Question:
    """Return the search of QPD-3: `@PID.5.1.1^RAO` and its like; Unanswerable without any."""
    told = [(rep.peek(1).upper(), rep.peek(2)) for rep in qpd.repetitions(3)]
    told = [(name.removeprefix("@"), value) for name, value in told if value]
    pairs = [*_identifier(told, system)]
    for name, value in told:
        if name.startswith(("PID.3", "PID.18")):
            continue
        pair = _pair(name, value)
        if pair is None:
            raise Unanswerable("A parameter of QPD-3 is not supported")
        pairs.append(pair)
    if not pairs:
        raise Unanswerable("QPD-3 names nothing to look for")
    return Question(tuple(pairs), _domains(qpd, 8, system))


def _identifier(told: Sequence[Pair], system: System) -> list[Pair]:
    """Return PID-3 or PID-18, with its authority where that is said."""
    found: list[Pair] = []
    for start in ("PID.3", "PID.18"):
        parts = {name.removeprefix(start): value for name, value in told if _is(name, start)}
        value = parts.get(".1") or parts.get(".1.1") or parts.get("")
        hd = (
            parts.get(".4.1") or parts.get(".4", ""),
            parts.get(".4.2", ""),
            parts.get(".4.3", ""),
        )
        if value:
            within = system(hd) if any(hd) else ""
            token = f"{escaped(within)}|{escaped(value)}" if within else escaped(value)
            found.append(("identifier", token))
    return found


def _is(name: str, start: str) -> bool:
    return name == start or name.startswith(f"{start}.")


def _pair(name: str, value: str) -> Pair | None:
    """Return a parameter of QPD-3 as one of a search, None for an unknown one."""
    value = value.replace("*", "")
    if name in {"PID.5.1", "PID.5.1.1", "PID.5"}:
        return ("family", escaped(value))
    if name in {"PID.5.2", "PID.5.3"}:
        return ("given", escaped(value))
    if name.startswith("PID.7"):
        return ("birthdate", _date(value))
    if name == "PID.8":
        return ("gender", GENDER.get(value, "unknown"))
    parts = {"3": "address-city", "4": "address-state", "5": "address-postalcode"}
    if name.startswith("PID.11"):
        component = name.split(".")[2] if name.count(".") > 1 else ""
        return (parts.get(component, "address"), escaped(value))
    return None


def _date(text: str) -> str:
    digits = text[:8]
    return "-".join(filter(None, (digits[:4], digits[4:6], digits[6:8])))


def by_identifier(qpd: Segment, system: System) -> Question:
    """Return the search of QPD-3, a CX; Unanswerable where it is no whole identifier."""
    rep = qpd.first(3)
    value = rep.peek(1) if rep else ""
    within = system([rep.peek(4, sub) for sub in (1, 2, 3)]) if rep else ""
    if not value or not within:
        raise Unanswerable("QPD-3 is no identifier with its authority")
    pair = ("identifier", f"{escaped(within)}|{escaped(value)}")
    return Question((pair,), _domains(qpd, 4, system))


def _domains(qpd: Segment, number: int, system: System) -> tuple[str, ...]:
    """Return the systems of the identifiers that are wanted (CX.4), none for all."""
    found = [
        system([rep.peek(4, sub) or (rep.peek(1) if sub == 1 else "") for sub in (1, 2, 3)])
        for rep in qpd.repetitions(number)
    ]
    return tuple(filter(None, found))


def told(patients: Sequence[Json], question: Question, peer: Peer, encoding: Encoding) -> list[str]:
    """Return a PID for each patient, with the identifiers of the wanted domains only."""
    found = []
    for at, patient in enumerate(patients, 1):
        shown = _limited(patient, question.domains)
        segment = pid(shown, peer)
        found.append(written(Written("PID", {**segment.fields, 1: str(at)}), encoding))
    return found


def _limited(patient: Json, domains: Sequence[str]) -> Json:
    if not domains:
        return patient
    own = [one for one in patient.get("identifier", ()) if one.get("system") in domains]
    return {**patient, "identifier": own}


def identifiers(patient: Json, question: Question, peer: Peer, encoding: Encoding) -> list[str]:
    """Return PID with the identifiers of a patient alone, [] where none is of the domains."""
    numbers = [as_.cx(peer, one) for one in as_.shown(peer, _limited(patient, question.domains))]
    if not numbers:
        return []
    segment = Written("PID", {3: numbers, 5: ""})
    return [written(segment, encoding)]


def qpd_of(message: Message) -> Segment:
    """Return QPD; Unanswerable where it is missing."""
    found = message.named("QPD")
    if not found:
        raise Unanswerable("QPD is missing")
    return found[0]
