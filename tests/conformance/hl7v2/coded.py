"""The field that each code map of the guide is used for, and where its code then stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

More = Mapping[tuple[str, int], str]


@dataclass(frozen=True, slots=True)
class Coded:
    """A field with a code of a table: `{}` in `text` is the code."""

    stage: str
    segment: str
    field: int
    kind: str
    path: str
    text: str = "{}"
    more: More = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)


_ADDRESS: Final = "^^Qcity^^^^{}"
_TELECOM: Final = "0999^{}^"
CODED: Final[Mapping[str, Coded]] = {
    "AdditivePreservative": Coded("ORU", "SPM", 6, "Specimen", "container.additiveCodeableConcept"),
    "AddressType[Type]": Coded("ADT", "PID", 11, "Patient", "address.type", _ADDRESS),
    "AddressType[Use]": Coded("ADT", "PID", 11, "Patient", "address.use", _ADDRESS),
    "AdministrationMethod": Coded("ORM", "RXR", 4, "MedicationRequest", "dosageInstruction.method"),
    "AdministrativeSex": Coded("ADT", "PID", 8, "Patient", "gender"),
    "AdmissionType": Coded("ADT", "PV1", 4, "Encounter", "type"),
    "AllergenType[AllergyIntoleranceCategory]": Coded(
        "ADT", "AL1", 2, "AllergyIntolerance", "category"
    ),
    "AllergenType[AllergyIntoleranceOriginalCategory]": Coded(
        "ADT", "AL1", 2, "AllergyIntolerance", "category.extension.valueCodeableConcept"
    ),
    "AllergySeverity[AllergyIntolerance.criticality-original]": Coded(
        "ADT", "AL1", 4, "AllergyIntolerance", "criticality.extension.valueCodeableConcept"
    ),
    "AllergySeverity[AllergyIntolerance.criticality]": Coded(
        "ADT", "AL1", 4, "AllergyIntolerance", "criticality"
    ),
    "AllergySeverity[AllergyIntolerance.reaction.severity]": Coded(
        "ADT",
        "AL1",
        4,
        "AllergyIntolerance",
        "reaction.severity",
        said={"allergy_severity": "reaction"},
    ),
    "AllergyType": Coded("ADT", "AL1", 2, "AllergyIntolerance", "type"),
    "AllowSubstitution": Coded(
        "ORM", "RXO", 9, "MedicationRequest", "substitution.allowedCodeableConcept"
    ),
    "AmbulatoryStatus": Coded("ADT", "PV1", 15, "Encounter", "hospitalization.specialArrangement"),
    "AppointmentReasonCodes": Coded("SIU", "SCH", 7, "Appointment", "reasonCode", "{}^^HL70276"),
    "AppointmentTypeCodes": Coded("SIU", "SCH", 8, "Appointment", "appointmentType", "{}^^HL70277"),
    "BedStatus": Coded(
        "ADT", "PV1", 40, "Location", "operationalStatus", more={("PV1", 3): "W^R^B"}
    ),
    "BodyParts": Coded("VXU", "RXR", 2, "Immunization", "site", "{}^^HL70550"),
    "BodySite": Coded("ORU", "OBX", 20, "Observation", "bodySite"),
    "CompletionStatus": Coded("VXU", "RXA", 20, "Immunization", "status"),
    "ConfidentialityCode": Coded("OML", "ORC", 28, "ServiceRequest", "meta.security"),
    "ContactRole": Coded("ADT", "NK1", 7, "RelatedPerson", "relationship"),
    "CountryCode": Coded("ORU", "MSH", 17, "Organization", "address.country"),
    "DegreeLicenseCertificate": Coded(
        "ADT", "PV1", 7, "Practitioner", "qualification.code", "7^Qfam^^^^^{}"
    ),
    "DiagnosisType": Coded("ADT", "DG1", 6, "Encounter", "diagnosis.use"),
    "DiagnosticServiceSectionID": Coded("ORU", "OBR", 24, "DiagnosticReport", "category"),
    "DocumentConfidentialityStatus": Coded("MDM", "TXA", 18, "DocumentReference", "securityLabel"),
    "EncounterPriority": Coded("ADT", "PV2", 25, "Encounter", "priority"),
    "EventReason": Coded("ADT", "EVN", 4, "Provenance", "reason"),
    "EventRelatedPeriod": Coded(
        "OML", "TQ1", 3, "ServiceRequest", "occurrenceTiming.repeat.when", "^^^^1^d^^{}"
    ),
    "EventType": Coded("ORU", "MSH", 9, "MessageHeader", "eventCoding", "ORU^{}"),
    "Event[EncounterStatus]": Coded("ADT", "MSH", 9, "Encounter", "status", "ADT^{}"),
    "ExtendedPriorityCodes": Coded("OML", "OBR", 5, "ServiceRequest", "priority"),
    "FillerStatusCodes[Appointment]": Coded(
        "SIU",
        "SCH",
        25,
        "Appointment",
        "status",
        more={("TQ1", 7): "20260102030405+0530", ("TQ1", 8): "20260102040405+0530"},
    ),
    "HospitalService": Coded("ADT", "PV1", 10, "Encounter", "serviceType"),
    "IdentifierType": Coded("ADT", "PID", 2, "Patient", "identifier.type", "77^^^QA^{}"),
    "InterpretationCodes": Coded("ORU", "OBX", 8, "Observation", "interpretation"),
    "LivingWillCode": Coded("ADT", "PD1", 7, "Observation", "valueCodeableConcept"),
    "MaritalStatus": Coded("ADT", "PID", 16, "Patient", "maritalStatus"),
    "ModeOfArrivalCode": Coded("ADT", "PV2", 38, "Encounter", "extension.valueCoding"),
    "NameAssemblyOrder": Coded(
        "ADT", "PID", 5, "Patient", "name.extension.valueCode", "Qfam^^^^^^^^^^{}"
    ),
    "NameType": Coded("ADT", "PID", 5, "Patient", "name.use", "Qfam^^^^^^{}"),
    "NatureOfAbnormalTesting": Coded(
        "ORU", "OBX", 10, "Observation", "extension.valueCodeableConcept"
    ),
    "ObservationResultStatusCodesInterpretation": Coded("ORU", "OBX", 11, "Observation", "status"),
    "OrderControlCode[ServiceRequest.status]": Coded("OML", "ORC", 1, "ServiceRequest", "status"),
    "OrderStatus": Coded("OML", "ORC", 5, "ServiceRequest", "status"),
    "OrderType": Coded("OML", "ORC", 29, "ServiceRequest", "locationCode"),
    "Participation": Coded("ADT", "PRT", 4, "Encounter", "participant.type"),
    "PatientClass[EncounterClass]": Coded("ADT", "PV1", 2, "Encounter", "class"),
    "PatientClass[EncounterStatus]": Coded("ADT", "PV1", 2, "Encounter", "status"),
    "ProcessingID": Coded("ORU", "MSH", 11, "MessageHeader", "meta.tag"),
    "ProcessingMode": Coded("ORU", "MSH", 11, "MessageHeader", "meta.tag", "P^{}"),
    "ProviderRole": Coded("ADT", "ROL", 3, "Encounter", "participant.type"),
    "ReadmissionIndicator": Coded("ADT", "PV1", 13, "Encounter", "hospitalization.reAdmission"),
    "Relationship": Coded(
        "ADT", "NK1", 3, "RelatedPerson", "relationship", said={"nk1_contact": "related"}
    ),
    "Religion": Coded("ADT", "PID", 17, "Patient", "extension.valueCodeableConcept"),
    "RepeatPattern": Coded("OML", "TQ1", 3, "ServiceRequest", "occurrenceTiming.code"),
    "ResultStatus[Non-Queries]": Coded("ORU", "OBR", 25, "DiagnosticReport", "status"),
    "RouteOfAdministration": Coded("VXU", "RXR", 1, "Immunization", "route"),
    "SpecimenCollectionMethod": Coded("ORU", "SPM", 7, "Specimen", "collection.method"),
    "SpecimenCondition": Coded("ORU", "SPM", 24, "Specimen", "condition"),
    "SpecimenRejectReason": Coded("ORU", "SPM", 21, "Specimen", "condition"),
    "SpecimenType": Coded("ORU", "SPM", 4, "Specimen", "type"),
    "TelecommunicationEquipmentType": Coded(
        "ADT", "PID", 13, "Patient", "telecom.system", "0999^PRN^{}^q@b.example"
    ),
    "TelecommunicationUseCode": Coded("ADT", "PID", 13, "Patient", "telecom.use", _TELECOM),
    "YesNoIndicator": Coded("ADT", "PID", 30, "Patient", "deceasedBoolean"),
    "YesNoIndicator[AvailabilityStatus]": Coded("ORU", "SPM", 20, "Specimen", "status"),
}
