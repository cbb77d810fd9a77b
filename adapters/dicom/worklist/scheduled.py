"""The scheduled steps of an order: which there are, and the item that each is.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#table_K.6-1
https://hl7.org/fhir/R4/appointment.html
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

from adapters.dicom.dataset.codes import DCM
from adapters.dicom.worklist import values
from adapters.dicom.worklist.catalogue import Procedure
from adapters.dicom.worklist.coded import item
from adapters.dicom.worklist.order import Json, Order, literal_of, words
from adapters.dicom.worklist.requested import identification, physician

SCHEDULED: Final = "SCHEDULED"
ARRIVED: Final = "ARRIVED"
LEFT: Final = ""

_INTENTS = frozenset(("order", "original-order", "reflex-order", "filler-order", "instance-order"))
_STATES = {"booked": SCHEDULED, "arrived": ARRIVED, "checked-in": ARRIVED}
# What never took place, or is only proposed, says nothing of the occurrence.
_NOT_YET = frozenset(("proposed", "pending", "waitlist", "entered-in-error"))
_MEDICATION = ("Medication", "Substance")
_AE_TYPE = "dicom ae title"


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A step: the id of its Appointment ("" for the occurrence), state and times.

    `state` "": it left the list. `until` is when one without Appointment is no longer shown.
    """

    appointment: str
    state: str
    start: datetime
    end: datetime | None = None
    until: datetime | None = None


def is_imaging(request: Json, procedure: Procedure | None, categories: Collection[str]) -> bool:
    """Return whether an order is for imaging: by its category, or as the catalogue has it.

    `categories` are those of imaging, as `system|code`.
    """
    if procedure is not None:
        return True
    concepts = request.get("category", ())
    codings = [one for concept in concepts for one in concept.get("coding", ())]
    return any(f"{one.get('system', '')}|{one.get('code', '')}" in categories for one in codings)


def is_open(request: Json) -> bool:
    """Return whether an order is to be carried out."""
    return request.get("status") == "active" and request.get("intent") in _INTENTS


def steps(order: Order, zone: tzinfo, shown: timedelta) -> list[Scheduled]:
    """Return the steps of an open order; those that left have the state "".

    Without Appointment the occurrence makes one step, which is `shown` for a while.
    `zone` is that of times without one.
    """
    made = [found for one in order.appointments if (found := _booked(one, zone))]
    if made:
        return made
    period = order.request.get("occurrencePeriod", {})
    start = moment(order.request.get("occurrenceDateTime") or period.get("start"), zone)
    if start is None:
        return []
    end = moment(period.get("end"), zone)
    return [Scheduled("", SCHEDULED, start, end, max(start, end or start) + shown)]


def _booked(appointment: Json, zone: tzinfo) -> Scheduled | None:
    status = str(appointment.get("status"))
    start = moment(appointment.get("start"), zone)
    if status in _NOT_YET or start is None:
        return None
    end = moment(appointment.get("end"), zone)
    return Scheduled(str(appointment["id"]), _STATES.get(status, LEFT), start, end)


def moment(value: object, zone: tzinfo) -> datetime | None:
    """Return a FHIR dateTime or instant; what it leaves open is the beginning of the day."""
    told = str(value or "")
    if len(told) < len("YYYY-MM-DD"):
        return None
    try:
        found = datetime.fromisoformat(told)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=zone)


def stations(
    order: Order, step: Scheduled, procedure: Procedure | None, ae_system: str
) -> list[str]:
    """Return the AE titles of a step: of its devices, else those of the procedure's group."""
    found = [
        title
        for device in _devices(order, step)
        for one in device.get("identifier", ())
        if _is_ae(one, ae_system)
        for title in values.number("AE", one.get("value"))
    ]
    return list(dict.fromkeys(found or (procedure.stations if procedure else ())))


def _is_ae(identifier: Json, system: str) -> bool:
    kind = str(identifier.get("type", {}).get("text", "")).casefold()
    return identifier.get("system") == system or kind == _AE_TYPE


def _appointment(order: Order, step: Scheduled) -> Json:
    return next((one for one in order.appointments if one["id"] == step.appointment), {})


def _actors(order: Order, step: Scheduled) -> Iterator[tuple[Json, Json]]:
    """Yield the references to who takes part in a step, and what each leads to."""
    told = [one.get("actor") or {} for one in _appointment(order, step).get("participant", ())]
    for reference in [*told, *order.request.get("performer", ())]:
        yield reference, order.get(reference) or {}


def _of(order: Order, step: Scheduled, kind: str) -> list[Json]:
    return [one for _, one in _actors(order, step) if one.get("resourceType") == kind]


def _devices(order: Order, step: Scheduled) -> list[Json]:
    return _of(order, step, "Device")


def modality(order: Order, procedure: Procedure | None) -> str:
    """Return the modality of an order, "" where nothing says it."""
    if procedure:
        return procedure.modality
    details = order.request.get("orderDetail", ())
    codings = [one for detail in details for one in detail.get("coding", ())]
    found = [
        value
        for one in codings
        if one.get("system") == DCM
        for value in values.code(one.get("code"))
    ]
    return next(iter(found), "")


def scheduled_item(
    order: Order,
    step: Scheduled,
    step_id: str,
    procedure: Procedure | None,
    titles: Sequence[str],
    zone: tzinfo,
) -> dict[str, list[Any]]:
    """Return the item of the Scheduled Procedure Step Sequence, without its status.

    `zone` is the station's.
    """
    request, appointment = order.request, _appointment(order, step)
    start, end = step.start.astimezone(zone), _end(step, procedure)
    made: dict[str, list[Any]] = {
        "ScheduledStationAETitle": list(titles),
        "ScheduledProcedureStepStartDate": [f"{start:%Y%m%d}"],
        "ScheduledProcedureStepStartTime": [f"{start:%H%M%S}"],
        "ScheduledProcedureStepEndDate": [f"{end.astimezone(zone):%Y%m%d}"] if end else [],
        "ScheduledProcedureStepEndTime": [f"{end.astimezone(zone):%H%M%S}"] if end else [],
        "Modality": [found] if (found := modality(order, procedure)) else [],
        **_performer(order, step),
        "ScheduledProcedureStepDescription": _description(request, procedure),
        "ScheduledProtocolCodeSequence": _protocols(procedure),
        "ScheduledProcedureStepID": [step_id],
        "ScheduledStationName": _station_name(order, step),
        "ScheduledProcedureStepLocation": _location(order, step),
        "PreMedication": values.text("LO", request.get("patientInstruction")),
        "RequestedContrastAgent": values.text("LO", ", ".join(_contrast(order))),
        "CommentsOnTheScheduledProcedureStep": values.text("LT", appointment.get("comment")),
    }
    return {keyword: found for keyword, found in made.items() if found}


def _end(step: Scheduled, procedure: Procedure | None) -> datetime | None:
    if step.end is None and procedure and procedure.minutes:
        return step.start.astimezone(UTC) + timedelta(minutes=procedure.minutes)
    return step.end


def _description(request: Json, procedure: Procedure | None) -> list[str]:
    own = procedure.description if procedure else ""
    return values.text("LO", own or words(request.get("code")))


def _protocols(procedure: Procedure | None) -> list[dict[str, list[Any]]]:
    return [made for one in (procedure.protocols if procedure else ()) if (made := item(one))]


def _performer(order: Order, step: Scheduled) -> dict[str, list[Any]]:
    """Return the practitioner of the appointment, or whom the order wants."""
    for reference, found in _actors(order, step):
        person = found
        if found.get("resourceType") == "PractitionerRole":
            person = order.get(found.get("practitioner")) or {}
        if person.get("resourceType") == "Practitioner":
            return {
                "ScheduledPerformingPhysicianName": physician(person),
                "ScheduledPerformingPhysicianIdentificationSequence": identification(person),
            }
        if literal_of(reference).startswith("Practitioner/") and reference.get("display"):
            named = physician({"name": [{"text": reference["display"]}]})
            return {"ScheduledPerformingPhysicianName": named}
    return {}


def _station_name(order: Order, step: Scheduled) -> list[str]:
    for device in _devices(order, step):
        names = (one.get("name") for one in device.get("deviceName", ()))
        if found := values.text("SH", next(names, None)):
            return found
    return []


def _location(order: Order, step: Scheduled) -> list[str]:
    asked = list(order.all(order.request.get("locationReference")))
    names = (one.get("name") for one in [*_of(order, step, "Location"), *asked])
    return values.text("SH", next((one for one in names if one), None))


def _contrast(order: Order) -> Iterator[str]:
    """Yield the substances and medications of the supporting information."""
    for reference in order.request.get("supportingInfo", ()):
        found = order.get(reference) or {}
        kind = found.get("resourceType") or reference.get("type") or literal_of(reference)
        if str(kind).startswith(_MEDICATION):
            code = found.get("medicationCodeableConcept") or found.get("code")
            if told := words(code) or str(reference.get("display") or ""):
                yield told
