"""The ids of an imaging order, made once: study, accession, requested procedure, steps.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#sect_B.2
"""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from adapters.dicom.worklist import values
from adapters.dicom.worklist.order import V2_0203, Json, is_typed

DICOM_UID: Final = "urn:dicom:uid"
REQUESTED_PROCEDURE: Final = "urn:sangam:requested-procedure-id"

_UID = re.compile(r"urn:oid:([0-2](?:\.(?:0|[1-9]\d*))+)", re.ASCII)
_LONGEST_UID = 64


@dataclass(frozen=True, slots=True)
class Numbers:
    """What identifies an order to modalities; `accession_issuer` is an identifier system."""

    study_instance_uid: str
    accession_number: str
    accession_issuer: str
    requested_procedure_id: str


def study_uid(uuid: UUID) -> str:
    """Return a UID derived from a UUID."""
    return f"2.25.{uuid.int}"


def step_id(number: int) -> str:
    """Return the id of a scheduled procedure step by its number."""
    return f"S{number}"


def procedure_id(number: int) -> str:
    """Return the id of a requested procedure by its order's number."""
    return f"R{number}"


def number_of(id_: str) -> int:
    """Return the number that a step's or a procedure's id was made of."""
    return int(id_[1:])


def stated_study(request: Json) -> str:
    """Return the Study Instance UID that an order has, "" for none."""
    for one in request.get("identifier", ()):
        found = _UID.fullmatch(str(one.get("value")))
        if one.get("system") == DICOM_UID and found and len(found[1]) <= _LONGEST_UID:
            return found[1]
    return ""


def stated_accession(request: Json) -> tuple[str, str]:
    """Return the accession number that an order has, and its system; "" for none.

    One that is longer than an element may be does not count.
    """
    for one in request.get("identifier", ()):
        if is_typed(one, "ACSN") and (number := values.number("SH", one.get("value"))):
            return number[0], str(one.get("system") or "")
    return "", ""


def identifiers(request: Json, numbers: Numbers) -> list[Json]:
    """Return the identifiers that an order lacks of its numbers."""
    made: list[Json] = []
    present = {(one.get("system"), one.get("value")) for one in request.get("identifier", ())}
    if stated_study(request) != numbers.study_instance_uid:
        made.append({"system": DICOM_UID, "value": f"urn:oid:{numbers.study_instance_uid}"})
    if stated_accession(request)[0] != numbers.accession_number:
        type_ = {"coding": [{"system": V2_0203, "code": "ACSN", "display": "Accession ID"}]}
        system = {"system": numbers.accession_issuer} if numbers.accession_issuer else {}
        made.append({"type": type_, **system, "value": numbers.accession_number})
    made.append({"system": REQUESTED_PROCEDURE, "value": numbers.requested_procedure_id})
    return [one for one in made if (one.get("system"), one["value"]) not in present]
