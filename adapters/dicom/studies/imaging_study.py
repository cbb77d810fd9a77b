"""One ImagingStudy as a projection of a study's index rows.

https://hl7.org/fhir/R4/imagingstudy.html
"""

from collections.abc import Iterable, Mapping, Sequence

from adapters.dicom.dataset.attributes import Attributes, items, text
from adapters.dicom.dataset.codes import DCM, concept
from adapters.dicom.studies.found import Found, Json, Rules, first, people
from adapters.dicom.studies.patients import universal_system
from adapters.dicom.studies.series import DICOM_UID, Instance, filled, number, series, started

V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"

# What is not acquired from a patient is no modality of the study (PS3.16, CID 29).
_NOT_ACQUIRED = frozenset(
    (
        *("ANN", "ASMT", "CTPROTOCOL", "DOC", "FID", "IOL", "KO", "M3D", "PLAN", "POS", "PR"),
        *("REG", "RTDOSE", "RTINTENT", "RTPLAN", "RTRAD", "RTRECORD", "RTSEGANN", "RTSTRUCT"),
        *("RWV", "SEG", "SMR", "SR", "STAIN", "TEXTUREMAP", "XAPROTOCOL"),
    )
)
_REFERRER = ("ReferringPhysicianName", "ReferringPhysicianIdentificationSequence")
_READERS = ("NameOfPhysiciansReadingStudy", "PhysiciansReadingStudyIdentificationSequence")


def study_identifier(study_instance_uid: str) -> Json:
    """Return the identifier under which an ImagingStudy is found."""
    return {"system": DICOM_UID, "value": f"urn:oid:{study_instance_uid}"}


def imaging_study(
    study_instance_uid: str,
    said: Attributes,
    instances: Sequence[Instance],
    found: Found,
    rules: Rules,
    *,
    status: str = "available",
) -> Json:
    """Return the ImagingStudy of these instances, those that are shown.

    `said` is what the study says of itself and its patient, corrections included.
    """
    listed = len(instances) <= rules.max_shown
    shown = [series(uid, of, found, rules, listed=listed) for uid, of in by_series(instances)]
    codes = _procedure_codes(said, rules)
    made: Json = {
        "resourceType": "ImagingStudy",
        "identifier": _identifiers(study_instance_uid, said, rules),
        "status": status,
        "modality": _modalities(shown, said),
        "subject": found.subject,
        "encounter": {"reference": found.encounter} if found.encounter else None,
        "started": started(said, "StudyDate", "StudyTime", rules),
        "basedOn": _based_on(said, instances, found),
        "referrer": first(people(said, _REFERRER, found, rules)),
        "interpreter": people(said, _READERS, found, rules),
        "endpoint": [{"reference": one} for one in (found.endpoint, found.viewer) if one],
        "numberOfSeries": len(shown),
        "numberOfInstances": len(instances),
        "procedureReference": _procedure(found),
        "procedureCode": codes,
        "location": _location(said, found),
        "reasonCode": _reasons(said, rules),
        "reasonReference": _distinct(
            [one for order in found.orders for one in order.get("reasonReference", ())]
        ),
        "note": [
            {"text": note}
            for keyword in ("StudyComments", "RequestedProcedureComments")
            if (note := text(said, keyword))
        ],
        "description": text(said, "StudyDescription") or _meaning(codes),
        "series": shown,
    }
    return filled(made)


def by_series(instances: Iterable[Instance]) -> list[tuple[str, list[Instance]]]:
    """Group by series, which come in order of number and then of UID."""
    groups: dict[str, list[Instance]] = {}
    for one in instances:
        groups.setdefault(one.series_instance_uid, []).append(one)
    return sorted(groups.items(), key=lambda group: (number(group[1], "SeriesNumber"), group[0]))


def accession(attributes: Attributes) -> Json | None:
    """Return the Identifier of an accession number, None without one."""
    value = text(attributes, "AccessionNumber")
    if not value:
        return None
    made: Json = {"type": {"coding": [{"system": V2_0203, "code": "ACSN"}]}}
    issuer = next(iter(items(attributes, "IssuerOfAccessionNumberSequence")), {})
    system = universal_system(
        text(issuer, "UniversalEntityID"), text(issuer, "UniversalEntityIDType")
    )
    if system:
        made["system"] = system
    made["value"] = value
    return made


def accessions(several: Iterable[Attributes]) -> list[Json]:
    """Return the Identifier of each accession number, also of requests, by its value."""
    found: list[Json | None] = []
    for one in several:
        found.append(accession(one))
        found += [accession(item) for item in items(one, "RequestAttributesSequence")]
    distinct = {one["value"]: one for one in reversed(found) if one}
    return [distinct[value] for value in sorted(distinct)]


def _identifiers(study_instance_uid: str, said: Attributes, rules: Rules) -> list[Json]:
    made = [study_identifier(study_instance_uid)]
    if number_ := accession(said):
        made.append(number_)
    if rules.keep_study_id and (study_id := text(said, "StudyID")):
        made.append({"value": study_id})
    return made


def _based_on(said: Attributes, instances: Sequence[Instance], found: Found) -> list[Json]:
    """Return the orders that were found, and each other accession number as it was sent."""
    known = [{"reference": f"ServiceRequest/{order['id']}"} for order in found.orders]
    resolved = {
        str(one.get("value")) for order in found.orders for one in order.get("identifier", ())
    }
    own = accession(said)
    requested = [
        item for one in instances for item in items(one.attributes, "RequestAttributesSequence")
    ]
    sent = accessions([said, *requested])
    if own:  # what the study says of its issuer goes before what a request leaves out
        sent = [own if one["value"] == own["value"] else one for one in sent]
    logical = [
        {"type": "ServiceRequest", "identifier": one}
        for one in sent
        if one["value"] not in resolved
    ]
    return sorted(known, key=lambda one: one["reference"]) + logical


def _modalities(shown: Iterable[Json], said: Attributes) -> list[Json]:
    """Return the modalities of the series; of a study without any, what was announced."""
    codes = {one["modality"].get("code") for one in shown}
    if not codes and text(said, "Modality"):
        codes = {text(said, "Modality")}
    return [{"system": DCM, "code": code} for code in sorted(codes - {None} - _NOT_ACQUIRED)]


def _procedure(found: Found) -> Json | None:
    return {"reference": found.procedures[0]} if found.procedures else None


def _procedure_codes(said: Attributes, rules: Rules) -> list[Json]:
    coded = items(said, "ProcedureCodeSequence") or [
        code
        for item in items(said, "RequestAttributesSequence")
        for code in items(item, "RequestedProcedureCodeSequence")
    ]
    return _concepts(coded, rules)


def _meaning(codes: Sequence[Json]) -> str:
    return next((str(one["text"]) for one in codes if "text" in one), "")


def _reasons(said: Attributes, rules: Rules) -> list[Json]:
    reasons = _concepts(items(said, "ReasonForRequestedProcedureCodeSequence"), rules)
    if stated := text(said, "ReasonForTheRequestedProcedure"):
        reasons.append({"text": stated})
    return reasons


def _concepts(coded: Iterable[Attributes], rules: Rules) -> list[Json]:
    return _distinct(one for item in coded if (one := concept(item, rules.schemes)))


def location_name(said: Attributes) -> str:
    """Return where the study was performed, as it is called."""
    return text(said, "PerformedLocation") or text(said, "InstitutionalDepartmentName")


def _location(said: Attributes, found: Found) -> Json | None:
    name = location_name(said)
    if not name:
        return None
    return filled({"reference": found.location, "display": name})


def _distinct(several: Iterable[Mapping[str, object]]) -> list[Json]:
    made: list[Json] = []
    for one in several:
        if one not in made:
            made.append(dict(one))
    return made
