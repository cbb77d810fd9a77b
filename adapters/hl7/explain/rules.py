"""The rule by which a field goes to a resource: a map of the guide, or a decision of ours.

https://hl7.org/fhir/uv/v2mappings/STU1/segment_maps.html
"""

from typing import Final

# The segment maps of the guide, STU1 1.0.0.
_GUIDE: Final = {
    "AIG": "Appointment",
    "AIL": "Appointment",
    "AIP": "Appointment",
    "AIS": "Appointment ServiceRequest",
    "AL1": "AllergyIntolerance",
    "DG1": "Condition Encounter EpisodeOfCare",
    "EVN": "Provenance",
    "IAM": "AllergyIntolerance",
    "IN1": "Coverage",
    "IN3": "CareTeam",
    "MRG": "Account",
    "MSA": "MessageHeader",
    "MSH": "Bundle Encounter MessageHeader Provenance",
    "NK1": "Patient RelatedPerson",
    "NTE": "Appointment DocumentReference Observation ServiceRequest",
    "OBR": "DiagnosticReport ServiceRequest Specimen",
    "OBX": "DocumentReference Observation",
    "ORC": "DiagnosticReport Immunization MedicationAdministration Provenance ServiceRequest",
    "PD1": "Observation Patient",
    "PID": "Account Appointment Patient Provenance",
    "PR1": "Procedure",
    "PRT": "CareTeam Device Observation Patient PractitionerRole RelatedPerson",
    "PV1": "Basic Coverage Encounter Patient",
    "PV2": "Encounter",
    "ROL": "CareTeam Encounter Patient RelatedPerson",
    "RXA": "Immunization",
    "RXO": "MedicationRequest",
    "RXR": "Immunization MedicationRequest",
    "SCH": "Appointment Provenance ServiceRequest",
    "SFT": "Device MessageHeader",
    "SPM": "Specimen",
    "TQ1": "MedicationRequest ServiceRequest",
    "TXA": "DocumentReference Provenance",
}
_MAPS: Final = {name: frozenset(types.split()) for name, types in _GUIDE.items()}

# Resources that datatype maps make of a field, wherever it stands.
_DATATYPES: Final = {
    "Practitioner": "XCN[Practitioner]",
    "PractitionerRole": "XCN[PractitionerRole]",
    "Organization": "XON[Organization]",
    "Location": "PL[Location]",
    "Device": "EI[Device]",
}

DECISIONS: Final = {
    "D1": "ORC-2 and ORC-3 before OBR-2 and OBR-3; where they differ, both",
    "D3": "A note to the patient or the order is an Observation (LOINC 48767-8)",
    "D5": "Codes that the guide leaves blank in tables 0085, 0123, 0119 and 0038 are ours",
    "D6": "The event of an order has the code system v2-0119, not the value set",
    "D9": "SN with = is a plain quantity, with <> a text",
    "D10": "OBR-11: G is a reflex order, A an order with the detail add-on",
    "D14": "The guide has no such map: it is ours",
    "D16": "PID-2, 4, 12, 19 and 20 are mapped although withdrawn",
    "D18": "A unit is kept as sent; its UCUM code is added where it is valid",
    "D19": "The universal id of an authority goes before its namespace",
    "D20": "A repeated OBX-5: texts are lines of one string, others components",
    "D21": "The parts of EIP are placer and filler numbers (PLAC, FILL)",
    "D22": "MSH-3, 5 and 6 before MSH-24, 25 and 23",
    "D27": "Documents in OBX-5 are attachments of the report",
    "D28": "Insurance is Coverage in the elements of R4",
    "D29": "A visit without a number is contained in what names it",
    "D30": "PractitionerRole only for ORC-12, OBX-16, OBX-25 and OBR-32 to 35",
    "D32": "The first component of PL is a ward",
    "D34": "A procedure is completed where its time is past, else unknown",
    "D35": "The observation type of OBX-29 is of table 0936",
    "D36": "The values of NA are separated by blanks",
}
"""Our decisions where the guide is silent or contradicts itself (docs/hl7-mapping.md)."""

_BY_FIELD: Final = {
    **dict.fromkeys((("ORC", 2), ("ORC", 3), ("OBR", 2), ("OBR", 3)), "D1"),
    **dict.fromkeys((("OBX", 11), ("OBR", 25), ("ORC", 5)), "D5"),
    **dict.fromkeys((("SPM", 2), ("OBR", 29), ("ORC", 8)), "D21"),
    **dict.fromkeys((("MSH", 3), ("MSH", 5), ("MSH", 6)), "D22"),
    **dict.fromkeys((("PID", n) for n in (2, 4, 12, 19, 20)), "D16"),
    ("OBR", 11): "D10",
    ("OBX", 6): "D18",
    ("OBX", 29): "D35",
    ("PR1", 5): "D34",
}
_BY_VALUE_TYPE: Final = {"SN": "D9", "ED": "D27", "RP": "D27", "NA": "D36"}
_EVENT: Final = ("ORC", 1)


def rule(segment: str, number: int, value_type: str, kind: str, path: str) -> tuple[str, str]:
    """Return the guide's map (`OBX[Observation]`) and our decision (`D18`), "" where none.

    `kind` is the type of the resource, `value_type` OBX-2 of an OBX-5.
    """
    decision = _decision(segment, number, value_type, kind, path)
    if kind in _MAPS.get(segment, ()):
        return f"{segment}[{kind}]", decision
    if kind in _DATATYPES:
        return _DATATYPES[kind], decision
    return "", decision or "D14"


def _decision(segment: str, number: int, value_type: str, kind: str, path: str) -> str:
    place = (segment, number)
    if place == _EVENT:
        return "D6" if "extension" in path else "D5"
    if value_type:
        return "D20" if ".component" in path else _BY_VALUE_TYPE.get(value_type, "")
    if segment == "NTE" and kind == "Observation" and not path.startswith("Observation.note"):
        return "D3"
    found = _BY_FIELD.get(place, "")
    if found:
        return found
    if segment == "IN1" and kind == "Coverage":
        return "D28"
    return _by_target(kind, path)


def _by_target(kind: str, path: str) -> str:
    if "contained[" in path and kind == "Encounter":
        return "D29"
    if kind == "PractitionerRole":
        return "D30"
    return "D19" if "dentifier" in path and path.endswith(".system") else ""
