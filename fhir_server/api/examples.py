"""Example resources for the OpenAPI document.

https://hl7.org/fhir/R4/resource.html
"""

from collections.abc import Mapping
from typing import Any

from fhir_server.r4.definitions import Definitions, Element

_LOINC = "http://loinc.org"
_SNOMED = "http://snomed.info/sct"
_NAME = {"family": "Rao", "given": ["Asha"]}
_SUBJECT = {"display": "Asha Rao"}

# What readers look for first; other types get their mandatory elements.
_COMMON: Mapping[str, dict[str, Any]] = {
    "Patient": {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:example:mrn", "value": "MRN-1"}],
        "active": True,
        "name": [_NAME],
        "telecom": [{"system": "phone", "value": "+91 98450 00000"}],
        "gender": "female",
        "birthDate": "1984-02-29",
    },
    "Practitioner": {"resourceType": "Practitioner", "name": [_NAME]},
    "Organization": {"resourceType": "Organization", "name": "General Hospital"},
    "Encounter": {
        "resourceType": "Encounter",
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": _SUBJECT,
        "period": {"start": "2024-03-01T09:30:00+05:30"},
    },
    "Observation": {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": _LOINC, "code": "2160-0", "display": "Creatinine"}]},
        "subject": _SUBJECT,
        "effectiveDateTime": "2024-03-01T10:00:00+05:30",
        "valueQuantity": {
            "value": 1.1,
            "unit": "mg/dL",
            "system": "http://unitsofmeasure.org",
            "code": "mg/dL",
        },
    },
    "Condition": {
        "resourceType": "Condition",
        "code": {"coding": [{"system": _SNOMED, "code": "44054006", "display": "Diabetes"}]},
        "subject": _SUBJECT,
        "onsetDateTime": "2019",
    },
    "DiagnosticReport": {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": {"coding": [{"system": _LOINC, "code": "24323-8", "display": "Chemistry panel"}]},
        "subject": _SUBJECT,
        "effectiveDateTime": "2024-03-01",
    },
    "MedicationRequest": {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "Metformin 500 mg"},
        "subject": _SUBJECT,
        "dosageInstruction": [{"text": "One tablet twice a day with food"}],
    },
    "SearchParameter": {
        "resourceType": "SearchParameter",
        "url": "urn:example:search-parameter:marital-status",
        "name": "MaritalStatus",
        "description": "Whether the patient is married",
        "status": "active",
        "code": "marital-status",
        "base": ["Patient"],
        "type": "token",
        "expression": "Patient.maritalStatus",
    },
}

TRANSACTION: dict[str, Any] = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [
        {
            "fullUrl": "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a",
            "resource": {"resourceType": "Patient", "name": [_NAME]},
            "request": {"method": "POST", "url": "Patient"},
        },
        {
            "resource": {
                "resourceType": "Condition",
                "subject": {"reference": "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"},
                "code": {"text": "Migraine"},
            },
            "request": {"method": "POST", "url": "Condition"},
        },
    ],
}

_META = {"versionId": "1", "lastUpdated": "2024-03-01T04:30:00.000Z"}
_STORED = {"resourceType": "Patient", "id": "example", "meta": _META, "name": [_NAME]}
_URL = "http://example.org/fhir/Patient"

SEARCHSET: dict[str, Any] = {
    "resourceType": "Bundle",
    "type": "searchset",
    "total": 1,
    "link": [{"relation": "self", "url": f"{_URL}?name=rao&_count=50"}],
    "entry": [
        {"fullUrl": f"{_URL}/example", "resource": _STORED, "search": {"mode": "match"}},
    ],
}

HISTORY: dict[str, Any] = {
    "resourceType": "Bundle",
    "type": "history",
    "total": 1,
    "link": [{"relation": "self", "url": f"{_URL}/example/_history?_count=50"}],
    "entry": [
        {
            "fullUrl": f"{_URL}/example",
            "resource": _STORED,
            "request": {"method": "POST", "url": "Patient"},
            "response": {"status": "201", "etag": 'W/"1"', "lastModified": _META["lastUpdated"]},
        },
    ],
}

ANSWERS: dict[str, Any] = {
    "resourceType": "Bundle",
    "type": "transaction-response",
    "entry": [
        {
            "response": {
                "status": "201 Created",
                "location": f"{_URL}/example/_history/1",
                "etag": 'W/"1"',
                "lastModified": _META["lastUpdated"],
            }
        },
    ],
}

OUTCOME: dict[str, Any] = {
    "resourceType": "OperationOutcome",
    "issue": [
        {
            "severity": "error",
            "code": "invalid",
            "details": {"text": "Patient has no such search parameter."},
            "expression": ["nam"],
        }
    ],
}

STATEMENT: dict[str, Any] = {
    "resourceType": "CapabilityStatement",
    "status": "active",
    "date": "2019-11-01",
    "kind": "instance",
    "software": {"name": "Sangam"},
    "implementation": {"description": "Sangam FHIR R4 server"},
    "fhirVersion": "4.0.1",
    "format": ["application/fhir+json", "application/fhir+xml"],
    "rest": [{"mode": "server"}],
}

FHIRPATH_PATCH: dict[str, Any] = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "replace"},
                {"name": "path", "valueString": "Patient.birthDate"},
                {"name": "value", "valueDate": "1984-02-28"},
            ],
        }
    ],
}

JSON_PATCH = [{"op": "add", "path": "/language", "value": "en-IN"}]

_PRIMITIVES: Mapping[str, Any] = {
    "base64Binary": "U2FuZ2Ft",
    "boolean": True,
    "canonical": "urn:example:canonical",
    "code": "example",
    "date": "2024-03-01",
    "dateTime": "2024-03-01",
    "decimal": 1.0,
    "id": "example",
    "instant": "2024-03-01T10:00:00Z",
    "integer": 1,
    "positiveInt": 1,
    "unsignedInt": 1,
    "uri": "urn:example:uri",
    "url": "urn:example:url",
    "xhtml": '<div xmlns="http://www.w3.org/1999/xhtml">Example</div>',
}
_TEXT = "Example"
_MIME_TYPES = "http://hl7.org/fhir/ValueSet/mimetypes"
# Their rules ask for more than their element table says.
_VALUES: Mapping[str, Any] = {
    "CodeableConcept": {"text": _TEXT},
    "Coding": {"system": "urn:example:codes", "code": "example"},
    "Identifier": {"system": "urn:example:ids", "value": "1"},
    "Period": {"start": "2024-03-01"},
    "Quantity": {"value": 1},
    "Reference": {"display": _TEXT},
    "Resource": {"resourceType": "Basic", "code": {"text": _TEXT}},
}

_NAMED = {"display": _TEXT}
_ACTIVE = {
    "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical",
    "code": "active",
}
# What invariants ask for beside the mandatory elements.
_NEEDED: Mapping[str, dict[str, Any]] = {
    "AllergyIntolerance": {"clinicalStatus": {"coding": [_ACTIVE]}},
    "Appointment": {
        "status": "proposed",
        "participant": [{"actor": _NAMED, "status": "accepted"}],
    },
    "AppointmentResponse": {"actor": _NAMED},
    "CapabilityStatement": {
        "kind": "requirements",
        "description": _TEXT,
        "rest": [{"mode": "server"}],
    },
    "Consent": {"policyRule": {"text": _TEXT}},
    "EventDefinition": {"trigger": [{"type": "named-event", "name": "example"}]},
    "ImmunizationRecommendation": {
        "recommendation": [{"forecastStatus": {"text": _TEXT}, "targetDisease": {"text": _TEXT}}]
    },
    "InsurancePlan": {"name": _TEXT},
    "Linkage": {
        "item": [
            {"type": "source", "resource": _NAMED},
            {"type": "alternate", "resource": _NAMED},
        ]
    },
    "StructureDefinition": {
        "differential": {"element": [{"id": "Example", "path": "Example"}]},
        "type": "Example",
    },
    "TerminologyCapabilities": {"kind": "requirements", "description": _TEXT},
}


def example(definitions: Definitions, type_name: str) -> dict[str, Any]:
    """Return a valid resource of this type, of few elements and without references."""
    return _COMMON.get(type_name) or {
        "resourceType": type_name,
        **_members(definitions, type_name),
        **_NEEDED.get(type_name, {}),
    }


def stored(definitions: Definitions, type_name: str) -> dict[str, Any]:
    """Return the example as it is read back."""
    sent = example(definitions, type_name)
    return {"resourceType": type_name, "id": "example", "meta": _META, **sent}


def _members(definitions: Definitions, owner: str) -> dict[str, Any]:
    """Return the mandatory members, of a choice its first type."""
    found: dict[str, Any] = {}
    chosen: set[str] = set()
    for name, element in definitions.elements[owner].items():
        if not element.min or element.max == 0 or element.choice in chosen:
            continue
        if element.choice:
            chosen.add(element.choice)
        value = _value(definitions, element)
        found[name] = value if element.max == 1 else [value]
    return found


def _value(definitions: Definitions, element: Element) -> Any:  # noqa: ANN401  (any JSON)
    if element.type in _VALUES:
        return _VALUES[element.type]
    if element.type in definitions.elements:
        return _members(definitions, element.type) or {"id": "example"}
    if element.type == "code" and element.binding and element.binding.strength == "required":
        if element.binding.value_set == _MIME_TYPES:
            return "text/plain"
        systems = definitions.code_systems[element.binding.value_set]
        return min(code for codes in systems.values() for code in codes)
    return _PRIMITIVES.get(element.type, _TEXT)
