"""The Procedure that a performed procedure step is in FHIR.

https://hl7.org/fhir/R4/procedure.html
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Final

from adapters.dicom.dataset import datetimes
from adapters.dicom.dataset.attributes import Attributes, items, text, texts
from adapters.dicom.dataset.codes import DCM, SCT, concept
from adapters.dicom.dataset.names import display
from adapters.dicom.dataset.performed import COMPLETED, DISCONTINUED
from adapters.dicom.mpps.content import distinct, scheduled

Json = dict[str, Any]

DICOM_UID: Final = "urn:dicom:uid"
AE_TITLE: Final = "DICOM AE title"
"""The type, in words, of an identifier that is an AE title."""

IMAGING: Final = "363679005"
"""The category of its Procedures (SNOMED CT)."""

_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_IMAGING = {"system": SCT, "code": IMAGING, "display": "Imaging"}
_REASON = "PerformedProcedureStepDiscontinuationReasonCodeSequence"
_PERFORMERS = (
    ("PerformingPhysicianName", "PRF", "performer"),
    ("OperatorsName", "SPRF", "secondary performer"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of who and what the step names: references, and the zone of its times.

    `requests` are the ServiceRequests that it performs, `device` its station, `location`
    where it is.
    """

    subject: Json
    zone: tzinfo
    requests: tuple[str, ...] = ()
    encounter: str = ""
    device: Json | None = None
    location: Json | None = None


def identifier(sop_instance_uid: str) -> Json:
    """Return the identifier under which the Procedure of a step is found."""
    return {"system": DICOM_UID, "value": f"urn:oid:{sop_instance_uid}"}


def status(state: str, attributes: Attributes, *, withdrawn: bool) -> str:
    """Return the status of the Procedure: one that was broken off before any series is not done."""
    if withdrawn:
        return "entered-in-error"
    if state == COMPLETED:
        return "completed"
    if state != DISCONTINUED:
        return "in-progress"
    return "stopped" if items(attributes, "PerformedSeriesSequence") else "not-done"


def procedure(
    sop_instance_uid: str, state: str, attributes: Attributes, found: Found, *, withdrawn: bool
) -> Json:
    """Return the Procedure of a step."""
    made: Json = {
        "resourceType": "Procedure",
        "identifier": [identifier(sop_instance_uid)],
        "basedOn": [{"reference": one} for one in found.requests],
        "status": status(state, attributes, withdrawn=withdrawn),
        "statusReason": reason(attributes) if state == DISCONTINUED else None,
        "category": {"coding": [_IMAGING]},
        "code": _code(attributes),
        "subject": found.subject,
        "encounter": {"reference": found.encounter} if found.encounter else None,
        "performedPeriod": _period(attributes, found.zone),
        "performer": [*_persons(attributes), *_station(found.device)],
        "location": found.location,
        "reasonCode": _reasons(attributes),
        "note": [{"text": note} for note in _notes(attributes)],
        "usedReference": [found.device] if found.device else [],
    }
    return {key: value for key, value in made.items() if value}


def reason(attributes: Attributes) -> Json | None:
    """Return why the step was discontinued."""
    return next((c for one in items(attributes, _REASON) if (c := concept(one))), None)


def station(attributes: Attributes, system: str) -> Json | None:
    """Return a logical reference to the station, None where it has no AE title.

    `system` is that of identifiers that are AE titles.
    """
    title = text(attributes, "PerformedStationAETitle")
    if not title:
        return None
    return {
        "type": "Device",
        "identifier": {"type": {"text": AE_TITLE}, "system": system, "value": title},
        "display": text(attributes, "PerformedStationName") or title,
    }


def is_station(device: Mapping[str, Any], title: Mapping[str, Any]) -> bool:
    """Return whether a Device has an AE title: by its system, or by the type that it says."""
    return any(
        one.get("value") == title["value"]
        and (
            one.get("system") == title["system"]
            or str(one.get("type", {}).get("text", "")).casefold() == AE_TITLE.casefold()
        )
        for one in device.get("identifier", ())
    )


def zone_of(attributes: Attributes, fallback: tzinfo) -> tzinfo:
    """Return the zone of the step's times: the offset that was sent, else what is agreed."""
    return datetimes.offset(text(attributes, "TimezoneOffsetFromUTC")) or fallback


def _code(attributes: Attributes) -> Json | None:
    """Return what was done: procedure, protocol, what was requested, or a description."""
    steps = scheduled(attributes)
    coded = (
        *items(attributes, "ProcedureCodeSequence"),
        *items(attributes, "PerformedProtocolCodeSequence"),
        *(one for step in steps for one in items(step, "RequestedProcedureCodeSequence")),
    )
    said = text(attributes, "PerformedProcedureStepDescription") or next(
        iter(distinct(steps, "RequestedProcedureDescription")), ""
    )
    made: Json = dict(next((c for one in coded if (c := concept(one))), {}))
    if said:
        made["text"] = said
    if not made and (modality := text(attributes, "Modality")):
        made["coding"] = [{"system": DCM, "code": modality}]
    return made or None


def _period(attributes: Attributes, zone: tzinfo) -> Json:
    zone = zone_of(attributes, zone)
    made = {
        name: datetimes.date_time(
            text(attributes, f"PerformedProcedureStep{word}Date"),
            text(attributes, f"PerformedProcedureStep{word}Time"),
            zone,
        )
        for name, word in (("start", "Start"), ("end", "End"))
    }
    return {name: value for name, value in made.items() if value}


def _persons(attributes: Attributes) -> Iterator[Json]:
    """Yield those who did it, each once for what they did; the step names them by series."""
    sources = (*items(attributes, "PerformedSeriesSequence"), attributes)
    for keyword, code, shown in _PERFORMERS:
        names = dict.fromkeys(name for one in sources for name in texts(one, keyword))
        for name in names:
            if read := display(name):
                yield {"function": _function(code, shown), "actor": {"display": read}}


def _station(device: Json | None) -> Iterator[Json]:
    if device:
        yield {"function": _function("DEV", "device"), "actor": device}


def _function(code: str, shown: str) -> Json:
    return {"coding": [{"system": _PARTICIPATION, "code": code, "display": shown}]}


def _reasons(attributes: Attributes) -> list[Json]:
    keyword = "ReasonForRequestedProcedureCodeSequence"
    coded = [c for one in _of_steps(attributes, keyword) if (c := concept(one))]
    words = distinct(scheduled(attributes), "ReasonForTheRequestedProcedure")
    return coded or [{"text": one} for one in words]


def _of_steps(attributes: Attributes, keyword: str) -> Iterator[Attributes]:
    for step in scheduled(attributes):
        yield from items(step, keyword)


def _notes(attributes: Attributes) -> Sequence[str]:
    return texts(attributes, "CommentsOnThePerformedProcedureStep")


def study_attributes(attributes: Attributes) -> Json:
    """Return what a step says of its study, as an index row holds it.

    It counts for the ImagingStudy where no instance says otherwise.
    """
    named: Json = {name: attributes[name] for name in _OF_STUDY if attributes.get(name)}
    steps = scheduled(attributes)
    for keyword in ("AccessionNumber", "IssuerOfAccessionNumberSequence"):
        if value := _first(steps, keyword):
            named[keyword] = value
    if day := attributes.get("PerformedProcedureStepStartDate"):
        named["StudyDate"] = day
        named["StudyTime"] = attributes.get("PerformedProcedureStepStartTime") or [""]
    if description := text(attributes, "PerformedProcedureStepDescription"):
        named["StudyDescription"] = [description]
    return named


def _first(several: Iterable[Mapping[str, Any]], keyword: str) -> Any | None:  # noqa: ANN401
    return next((one[keyword] for one in several if one.get(keyword)), None)


_OF_STUDY: Final = (
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "Modality",
    "TimezoneOffsetFromUTC",
    "ProcedureCodeSequence",
    "PerformedLocation",
)
