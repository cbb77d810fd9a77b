"""One ImagingStudy as a projection of a study's index rows.

https://hl7.org/fhir/R4/imagingstudy.html
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

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
_NO_ISSUERS: Mapping[str, str] = MappingProxyType({})
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
    of_instances = [one.attributes for one in instances]
    shown = [series(uid, of, found, rules, listed=listed) for uid, of in by_series(instances)]
    requested = [item for one in (said, *of_instances) for item in _requests(one)]
    codes = _procedure_codes(said, requested, rules)
    made: Json = {
        "resourceType": "ImagingStudy",
        "identifier": _identifiers(study_instance_uid, said, rules),
        "status": status,
        "modality": _modalities(shown, said),
        "subject": found.subject,
        "encounter": {"reference": found.encounter} if found.encounter else None,
        "started": started(said, "StudyDate", "StudyTime", rules),
        "basedOn": _based_on(said, requested, found, rules),
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


def accession(attributes: Attributes, issuers: Mapping[str, str] = _NO_ISSUERS) -> Json | None:
    """Return the Identifier of an accession number, None without one.

    `issuers` maps local names of issuers to systems. The number of an issuer that is not known
    has an assigner and no system: it is not one without issuer.
    """
    value = text(attributes, "AccessionNumber")
    if not value:
        return None
    made: Json = {"type": {"coding": [{"system": V2_0203, "code": "ACSN"}]}}
    issuer = next(iter(items(attributes, "IssuerOfAccessionNumberSequence")), {})
    name, universal = text(issuer, "LocalNamespaceEntityID"), text(issuer, "UniversalEntityID")
    system = universal_system(universal, text(issuer, "UniversalEntityIDType"))
    system = system or issuers.get(name) or issuers.get(universal) or ""
    if system:
        made["system"] = system
    made["value"] = value
    if not system and (name or universal):
        made["assigner"] = {"display": name or universal}
    return made


def accessions(
    several: Iterable[Attributes], issuers: Mapping[str, str] = _NO_ISSUERS
) -> list[Json]:
    """Return the Identifier of each accession number, also of requests, by its value.

    One without issuer is left out where the same is there with one.
    """
    found: list[Json] = []
    for each in several:
        for one in (each, *items(each, "RequestAttributesSequence")):
            number_ = accession(one, issuers)
            if number_ and number_ not in found:
                found.append(number_)
    issued = {one["value"] for one in found if has_issuer(one)}
    kept = [one for one in found if has_issuer(one) or one["value"] not in issued]
    return sorted(kept, key=lambda one: (one["value"], one.get("system", "")))


def has_issuer(number_: Json) -> bool:
    """Return whether an Identifier of an accession number says whose it is."""
    return "system" in number_ or "assigner" in number_


def _identifiers(study_instance_uid: str, said: Attributes, rules: Rules) -> list[Json]:
    made = [study_identifier(study_instance_uid)]
    if number_ := accession(said, rules.issuers):
        made.append(number_)
    if rules.keep_study_id and (study_id := text(said, "StudyID")):
        made.append({"value": study_id})
    return made


def _based_on(
    said: Attributes, requested: Sequence[Attributes], found: Found, rules: Rules
) -> list[Json]:
    """Return the orders that were found, and each other accession number as it was sent."""
    known = [{"reference": f"ServiceRequest/{order['id']}"} for order in found.orders]
    of_orders = [one for order in found.orders for one in order.get("identifier", ())]
    logical = [
        {"type": "ServiceRequest", "identifier": one}
        for one in accessions([said, *requested], rules.issuers)
        if not any(_is_same(one, other) for other in of_orders)
    ]
    return sorted(known, key=lambda one: one["reference"]) + logical


def _is_same(sent: Json, known: Json) -> bool:
    """Return whether an order's identifier is the number that was sent, as far as both say."""
    if sent["value"] != known.get("value") or "assigner" in sent:
        return False
    return sent.get("system", known.get("system")) == known.get("system", sent.get("system"))


def _modalities(shown: Iterable[Json], said: Attributes) -> list[Json]:
    """Return the modalities of the series; of a study without any, what was announced."""
    codes = {one["modality"].get("code") for one in shown}
    if not codes and text(said, "Modality"):
        codes = {text(said, "Modality")}
    return [{"system": DCM, "code": code} for code in sorted(codes - {None} - _NOT_ACQUIRED)]


def _procedure(found: Found) -> Json | None:
    return {"reference": found.procedures[0]} if found.procedures else None


def _requests(said: Attributes) -> list[Attributes]:
    return items(said, "RequestAttributesSequence")


def _procedure_codes(said: Attributes, requested: Sequence[Attributes], rules: Rules) -> list[Json]:
    coded = items(said, "ProcedureCodeSequence") or [
        code for item in requested for code in items(item, "RequestedProcedureCodeSequence")
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
