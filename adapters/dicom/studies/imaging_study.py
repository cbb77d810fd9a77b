"""One ImagingStudy as a projection of a study's index rows.

https://hl7.org/fhir/R4/imagingstudy.html
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from adapters.dicom.dataset import datetimes
from adapters.dicom.dataset.attributes import Attributes, clean, items, text, texts, unsigned
from adapters.dicom.dataset.codes import DCM, SCT, coding, concept
from adapters.dicom.dataset.names import display
from adapters.dicom.studies.body_parts import body_site
from adapters.dicom.studies.patients import universal_system

Json = dict[str, Any]

DICOM_UID = "urn:dicom:uid"

_V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_URI = "urn:ietf:rfc:3986"

# What is not acquired from a patient is no modality of the study (PS3.16, CID 29).
_NOT_ACQUIRED = frozenset(
    (
        *("ANN", "ASMT", "CTPROTOCOL", "DOC", "FID", "IOL", "KO", "M3D", "PLAN", "POS", "PR"),
        *("REG", "RTDOSE", "RTINTENT", "RTPLAN", "RTRAD", "RTRECORD", "RTSEGANN", "RTSTRUCT"),
        *("RWV", "SEG", "SMR", "SR", "STAIN", "TEXTUREMAP", "XAPROTOCOL"),
    )
)
_LATERALITY = {  # PS3.16, CID 244
    "L": ("7771000", "Left"),
    "R": ("24028007", "Right"),
    "B": ("51440002", "Bilateral"),
    "U": ("66459002", "Unilateral"),
}


@dataclass(frozen=True, slots=True)
class Instance:
    """An index row as far as the projection needs it."""

    sop_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Rules:
    """How to project: the zone of times without offset, and what is shown."""

    zone: tzinfo
    keep_study_id: bool
    max_shown: int


def study_identifier(study_instance_uid: str) -> Json:
    """Return the identifier under which an ImagingStudy is found."""
    return {"system": DICOM_UID, "value": f"urn:oid:{study_instance_uid}"}


def imaging_study(
    study_instance_uid: str, instances: Sequence[Instance], subject: Json, rules: Rules
) -> Json:
    """Return the ImagingStudy of these instances, at least one, in order of arrival.

    Where attributes of study or series differ between instances, the first that
    came with a value wins.
    """
    all_attributes = [one.attributes for one in instances]
    study = _merged(all_attributes)
    listed = len(instances) <= rules.max_shown
    series = [_series(uid, of, rules, listed=listed) for uid, of in _by_series(instances)]
    made: Json = {
        "resourceType": "ImagingStudy",
        "identifier": _identifiers(study_instance_uid, study, rules),
        "status": "available",
        "modality": _modalities(series),
        "subject": subject,
        "started": _started(study, "StudyDate", "StudyTime", rules),
        "basedOn": _based_on(all_attributes, study),
        "referrer": _person(
            study, "ReferringPhysicianName", "ReferringPhysicianIdentificationSequence"
        ),
        "interpreter": [_named(name) for name in texts(study, "NameOfPhysiciansReadingStudy")],
        "numberOfSeries": len(series),
        "numberOfInstances": len(instances),
        "procedureCode": _procedure_codes(study),
        "location": _location(study),
        "reasonCode": _reasons(study),
        "note": [
            {"text": note}
            for keyword in ("StudyComments", "RequestedProcedureComments")
            if (note := text(study, keyword))
        ],
        "description": text(study, "StudyDescription"),
        "series": series,
    }
    return _filled(made)


def _merged(several: Sequence[Attributes]) -> Attributes:
    """Return for each keyword the values of the first instance that has any."""
    merged: Json = {}
    for one in several:
        for keyword, values in one.items():
            merged.setdefault(keyword, values)
    return merged


def _by_series(instances: Iterable[Instance]) -> list[tuple[str, list[Instance]]]:
    """Group by series, which come in order of number and then of UID."""
    groups: dict[str, list[Instance]] = {}
    for one in instances:
        groups.setdefault(one.series_instance_uid, []).append(one)
    return sorted(groups.items(), key=lambda group: (_number(group[1], "SeriesNumber"), group[0]))


def _number(of: Sequence[Instance], keyword: str) -> float:
    numbers = (unsigned(one.attributes, keyword) for one in of)
    return next((number for number in numbers if number is not None), float("inf"))


def _identifiers(study_instance_uid: str, study: Attributes, rules: Rules) -> list[Json]:
    made = [study_identifier(study_instance_uid)]
    if accession := _accession(study):
        made.append(accession)
    if rules.keep_study_id and (study_id := text(study, "StudyID")):
        made.append({"value": study_id})
    return made


def _accession(attributes: Attributes) -> Json | None:
    value = text(attributes, "AccessionNumber")
    if not value:
        return None
    made: Json = {"type": {"coding": [{"system": _V2_0203, "code": "ACSN"}]}}
    issuer = next(iter(items(attributes, "IssuerOfAccessionNumberSequence")), {})
    system = universal_system(
        text(issuer, "UniversalEntityID"), text(issuer, "UniversalEntityIDType")
    )
    if system:
        made["system"] = system
    made["value"] = value
    return made


def _based_on(several: Iterable[Attributes], study: Attributes) -> list[Json]:
    """Return a logical reference to the order of each accession number."""
    accessions = [_accession(study)]
    for one in several:
        accessions += [_accession(item) for item in items(one, "RequestAttributesSequence")]
    distinct = {one["value"]: one for one in reversed(accessions) if one}
    return [{"type": "ServiceRequest", "identifier": distinct[key]} for key in sorted(distinct)]


def _modalities(series: Iterable[Json]) -> list[Json]:
    codes = {one["modality"].get("code") for one in series} - {None} - _NOT_ACQUIRED
    return [{"system": DCM, "code": code} for code in sorted(codes)]


def _started(attributes: Attributes, date: str, time: str, rules: Rules) -> str | None:
    """Return date and time with the offset that was sent, else in the agreed zone."""
    zone = datetimes.offset(text(attributes, "TimezoneOffsetFromUTC")) or rules.zone
    return datetimes.date_time(text(attributes, date), text(attributes, time), zone)


def _person(attributes: Attributes, name: str, identification: str) -> Json | None:
    """Return a reference to a person: by a code that was sent, and by name."""
    made = _named(text(attributes, name))
    for item in items(attributes, identification):
        for code in items(item, "PersonIdentificationCodeSequence"):
            coded = coding(code)
            if coded and "identifier" not in made:
                made["type"] = "Practitioner"
                made["identifier"] = {"system": coded["system"], "value": coded["code"]}
    return made or None


def _named(name: str) -> Json:
    shown = display(name)
    return {"display": shown} if shown else {}


def _procedure_codes(study: Attributes) -> list[Json]:
    coded = items(study, "ProcedureCodeSequence") or [
        code
        for item in items(study, "RequestAttributesSequence")
        for code in items(item, "RequestedProcedureCodeSequence")
    ]
    return _concepts(coded)


def _reasons(study: Attributes) -> list[Json]:
    reasons = _concepts(items(study, "ReasonForRequestedProcedureCodeSequence"))
    if said := text(study, "ReasonForTheRequestedProcedure"):
        reasons.append({"text": said})
    return reasons


def _concepts(coded: Iterable[Attributes]) -> list[Json]:
    return [one for item in coded if (one := concept(item))]


def _location(study: Attributes) -> Json | None:
    name = text(study, "PerformedLocation") or text(study, "InstitutionalDepartmentName")
    return {"display": name} if name else None


def _series(uid: str, instances: list[Instance], rules: Rules, *, listed: bool) -> Json:
    series = _merged([one.attributes for one in instances])
    made: Json = {
        "uid": uid,
        "number": unsigned(series, "SeriesNumber"),
        "modality": _modality(text(series, "Modality")),
        "description": text(series, "SeriesDescription"),
        "numberOfInstances": len(instances),
        "bodySite": _body_site(series),
        "laterality": _laterality(series),
        "specimen": _specimens(series),
        "started": _started(series, "SeriesDate", "SeriesTime", rules)
        or _started(series, "AcquisitionDate", "AcquisitionTime", rules),
        "performer": _performers(series),
    }
    if listed:
        made["instance"] = [_instance(one) for one in sorted(instances, key=_place)]
    return _filled(made)


def _modality(code: str) -> Json:
    plain = "".join(code.split())
    if not plain:
        return {"extension": [{"url": _ABSENT, "valueCode": "unknown"}]}
    return {"system": DCM, "code": plain}


def _body_site(series: Attributes) -> Json | None:
    for item in items(series, "AnatomicRegionSequence"):
        coded = coding(item)
        if coded and coded["system"] == SCT:
            return coded
    term = text(series, "BodyPartExamined")
    return body_site(term) if term else None


def _laterality(series: Attributes) -> Json | None:
    side = text(series, "Laterality") or text(series, "ImageLaterality")
    if side not in _LATERALITY:
        return None
    code, shown = _LATERALITY[side]
    return {"system": SCT, "code": code, "display": shown}


def _specimens(series: Attributes) -> list[Json]:
    """Return logical references to specimens, else to their container."""
    made = []
    for item in items(series, "SpecimenDescriptionSequence"):
        if uid := text(item, "SpecimenUID"):
            found: Json = {"system": DICOM_UID, "value": f"urn:oid:{uid}"}
        elif value := text(item, "SpecimenIdentifier"):
            found = {"value": value}
        else:
            continue
        made.append({"type": "Specimen", "identifier": found})
    container = text(series, "ContainerIdentifier")
    if not made and container:
        made.append({"type": "Specimen", "identifier": {"value": container}})
    return made


def _performers(series: Attributes) -> list[Json]:
    physicians = texts(series, "PerformingPhysicianName")
    operators = texts(series, "OperatorsName")
    functions = [("PRF", name) for name in physicians]
    functions += [("SPRF" if physicians else "PRF", name) for name in operators]
    return [
        {
            "function": {"coding": [{"system": _PARTICIPATION, "code": code}]},
            "actor": _named(name),
        }
        for code, name in functions
        if _named(name)
    ]


def _place(one: Instance) -> tuple[float, str]:
    return _number([one], "InstanceNumber"), one.sop_instance_uid


def _instance(one: Instance) -> Json:
    return _filled(
        {
            "uid": one.sop_instance_uid,
            "sopClass": {"system": _URI, "code": f"urn:oid:{one.sop_class_uid}"},
            "number": unsigned(one.attributes, "InstanceNumber"),
            "title": _title(one.attributes),
        }
    )


def _title(attributes: Attributes) -> str:
    names = items(attributes, "ConceptNameCodeSequence")
    return (
        text(attributes, "ContentLabel")
        or (text(names[0], "CodeMeaning") if names else "")
        or text(attributes, "DocumentTitle")
        or clean("\\".join(str(value) for value in attributes.get("ImageType", ())))
    )


def _filled(made: Mapping[str, Any]) -> Json:
    """Drop what is empty; FHIR knows no empty values."""
    return {name: value for name, value in made.items() if value not in (None, "", [], {})}
