"""An imaging order with everything that a worklist entry can say."""

from typing import Any

Json = dict[str, Any]

LOINC = "http://loinc.org"
SCT = "http://snomed.info/sct"
V2 = "http://terminology.hl7.org/CodeSystem/v2-0203"
AE = "urn:sangam:ae-title"
MRN = "urn:sangam:patient-id"

PATIENT: Json = {
    "resourceType": "Patient",
    "id": "p1",
    "meta": {"security": [{"code": "R", "display": "restricted"}]},
    "identifier": [
        {"system": "urn:oid:1.2.3.4", "value": "NAT-77"},
        {"type": {"coding": [{"system": V2, "code": "MR"}]}, "system": MRN, "value": "MR-1"},
    ],
    "name": [
        {"use": "usual", "text": "Jo"},
        {"use": "official", "family": "Müller", "given": ["Jörg", "Max"], "prefix": ["Dr."]},
    ],
    "gender": "male",
    "birthDate": "1970-02-03",
}
ENCOUNTER: Json = {
    "resourceType": "Encounter",
    "id": "e1",
    "status": "in-progress",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
    "subject": {"reference": "Patient/p1"},
    "identifier": [
        {
            "type": {"coding": [{"system": V2, "code": "VN"}]},
            "system": "urn:oid:1.2.9",
            "value": "V-5",
        }
    ],
    "reasonCode": [{"coding": [{"system": SCT, "code": "29857009", "display": "Chest pain"}]}],
    "location": [{"location": {"reference": "Location/ward"}}],
    "hospitalization": {"specialArrangement": [{"text": "Wheelchair"}]},
}
WARD: Json = {"resourceType": "Location", "id": "ward", "name": "Ward 3"}
ROOM: Json = {"resourceType": "Location", "id": "room", "name": "CT room"}
SCANNER: Json = {
    "resourceType": "Device",
    "id": "ct",
    "identifier": [{"system": AE, "value": "CT1"}],
    "deviceName": [{"name": "Big scanner", "type": "user-friendly-name"}],
}
RADIOLOGIST: Json = {
    "resourceType": "Practitioner",
    "id": "rad",
    "name": [{"family": "Curie", "given": ["Marie"]}],
}
DOCTOR: Json = {
    "resourceType": "Practitioner",
    "id": "doc",
    "identifier": [{"system": "urn:oid:1.2.7", "value": "D9"}],
    "name": [{"family": "House", "given": ["Greg"]}],
}
CLINIC: Json = {"resourceType": "Organization", "id": "clinic", "name": "Surgery"}
ROLE: Json = {
    "resourceType": "PractitionerRole",
    "id": "role",
    "practitioner": {"reference": "Practitioner/doc"},
    "organization": {"reference": "Organization/clinic"},
}
CONDITION: Json = {
    "resourceType": "Condition",
    "id": "c1",
    "subject": {"reference": "Patient/p1"},
    "code": {"coding": [{"system": SCT, "code": "233604007", "display": "Pneumonia"}]},
}
CONTRAST: Json = {
    "resourceType": "Medication",
    "id": "m1",
    "code": {"text": "Iohexol 300"},
}
ORDER: Json = {
    "resourceType": "ServiceRequest",
    "id": "o1",
    "status": "active",
    "intent": "order",
    "category": [{"coding": [{"system": SCT, "code": "363679005"}]}],
    "priority": "stat",
    "code": {
        "coding": [{"system": LOINC, "code": "30799-1", "display": "CT Chest W contrast IV"}],
        "text": "CT of the chest",
    },
    "orderDetail": [
        {"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}]}
    ],
    "identifier": [
        {
            "type": {"coding": [{"system": V2, "code": "PLAC"}]},
            "system": "urn:oid:1.2.5",
            "value": "PL-1",
        },
        {
            "type": {"coding": [{"system": V2, "code": "FILL"}]},
            "system": "http://ris.example/orders",
            "value": "FI-1",
        },
    ],
    "subject": {"reference": "Patient/p1"},
    "encounter": {"reference": "Encounter/e1"},
    "authoredOn": "2026-11-20T10:15:30+05:30",
    "requester": {"reference": "PractitionerRole/role"},
    "reasonCode": [{"text": "Cough for weeks"}],
    "reasonReference": [{"reference": "Condition/c1"}],
    "supportingInfo": [{"reference": "Medication/m1"}],
    "patientInstruction": "Fast for four hours",
    "note": [{"text": "Left side first"}],
    "extension": [
        {
            "url": "http://hospital.example/patient-transport-arrangements",
            "valueString": "Bed",
        }
    ],
}
APPOINTMENT: Json = {
    "resourceType": "Appointment",
    "id": "a1",
    "status": "booked",
    "basedOn": [{"reference": "ServiceRequest/o1"}],
    "start": "2026-11-21T09:30:00+05:30",
    "end": "2026-11-21T10:00:00+05:30",
    "comment": "Bring old films",
    "participant": [
        {"actor": {"reference": "Patient/p1"}, "status": "accepted"},
        {"actor": {"reference": "Device/ct"}, "status": "accepted"},
        {"actor": {"reference": "Practitioner/rad"}, "status": "accepted"},
        {"actor": {"reference": "Location/room"}, "status": "accepted"},
    ],
}
PEOPLE = (PATIENT, WARD, ROOM, SCANNER, RADIOLOGIST, DOCTOR, CLINIC, ROLE, CONDITION, CONTRAST)


def observation(id_: str, code: str, on: str, **value: Any) -> Json:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": on,
        **value,
    }


def quantity(value: float, unit: str) -> Json:
    return {"valueQuantity": {"value": value, "code": unit, "system": "http://unitsofmeasure.org"}}


def allergy(id_: str, text: str, status: str = "active") -> Json:
    system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
    return {
        "resourceType": "AllergyIntolerance",
        "id": id_,
        "clinicalStatus": {"coding": [{"system": system, "code": status}]},
        "patient": {"reference": "Patient/p1"},
        "code": {"text": text},
    }


def flag(id_: str, text: str, status: str = "active", category: str = "safety") -> Json:
    system = "http://terminology.hl7.org/CodeSystem/flag-category"
    return {
        "resourceType": "Flag",
        "id": id_,
        "status": status,
        "category": [{"coding": [{"system": system, "code": category}]}],
        "subject": {"reference": "Patient/p1"},
        "code": {"text": text},
    }
