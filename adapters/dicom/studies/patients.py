"""The patient of a study: who it is, and what a Patient made from images says.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.7.1.1
https://hl7.org/fhir/R4/patient.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from fnmatch import fnmatchcase
from typing import Any

from adapters.dicom.dataset import datetimes
from adapters.dicom.dataset.attributes import Attributes, items, text, texts
from adapters.dicom.dataset.names import display, families, folded, human_names, person_name

_V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
GENDERS = {"M": "male", "F": "female", "O": "other"}
"""Administrative genders by (0010,0040) Patient's Sex."""

_OID = re.compile(r"[0-2](\.(0|[1-9]\d*))+", re.ASCII)
_BIRTH_TIME = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"
_CONTRADICTIONS = 2
_FULL_DATE = 8


@dataclass(frozen=True, slots=True)
class Issuers:
    """What is agreed about Patient IDs.

    `systems` maps an issuer to an identifier system, `default` is that of an id
    without issuer ("" for none), `anonymous` are patterns of ids that name nobody.
    """

    systems: Mapping[str, str]
    default: str
    anonymous: tuple[str, ...]


def identifier(attributes: Attributes, issuers: Issuers) -> dict[str, Any] | None:
    """Return the Identifier of the Patient ID, None when it names nobody.

    It has no system when the issuer is not known: such an id matches nobody either.
    """
    value = text(attributes, "PatientID")
    if not value or any(fnmatchcase(value.upper(), pattern) for pattern in issuers.anonymous):
        return None
    qualifier = next(iter(items(attributes, "IssuerOfPatientIDQualifiersSequence")), {})
    namespace = text(qualifier, "LocalNamespaceEntityID")
    issuer = text(attributes, "IssuerOfPatientID") or namespace
    system = _system(issuer, qualifier, issuers)
    made: dict[str, Any] = {"type": {"coding": [{"system": _V2_0203, "code": "MR"}]}}
    if system:
        made["system"] = system
    made["value"] = value
    if issuer and not system:
        made["assigner"] = {"display": issuer}
    return made


def other_identifiers(attributes: Attributes, issuers: Issuers) -> list[dict[str, Any]]:
    """Return the Identifiers of (0010,1002) whose issuer is known; each says its own."""
    found: list[dict[str, Any]] = []
    for item in items(attributes, "OtherPatientIDsSequence"):
        other = identifier(item, Issuers(issuers.systems, "", issuers.anonymous))
        if other and "system" in other and other not in found:
            found.append(other)
    return found


def is_person(attributes: Attributes) -> bool:
    """Return whether the subject is a human being: no phantom, no animal."""
    return not is_phantom(attributes) and not text(attributes, "PatientSpeciesDescription")


def is_phantom(attributes: Attributes) -> bool:
    """Return whether the subject is there to control the quality of images."""
    return text(attributes, "QualityControlSubject") == "YES"


def phantom(attributes: Attributes) -> dict[str, Any]:
    """Return the logical reference to a phantom, a Device that nobody has stored."""
    reference: dict[str, Any] = {"type": "Device"}
    if value := text(attributes, "PatientID"):
        reference["identifier"] = {"value": value}
    return {**reference, "display": display(text(attributes, "PatientName")) or "Phantom"}


def patient(
    attributes: Attributes, found: Mapping[str, Any], issuers: Issuers, zone: tzinfo = UTC
) -> dict[str, Any]:
    """Return a Patient with the identifier `found`, and others whose issuer is known.

    A time of birth is in `zone`: (0008,0201) does not apply to it.
    """
    identifiers = [dict(found)]
    identifiers += [o for o in other_identifiers(attributes, issuers) if o not in identifiers]
    # The retired (0010,1000) has no issuers: what it says leads to nobody.
    identifiers += [{"value": value} for value in texts(attributes, "OtherPatientIDs")]
    made: dict[str, Any] = {"resourceType": "Patient", "identifier": identifiers}
    said = texts(attributes, "PatientName")[:1] + texts(attributes, "OtherPatientNames")
    if names := [name for value in said for name in human_names(value)]:
        made["name"] = names
    if gender := GENDERS.get(text(attributes, "PatientSex")):
        made["gender"] = gender
    if born := datetimes.day(text(attributes, "PatientBirthDate")):
        made["birthDate"] = born.isoformat()
        at = datetimes.date_time(
            text(attributes, "PatientBirthDate"), text(attributes, "PatientBirthTime"), zone
        )
        if at and "T" in at:
            made["_birthDate"] = {"extension": [{"url": _BIRTH_TIME, "valueDateTime": at}]}
    return made


def as_attributes(known: Mapping[str, Any], issuers: Issuers) -> dict[str, list[str]]:
    """Return what a Patient says, as DICOM attributes: id, issuer, name, birth date and sex.

    The id is the one whose issuer is agreed, a medical record number before others; what
    the Patient leaves open is empty. Without an id that DICOM can hold there is nothing.
    """
    held_by = {system: issuer for issuer, system in issuers.systems.items()}
    ranked = sorted(
        (one for one in known.get("identifier", ()) if one.get("value")),
        key=lambda one: (
            one.get("use") == "old",
            one.get("system") not in {issuers.default, *held_by},
            not _is_record_number(one),
        ),
    )
    if not ranked:
        return {}
    first = ranked[0]
    names = sorted(known.get("name", ()), key=lambda one: one.get("use") == "old")
    sexes = {gender: sex for sex, gender in GENDERS.items()}
    born = str(known.get("birthDate", "")).replace("-", "")
    found = {
        "PatientID": str(first["value"]),
        "IssuerOfPatientID": held_by.get(first.get("system", ""), ""),
        "PatientName": person_name(names[0]) if names else "",
        "PatientBirthDate": born if len(born) == _FULL_DATE else "",
        "PatientSex": sexes.get(known.get("gender", ""), ""),
    }
    return {name: [value] if value else [] for name, value in found.items()}


def _is_record_number(one: Mapping[str, Any]) -> bool:
    return any(coding.get("code") == "MR" for coding in one.get("type", {}).get("coding", ()))


def contradicts(attributes: Attributes, known: Mapping[str, Any]) -> bool:
    """Return whether two or more of birth date, sex and family name differ from a Patient's.

    What either side leaves open does not differ.
    """
    born = datetimes.day(text(attributes, "PatientBirthDate"))
    gender = GENDERS.get(text(attributes, "PatientSex"))
    sent = families(text(attributes, "PatientName"))
    stored = {folded(name.get("family", "")) for name in known.get("name", ())} - {""}
    birth_date = known.get("birthDate", "")
    differences = (
        bool(born and birth_date) and not born_on(born.isoformat() if born else "", birth_date),
        bool(gender and known.get("gender")) and gender != known.get("gender"),
        bool(sent and stored) and not sent & stored,
    )
    return sum(differences) >= _CONTRADICTIONS


def born_on(full: str, partial: str) -> bool:
    """Return whether a full date is the one, or in the year or month, of a FHIR date."""
    return full == partial or full.startswith(f"{partial}-")


def held(attributes: Attributes, found: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the logical reference of a study that is not linked to a Patient."""
    reference: dict[str, Any] = {"type": "Patient"}
    if found:
        reference["identifier"] = dict(found)
    if name := display(text(attributes, "PatientName")):
        reference["display"] = name
    if len(reference) == 1:
        reference["extension"] = [{"url": _ABSENT, "valueCode": "unknown"}]
    return reference


def _system(issuer: str, qualifier: Attributes, issuers: Issuers) -> str:
    universal = text(qualifier, "UniversalEntityID")
    for name in (issuer, universal):
        if name in issuers.systems:
            return issuers.systems[name]
    if universal:
        return universal_system(universal, text(qualifier, "UniversalEntityIDType"))
    return "" if issuer else issuers.default


def universal_system(universal: str, kind: str) -> str:
    """Return the URI of a universal entity id, "" when its type has none."""
    if kind == "ISO" and _OID.fullmatch(universal):
        return f"urn:oid:{universal}"
    if kind == "UUID":
        return f"urn:uuid:{universal.lower()}"
    return universal if kind == "URI" else ""
