"""Which stored Patients are the one who is described.

They are found by searches with the rights of who asks, each of which has an index to begin with
(an identifier, a birth date, a telephone number, a name with another or with a year of birth), and
then compared. So a hidden patient has no score, and a million are not looked through.

https://hl7.org/fhir/R4/patient-operation-match.html
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from fhir_server.access import masking
from fhir_server.access.queries import SEARCH, there
from fhir_server.access.reach import reading
from fhir_server.access.restriction import required
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Forbidden
from fhir_server.interactions import coded
from fhir_server.interactions.likeness import Likeness, grade, likeness, person
from fhir_server.interactions.search import matching_ids
from fhir_server.r4 import json
from fhir_server.search.query import Pair
from fhir_server.server import Server
from fhir_server.store import read as store
from fhir_server.store.read import Stored

TYPE: Final = "Patient"
_CERTAIN: Final = "certain"
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_ESCAPED = re.compile(r"[\\,$|]")
_NOT_DIGITS = re.compile(r"\D+")
_NUMBER: Final = 10
_HALF: Final = 5
_LETTERS: Final = 2
_MOST: Final = 10
"""Identifiers, names, numbers of the description by which patients are found."""

Json = Mapping[str, Any]
Place = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A patient who may be meant: the text, how alike, and the grade (match-grade)."""

    id: str
    version: int
    body: bytes
    likeness: Likeness
    grade: str


async def matches(
    server: Server, caller: Caller, patient: Json, *, count: int, only_certain: bool = False
) -> list[Found]:
    """Return up to `count` who may be meant, the likeliest first.

    With `only_certain` the one who is certainly meant, if it is one and not several. Forbidden
    where the caller may not search for patients, or is shown parts of them only.
    """
    parts = masking.parts(caller.rights)
    if parts is not None and TYPE in parts.left_out:
        raise Forbidden("Patients that are shown in part are not compared")
    async with reading(server, caller) as connection:
        await coded.answer_rights(server, connection, caller)
        required(server, caller.rights, TYPE, SEARCH)
        stored = await _candidates(server, connection, caller, patient)
    found = sorted(_judged(server, patient, stored), key=lambda one: -one.likeness.probability)
    if only_certain:
        certain = [one for one in found if one.grade == _CERTAIN]
        found = certain if len(certain) == 1 else []
    shown = found[:count]
    for one in shown:
        caller.read(TYPE, one.id, one.version)
    return shown


def _judged(server: Server, patient: Json, stored: Mapping[str, Stored]) -> Iterator[Found]:
    settings, meant = server.settings.match, person(patient)
    for id_, one in stored.items():
        alike = likeness(settings, meant, person(json.decode(one.body)))
        if found := grade(settings, alike):
            yield Found(id_, one.version, one.body, alike, found)


async def _candidates(
    server: Server, connection: Connection, caller: Caller, patient: Json
) -> dict[str, Stored]:
    """Return the patients to be compared, by id: those whom the caller may search for."""
    most, codes = server.settings.match.candidates, server.settings.match.country_codes
    ids: dict[str, None] = {}
    for question in _questions(patient, codes):
        given = await matching_ids(server, connection, caller, TYPE, question.pairs, most)
        if len(given) >= most and question.narrower:
            for pairs in question.narrower:
                given += await matching_ids(server, connection, caller, TYPE, pairs, most)
        ids |= dict.fromkeys(given)
    type_id = server.definitions.type_ids[TYPE]
    wall = there(server, caller.rights, TYPE, SEARCH) if caller.rights.walls else None
    found = await store.currents(connection, [(type_id, one) for one in ids], wall)
    present = {id_: one for (_, id_), one in found.items() if not one.deleted}
    return {id_: present[id_] for id_ in ids if id_ in present and not _is_merged(present[id_])}


def _is_merged(one: Stored) -> bool:
    """Return whether the patient was merged into another, who is meant instead."""
    links = json.decode(one.body).get("link", ())
    return any(link.get("type") == "replaced-by" for link in links)


@dataclass(frozen=True, slots=True)
class _Question:
    """A search for candidates, and narrower ones to be asked where it finds too many."""

    pairs: Sequence[Pair]
    narrower: Sequence[Sequence[Pair]] = ()


def _questions(patient: Json, codes: Sequence[str]) -> Iterator[_Question]:
    """Yield the searches by which the patient may be found; `codes` are those of countries."""
    yield from _by_numbers(patient, codes)
    names = [one for one in _listed(patient, "name") if isinstance(one, dict)]
    family_names = _texts(one.get("family") for one in names)
    given_names = _texts(part for one in names for part in one.get("given", ()))
    families, givens = _joined(family_names), _joined(given_names)
    born = str(patient.get("birthDate", ""))
    if date := _DATE.fullmatch(born):
        year, month, day = date.groups()
        days = [born] if month == day or int(day) > 12 else [born, f"{year}-{day}-{month}"]  # noqa: PLR2004  (months)
        on = ("birthdate", ",".join(days))
        begun = [_begun(one) for one in (*family_names, *given_names)]
        yield _Question([on], [[on, ("name", one)] for one in dict.fromkeys(begun)])
    if families and givens:
        yield _Question([("family", families), ("given", givens)])
        yield _Question([("family", givens), ("given", families)])
    for name, value in (("family", families), ("given", givens)):
        if value and born[:4].isdecimal():
            yield _Question([(name, value), ("birthdate", born[:4])])
        elif value and not (families and givens):
            yield _Question([(name, value)])
    texts = _joined(_texts(one.get("text") for one in names if not families and not givens))
    if texts:
        yield _Question([("name", texts)])


def _by_numbers(patient: Json, codes: Sequence[str]) -> Iterator[_Question]:
    """Yield the searches by identifiers, telephone numbers and e-mail addresses."""
    identifiers = [one for one in _listed(patient, "identifier") if isinstance(one, dict)]
    tokens = [
        f"{_escaped(str(one['system']))}|{_escaped(one['value'])}"
        if one.get("system")
        else _escaped(one["value"])
        for one in identifiers
        if isinstance(one.get("value"), str) and one["value"].strip()
    ]
    if tokens:
        yield _Question([("identifier", ",".join(tokens))])
    telecoms = [one for one in _listed(patient, "telecom") if isinstance(one, dict)]
    values = [form for one in telecoms for form in _forms(str(one.get("value", "")).strip(), codes)]
    if values:
        yield _Question([("telecom", ",".join(map(_escaped, dict.fromkeys(values))))])


def _forms(value: str, codes: Sequence[str]) -> Iterator[str]:
    """Yield the ways in which a telephone number may be stored, or the e-mail address.

    A number is a token in the index, which has it as it was written.
    """
    if value:
        yield value
    digits = _NOT_DIGITS.sub("", value)
    if "@" in value or len(digits) < _NUMBER:
        return
    own = digits[-_NUMBER:]
    halves = f"{own[:_HALF]} {own[_HALF:]}"
    yield from (digits, own, f"0{own}", halves)
    for code in dict.fromkeys(filter(None, (digits[:-_NUMBER].lstrip("0"), *codes))):
        yield from (f"+{code}{own}", f"+{code} {own}", f"+{code}-{own}", f"{code}{own}")
        yield f"+{code} {halves}"


def _listed(patient: Json, name: str) -> list[Any]:
    found = patient.get(name)
    return found[:_MOST] if isinstance(found, list) else []


def _texts(found: Iterator[Any]) -> list[str]:
    names = (one for one in found if isinstance(one, str) and any(map(str.isalnum, one)))
    return list(islice(names, _MOST))


def _begun(name: str) -> str:
    """Return the first letters of a name."""
    return "".join(filter(str.isalnum, name))[:_LETTERS]


def _joined(values: Sequence[str]) -> str:
    return ",".join(dict.fromkeys(map(_escaped, values)))


def _escaped(value: str) -> str:
    return _ESCAPED.sub(lambda found: f"\\{found[0]}", value)
