"""Whom a study may be of: Patients that agree with what it says, best first, and its orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.dicom.dataset import datetimes
from adapters.dicom.dataset.attributes import Attributes, text
from adapters.dicom.dataset.names import families, folded, human_names
from adapters.dicom.studies.patients import GENDERS
from adapters.dicom.studies.reading import Json, escaped, literal, search, token
from fhir_server.database import Connection
from fhir_server.server import Server

_IDENTIFIER, _BORN, _FAMILY, _GIVEN, _SEX = 45, 25, 15, 10, 5
_MOST: Final = 10


@dataclass(frozen=True, slots=True)
class Candidate:
    """A Patient who may be meant: how far it agrees (0 to 100), and in what."""

    patient: str
    score: int
    agrees: tuple[str, ...]
    resource: Json


async def candidates(
    server: Server, connection: Connection, attributes: Attributes
) -> list[Candidate]:
    """Return the Patients that agree with what a study says, best first."""
    found: dict[str, Json] = {}
    for criteria in _questions(attributes):
        for one in await search(server, connection, f"Patient?{criteria}&_count=20"):
            found.setdefault(literal(one), one)
    scored = [judged(attributes, one) for one in found.values()]
    return sorted(scored, key=lambda one: (-one.score, one.patient))[:_MOST]


async def orders(server: Server, connection: Connection, attributes: Attributes) -> list[Json]:
    """Return the orders of the study's accession number, and those of its day."""
    found: dict[str, Json] = {}
    number = text(attributes, "AccessionNumber")
    day = datetimes.day(text(attributes, "StudyDate"))
    questions = [f"identifier={token('', number)}"] if number else []
    questions += [f"occurrence={day.isoformat()}&status=active"] if day else []
    for criteria in questions:
        for one in await search(server, connection, f"ServiceRequest?{criteria}&_count=50"):
            found.setdefault(literal(one), one)
    return list(found.values())


def judged(attributes: Attributes, patient: Json) -> Candidate:
    """Return how far a Patient agrees with what a study says of its own."""
    sent = human_names(text(attributes, "PatientName"))
    given = {folded(part) for name in sent for part in name.get("given", ())}
    born = datetimes.day(text(attributes, "PatientBirthDate"))
    names: Sequence[Json] = patient.get("name", ())
    facts: list[tuple[str, int, bool]] = [
        (
            "identifier",
            _IDENTIFIER,
            text(attributes, "PatientID")
            in {str(one.get("value")) for one in patient.get("identifier", ())},
        ),
        ("birth date", _BORN, bool(born) and patient.get("birthDate") == str(born)),
        (
            "family name",
            _FAMILY,
            bool(
                families(text(attributes, "PatientName"))
                & {folded(one.get("family", "")) for one in names}
            ),
        ),
        (
            "given name",
            _GIVEN,
            bool(given & {folded(part) for one in names for part in one.get("given", ())}),
        ),
        ("sex", _SEX, patient.get("gender") == GENDERS.get(text(attributes, "PatientSex"), "-")),
    ]
    agreeing = [(name, weight) for name, weight, agrees in facts if agrees]
    score = sum(weight for _, weight in agreeing)
    return Candidate(literal(patient), score, tuple(name for name, _ in agreeing), patient)


def _questions(attributes: Attributes) -> list[str]:
    asked = []
    if value := text(attributes, "PatientID"):
        asked.append(f"identifier={token('', value)}")
    names: list[dict[str, Any]] = human_names(text(attributes, "PatientName"))[:1]
    family = escaped(names[0].get("family", "")) if names else ""
    born = datetimes.day(text(attributes, "PatientBirthDate"))
    if born:
        asked.append(f"birthdate={born.isoformat()}" + (f"&family={family}" if family else ""))
    if family:
        first = escaped((names[0].get("given") or [""])[0])
        asked.append(f"family={family}" + (f"&given={first}" if first else ""))
    return asked
