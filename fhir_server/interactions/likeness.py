"""How alike two Patients are: in what they agree, and how probably they are one person.

Each feature is evidence for or against, in bits that are added up (Fellegi, Sunter: A theory for
record linkage, 1969); what is not said by both says nothing.

https://hl7.org/fhir/R4/patient-operation-match.html
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain, islice
from typing import Any, Final

from anyascii import anyascii
from jellyfish import jaro_winkler_similarity, soundex

from fhir_server.match_settings import MatchSettings

Json = Mapping[str, Any]

ALIKE: Final = 0.92
"""Names are alike from this similarity (Jaro-Winkler) on."""

SOUNDING: Final = 0.8
"""Those that sound alike (Soundex) from this one on."""

_DAY: Final = 10
_YEAR: Final = 4
_NUMBER: Final = 10
"""Last digits by which telephone numbers are compared: without the codes of country and trunk."""
_NOT_ALPHANUMERIC = re.compile(r"[^0-9a-z]+")
_NOT_DIGITS = re.compile(r"\D+")
_MOST: Final = 20
_LONGEST: Final = 64
"""Each word of one is compared with each of the other, letter by letter: so many, so long."""


class Level(IntEnum):
    """How a feature stands: the place of its bits in the settings."""

    AGREES = 0
    ALIKE = 1
    DIFFERS = 2


@dataclass(frozen=True, slots=True)
class Person:
    """What is compared of a Patient, normalised; empty where it says nothing.

    `identifiers` are (system, value), `numbers` the last digits of telephone numbers,
    `places` parts of addresses by (kind, value).
    """

    identifiers: frozenset[tuple[str, str]]
    families: frozenset[str]
    givens: frozenset[str]
    born: str
    gender: str
    contacts: frozenset[str]
    places: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Likeness:
    """The level of each feature that both say, and the probability that they are one person."""

    levels: Mapping[str, Level]
    probability: float

    def is_(self, feature: str, *levels: Level) -> bool:
        """Return whether a feature stands at one of the levels."""
        return self.levels.get(feature) in levels


def person(patient: Json) -> Person:
    """Return what is compared of a Patient."""
    names = list(_items(patient, "name"))
    texts = [o.get("text") for o in names if not o.get("family") and not o.get("given")]
    families = (one.get("family") for one in names)
    givens = (part for one in names for part in _texts(one, "given"))
    return Person(
        identifiers=frozenset(_identifiers(patient)),
        families=_words(chain(families, texts)),
        givens=_words(chain(givens, texts)),
        born=str(patient.get("birthDate", "")),
        gender=str(patient.get("gender", "")).replace("unknown", ""),
        contacts=frozenset(_contacts(patient)),
        places=frozenset(_places(patient)),
    )


def likeness(settings: MatchSettings, one: Person, other: Person) -> Likeness:
    """Return how alike two are."""
    found = dict(_levels(one, other))
    bits = settings.prior + sum(getattr(settings.weights, k)[v] for k, v in found.items())
    # Beyond this a float says 0 or 1 anyway.
    bits = max(-500.0, min(500.0, bits))
    return Likeness(found, 1 / (1 + 2**-bits))


def grade(settings: MatchSettings, found: Likeness) -> str | None:
    """Return certain, probable or possible (match-grade), None for no match.

    Names alone never make it certain, nor does anything where the given names differ, as those
    of twins do.
    """
    same_id = found.is_("identifier", Level.AGREES)
    if found.is_("given", Level.DIFFERS) and not same_id:
        return "possible" if found.probability >= settings.possible else None
    if found.probability >= settings.certain and _is_sure(found):
        return "certain"
    if found.probability >= settings.probable:
        return "probable"
    # One identifier and two persons: somebody is to look.
    return "possible" if same_id or found.probability >= settings.possible else None


def _is_sure(found: Likeness) -> bool:
    """Return whether so much agrees that nobody has to look."""
    if found.is_("gender", Level.DIFFERS):
        return False
    named = all(found.is_(one, Level.AGREES, Level.ALIKE) for one in ("family", "given"))
    born = found.is_("birth_date", Level.AGREES)
    differs = [name for name, level in found.levels.items() if level == Level.DIFFERS]
    if found.is_("identifier", Level.AGREES):
        return (named or born) and set(differs) <= {"telecom", "address"}
    exactly = all(found.is_(one, Level.AGREES) for one in ("family", "given", "telecom"))
    return exactly and born and not differs


def _levels(one: Person, other: Person) -> Iterator[tuple[str, Level]]:
    if one.identifiers and other.identifiers and (level := _same_ids(one, other)) is not None:
        yield "identifier", level
    crossed = bool(one.families & other.givens and one.givens & other.families)
    for name, ours, theirs in (
        ("family", one.families, other.families),
        ("given", one.givens, other.givens),
    ):
        if ours and theirs:
            level = _same_names(ours, theirs)
            yield name, min(level, Level.ALIKE) if crossed else level
    if one.born and other.born:
        yield "birth_date", _same_dates(one.born, other.born)
    if one.gender and other.gender:
        yield "gender", Level.AGREES if one.gender == other.gender else Level.DIFFERS
    if one.contacts and other.contacts:
        yield "telecom", Level.AGREES if one.contacts & other.contacts else Level.DIFFERS
    if one.places and other.places:
        yield "address", _same_places(one.places & other.places)


def _same_ids(one: Person, other: Person) -> Level | None:
    """Return the level of the identifiers; None where no system has any of both."""
    if any(system for system, _ in one.identifiers & other.identifiers):
        return Level.AGREES
    values = {value for _, value in one.identifiers} & {value for _, value in other.identifiers}
    without = {value for given in (one, other) for system, value in given.identifiers if not system}
    if values & without:
        return Level.ALIKE
    systems = {system for system, _ in one.identifiers} & {s for s, _ in other.identifiers}
    return Level.DIFFERS if systems - {""} else None


def _same_names(ours: Collection[str], theirs: Collection[str]) -> Level:
    if set(ours) & set(theirs):
        return Level.AGREES
    pairs = ((a, b) for a in ours for b in theirs)
    return Level.ALIKE if any(_is_alike(a, b) for a, b in pairs) else Level.DIFFERS


def _is_alike(one: str, other: str) -> bool:
    if len(one) == 1 or len(other) == 1:  # an initial
        return one[0] == other[0]
    similarity = jaro_winkler_similarity(one, other)
    return similarity >= ALIKE or (similarity >= SOUNDING and soundex(one) == soundex(other))


def _same_dates(one: str, other: str) -> Level:
    if one == other:
        return Level.AGREES
    if len(one) != len(other):
        return Level.ALIKE if one.startswith(other) or other.startswith(one) else Level.DIFFERS
    ours, theirs = one.split("-"), other.split("-")
    if len(one) != _DAY:
        return Level.DIFFERS
    exchanged = ours[0] == theirs[0] and ours[1:] == theirs[:0:-1]
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    return Level.ALIKE if exchanged or same == len(ours) - 1 else Level.DIFFERS


def _same_places(both: Collection[tuple[str, str]]) -> Level:
    kinds = {kind for kind, _ in both}
    if {"line", "postalCode"} <= kinds:
        return Level.AGREES
    return Level.ALIKE if kinds else Level.DIFFERS


def folded(text: object) -> str:
    """Return a text in small Latin letters and digits, whatever its script, without all else."""
    return _NOT_ALPHANUMERIC.sub("", anyascii(text).casefold()) if isinstance(text, str) else ""


def _words(texts: Iterable[object]) -> frozenset[str]:
    """Return the first words of names, cut to what is compared of them."""
    found = (part for one in texts if isinstance(one, str) for part in one.split())
    words = (word for one in found if (word := folded(one[:_LONGEST])[:_LONGEST]))
    return frozenset(islice(words, _MOST))


def _identifiers(patient: Json) -> Iterator[tuple[str, str]]:
    for one in _items(patient, "identifier"):
        if (value := folded(one.get("value"))) and one.get("use") != "old":
            yield str(one.get("system", "")), value


def _contacts(patient: Json) -> Iterator[str]:
    for one in _items(patient, "telecom"):
        value = str(one.get("value", ""))
        if one.get("system") == "email" or "@" in value:
            yield value.strip().casefold()
        elif digits := _NOT_DIGITS.sub("", value):
            yield digits[-_NUMBER:]


def _places(patient: Json) -> Iterator[tuple[str, str]]:
    for one in _items(patient, "address"):
        for name in ("postalCode", "city"):
            if value := folded(one.get(name)):
                yield name, value
        if line := "".join(folded(part) for part in _texts(one, "line")):
            yield "line", line


def _items(holder: Json, name: str) -> Sequence[Json]:
    found = holder.get(name)
    given: Iterable[Any] = found if isinstance(found, list) else ()
    return [one for one in given if isinstance(one, dict)][:_MOST]


def _texts(holder: Json, name: str) -> list[str]:
    found = holder.get(name)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
