"""One series of an ImagingStudy, with its instances.

https://hl7.org/fhir/R4/imagingstudy-definitions.html#ImagingStudy.series
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.dicom.dataset import datetimes
from adapters.dicom.dataset.attributes import Attributes, clean, items, text, unsigned
from adapters.dicom.dataset.codes import DCM, SCT, coding
from adapters.dicom.studies import devices
from adapters.dicom.studies.body_parts import body_site
from adapters.dicom.studies.found import PEOPLE, Found, Json, Rules, people

DICOM_UID = "urn:dicom:uid"

_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_URI = "urn:ietf:rfc:3986"
_LATERALITY = {
    "cid244": {  # PS3.16, CID 244
        "L": ("7771000", "Left"),
        "R": ("24028007", "Right"),
        "B": ("51440002", "Bilateral"),
        "U": ("66459002", "Unilateral"),
    },
    "r4": {  # The example value set, bodysite-laterality.
        "L": ("419161000", "Unilateral left"),
        "R": ("419465000", "Unilateral right"),
        "B": ("51440002", "Bilateral"),
        "U": ("66459002", "Unilateral"),
    },
}


_ONE_SIDE = frozenset("LR")
_QUALIFIED = {
    "PatientID": ("IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence"),
    "AccessionNumber": ("IssuerOfAccessionNumberSequence",),
    "AdmissionID": ("IssuerOfAdmissionIDSequence",),
    "StudyDate": ("StudyTime", "TimezoneOffsetFromUTC"),
    "SeriesDate": ("SeriesTime",),
    **{name: (identification,) for name, identification in PEOPLE},
}


@dataclass(frozen=True, slots=True)
class Instance:
    """An index row as far as the projection needs it."""

    sop_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    attributes: Attributes


def merged(several: Sequence[Attributes]) -> dict[str, Any]:
    """Return for each keyword the values of the first instance that has any.

    What qualifies a value is not taken from an instance that has another value: the code of
    one person would be put to the name of another.
    """
    made: dict[str, Any] = {}
    for one in several:
        foreign = {
            qualifier
            for keyword, qualifiers in _QUALIFIED.items()
            if keyword in one and made.get(keyword, one[keyword]) != one[keyword]
            for qualifier in qualifiers
        }
        for keyword, values in one.items():
            if keyword not in foreign:
                made.setdefault(keyword, values)
    return made


def series(
    uid: str, instances: Sequence[Instance], found: Found, rules: Rules, *, listed: bool
) -> Json:
    """Return the series of these instances, at least one; `listed`: with all of them."""
    said = merged([one.attributes for one in instances])
    made: Json = {
        "uid": uid,
        "number": unsigned(said, "SeriesNumber"),
        "modality": _modality(text(said, "Modality")),
        "description": text(said, "SeriesDescription"),
        "numberOfInstances": len(instances),
        "endpoint": [{"reference": found.endpoint}] if found.endpoint else [],
        "bodySite": _body_site(said, rules),
        "laterality": _laterality(instances, rules),
        "specimen": _specimens(said),
        "started": started(said, "SeriesDate", "SeriesTime", rules) or _acquired(instances, rules),
        "performer": _performers(said, found, rules),
    }
    if listed:
        made["instance"] = [_instance(one) for one in sorted(instances, key=_place)]
    return filled(made)


def started(attributes: Attributes, date: str, time: str, rules: Rules) -> str | None:
    """Return date and time with the offset that was sent, else in the agreed zone."""
    zone = datetimes.offset(text(attributes, "TimezoneOffsetFromUTC")) or rules.zone
    return datetimes.date_time(text(attributes, date), text(attributes, time), zone)


def number(of: Sequence[Instance], keyword: str) -> float:
    """Return the first number that these instances have, infinity without any."""
    numbers = (unsigned(one.attributes, keyword) for one in of)
    return next((one for one in numbers if one is not None), float("inf"))


def filled(made: Mapping[str, Any]) -> Json:
    """Drop what is empty; FHIR knows no empty values."""
    return {name: value for name, value in made.items() if value not in (None, "", [], {})}


def _acquired(instances: Sequence[Instance], rules: Rules) -> str | None:
    """Return when the earliest instance was acquired; multi-frame images say it as one DT."""
    dated = [_acquisition(one.attributes, rules) for one in instances]
    return min(filter(None, dated), default=None)


def _acquisition(said: Attributes, rules: Rules) -> str | None:
    if datetimes.day(text(said, "AcquisitionDate")):
        return started(said, "AcquisitionDate", "AcquisitionTime", rules)
    zone = datetimes.offset(text(said, "TimezoneOffsetFromUTC")) or rules.zone
    return datetimes.moment(text(said, "AcquisitionDateTime"), zone)


def _modality(code: str) -> Json:
    plain = "".join(code.split())
    if not plain:
        return {"extension": [{"url": _ABSENT, "valueCode": "unknown"}]}
    return {"system": DCM, "code": plain}


def _body_site(said: Attributes, rules: Rules) -> Json | None:
    regions = items(said, "AnatomicRegionSequence")
    coded = [one for item in regions if (one := coding(item, rules.schemes))]
    for one in coded:
        if one["system"] == SCT:
            return one
    if term := text(said, "BodyPartExamined"):
        return body_site(term)
    named = [{"display": name} for item in regions if (name := text(item, "CodeMeaning"))]
    return next(iter([*coded, *named]), None)


def _laterality(instances: Sequence[Instance], rules: Rules) -> Json | None:
    """Return the side; of images of both sides, such as of mammography, that it is both."""
    sides = {one for each in instances if (one := _side(each.attributes))}
    both = len(sides) > 1 and sides <= {"L", "R", "B"}
    side = "B" if both else next(iter(sides)) if len(sides) == 1 else ""
    codes = _LATERALITY[rules.laterality]
    if side not in codes:
        return None
    code, shown = codes[side]
    return {"system": SCT, "code": code, "display": shown}


def _side(said: Attributes) -> str:
    """Return the side of an image, "?" where series and image name two."""
    of_series, of_image = text(said, "Laterality"), text(said, "ImageLaterality")
    if of_series in _ONE_SIDE and of_image in _ONE_SIDE and of_series != of_image:
        return "?"
    return of_series or of_image


def _specimens(said: Attributes) -> list[Json]:
    """Return logical references to specimens, else to their container."""
    made = []
    for item in items(said, "SpecimenDescriptionSequence"):
        if uid := text(item, "SpecimenUID"):
            known: Json = {"system": DICOM_UID, "value": f"urn:oid:{uid}"}
        elif value := text(item, "SpecimenIdentifier"):
            known = {"value": value}
        else:
            continue
        made.append({"type": "Specimen", "identifier": known})
    container = text(said, "ContainerIdentifier")
    if not made and container:
        made.append({"type": "Specimen", "identifier": {"value": container}})
    return made


def _performers(said: Attributes, found: Found, rules: Rules) -> list[Json]:
    physicians = people(
        said, ("PerformingPhysicianName", "PerformingPhysicianIdentificationSequence"), found, rules
    )
    operators = people(said, ("OperatorsName", "OperatorIdentificationSequence"), found, rules)
    acting = [("PRF", one) for one in physicians]
    acting += [("SPRF" if physicians else "PRF", one) for one in operators]
    made_by = found.devices.get(devices.key(said))
    acting += [("DEV", {"reference": made_by})] if made_by else []
    return [
        {"function": {"coding": [{"system": _PARTICIPATION, "code": code}]}, "actor": actor}
        for code, actor in acting
    ]


def _place(one: Instance) -> tuple[float, str]:
    return number([one], "InstanceNumber"), one.sop_instance_uid


def _instance(one: Instance) -> Json:
    return filled(
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
