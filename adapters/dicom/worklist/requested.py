"""What a worklist entry says of the order: requested procedure, request, persons.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#table_K.6-1
https://hl7.org/fhir/R4/servicerequest.html
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any, Final

from adapters.dicom.worklist import values
from adapters.dicom.worklist.catalogue import Procedure
from adapters.dicom.worklist.coded import first_item, issuer, item, items
from adapters.dicom.worklist.numbers import Numbers
from adapters.dicom.worklist.order import Json, Order, typed, words
from adapters.dicom.worklist.person_names import person_name

TRANSPORT: Final = "patient-transport-arrangements"
"""End of the URL of the extension that says how a patient comes."""

_PRIORITIES = {"stat": "STAT", "asap": "HIGH", "urgent": "HIGH", "routine": "ROUTINE"}


def requested(
    order: Order,
    numbers: Numbers,
    procedure: Procedure | None,
    zone: tzinfo,
    names: Mapping[str, str],
) -> dict[str, list[Any]]:
    """Return the attributes of requested procedure and imaging service request by keyword.

    `names` are local names of identifier systems.
    """
    request = order.request
    notes = "\n".join(str(one.get("text", "")) for one in request.get("note", ()))
    made: dict[str, list[Any]] = {
        "StudyInstanceUID": [numbers.study_instance_uid],
        "AccessionNumber": [numbers.accession_number],
        "IssuerOfAccessionNumberSequence": issuer(numbers.accession_issuer, names),
        "RequestedProcedureID": [numbers.requested_procedure_id],
        **_procedure(request, procedure),
        **_reasons(order),
        "RequestedProcedurePriority": [_PRIORITIES.get(request.get("priority", ""), "ROUTINE")],
        "PatientTransportArrangements": values.text("LO", _transport(request)),
        "RequestedProcedureComments": values.text("LT", notes),
        "ImagingServiceRequestComments": values.text("LT", notes),
        **_issued(request, zone),
        **_requester(order),
        **_order_numbers(request, names),
    }
    return {keyword: found for keyword, found in made.items() if found}


def _procedure(request: Json, procedure: Procedure | None) -> dict[str, list[Any]]:
    code = request.get("code")
    if procedure and procedure.requested:
        coded = item(procedure.requested)
        described = procedure.requested.get("display") or words(code)
        return {
            "RequestedProcedureDescription": values.text("LO", described),
            "RequestedProcedureCodeSequence": [coded] if coded else [],
        }
    return {
        "RequestedProcedureDescription": values.text("LO", words(code)),
        "RequestedProcedureCodeSequence": first_item(code),
    }


def _reasons(order: Order) -> dict[str, list[Any]]:
    """Return why the procedure is requested, and why the patient is here."""
    request, encounter = order.request, order.encounter
    because = [one.get("code", {}) for one in order.all(request.get("reasonReference"))]
    why = [*request.get("reasonCode", ()), *because]
    visit = encounter.get("reasonCode", ())
    return {
        "ReasonForTheRequestedProcedure": values.text("LO", _listed(why)),
        "ReasonForRequestedProcedureCodeSequence": items(why),
        "ReasonForVisit": values.text("LO", _listed(visit)),
        "ReasonForVisitCodeSequence": items(visit),
    }


def _listed(concepts: Sequence[Json]) -> str:
    return ", ".join(dict.fromkeys(one for one in map(words, concepts) if one))


def _transport(request: Json) -> str:
    told = (one for one in request.get("extension", ()) if one.get("url", "").endswith(TRANSPORT))
    found: Json = next(told, {})
    return str(found.get("valueString") or words(found.get("valueCodeableConcept")))


def _issued(request: Json, zone: tzinfo) -> dict[str, list[Any]]:
    told = str(request.get("authoredOn", ""))
    if "T" not in told:
        full = told.replace("-", "")
        return {"IssueDateOfImagingServiceRequest": [full] if len(full) == len("YYYYMMDD") else []}
    at = datetime.fromisoformat(told).astimezone(zone)
    return {
        "IssueDateOfImagingServiceRequest": [f"{at:%Y%m%d}"],
        "IssueTimeOfImagingServiceRequest": [f"{at:%H%M%S}"],
    }


def _requester(order: Order) -> dict[str, list[Any]]:
    """Return who asks: the practitioner, and the organization for which he does."""
    reference = order.request.get("requester") or {}
    found = order.get(reference) or {}
    role = found if found.get("resourceType") == "PractitionerRole" else {}
    person = found
    service = ""
    if role:
        person = order.get(role.get("practitioner")) or {}
        service = _name(order, role.get("organization"))
    elif found.get("resourceType") == "Organization":
        return {"RequestingService": values.text("LO", _name(order, reference))}
    name = physician(person) or physician({"name": [{"text": _display(reference, role)}]})
    identified = identification(person)
    return {
        "RequestingPhysician": name,
        "RequestingPhysicianIdentificationSequence": identified,
        "ReferringPhysicianName": name,
        "ReferringPhysicianIdentificationSequence": identified,
        "RequestingService": values.text("LO", service),
    }


def _display(reference: Json, role: Json) -> str:
    return str((role.get("practitioner") or {}).get("display") or reference.get("display") or "")


def _name(order: Order, reference: Json | None) -> str:
    found = order.get(reference) or {}
    return str(found.get("name") or (reference or {}).get("display") or "")


def physician(person: Json) -> list[str]:
    """Return the name of a practitioner as the value of an element."""
    name, _ = person_name(person.get("name"))
    return [name] if name else []


def identification(person: Json) -> list[dict[str, list[Any]]]:
    """Return the identification of a practitioner (PS3.3, 10.1), none without a number."""
    name, _ = person_name(person.get("name"))
    for one in person.get("identifier", ()):
        coding = {"system": one.get("system"), "code": one.get("value")}
        if coded := item(coding, name.partition("=")[0].replace("^", " ")):
            return [{"PersonIdentificationCodeSequence": [coded]}]
    return []


def _order_numbers(request: Json, names: Mapping[str, str]) -> dict[str, list[Any]]:
    made: dict[str, list[Any]] = {}
    for code, keyword, sequence in (
        ("PLAC", "PlacerOrderNumberImagingServiceRequest", "OrderPlacerIdentifierSequence"),
        ("FILL", "FillerOrderNumberImagingServiceRequest", "OrderFillerIdentifierSequence"),
    ):
        found = typed(request.get("identifier"), code) or {}
        if number := values.number("LO", found.get("value")):
            made[keyword] = number
            made[sequence] = issuer(str(found.get("system") or ""), names)
    return made
