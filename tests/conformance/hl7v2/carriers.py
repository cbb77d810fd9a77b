"""Fields that carry each data type, and where its FHIR type then stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.conformance.hl7v2.stages import Fields

More = Mapping[tuple[str, int], str]


@dataclass(frozen=True, slots=True)
class Carrier:
    """A field of a data type: the resource and path that it becomes.

    `base` are the components that it cannot do without; `part` is the component that is of
    the data type, where the field as a whole is of another (its `around`).
    """

    stage: str
    segment: str
    field: int
    kind: str
    path: str
    base: Fields = field(default_factory=dict)
    more: More = field(default_factory=dict)
    part: int = 0
    around: Fields = field(default_factory=dict)
    said: Mapping[str, Any] = field(default_factory=dict)

    def text(self, component: int, value: str, more: Fields) -> str:
        """Return the field with this component (0: with none but the base and `more`)."""
        parts = self.base | more | ({component: value} if component else {})
        if not self.part:
            return "^".join(_row(parts))
        inner = "&".join(_row({n: text.replace("^", "&") for n, text in parts.items()}))
        return "^".join(_row(self.around | {self.part: inner}))


def _row(parts: Fields) -> list[str]:
    return [parts.get(n, "") for n in range(1, max(parts, default=0) + 1)]


def _value(kind: str, path: str, base: Fields | None = None) -> Carrier:
    return Carrier("ORU", "OBX", 5, "Observation", path, base or {}, {("OBX", 2): kind})


_CODED: Final[Fields] = {1: "QB", 4: "QB4", 10: "QB10"}
_PERSON: Final[Fields] = {1: "QB", 2: "Qbfam"}
_ORG: Final[Fields] = {1: "Qborg", 10: "QB"}
_CALLED: Final[Fields] = {1: "Qbfam"}

CARRIERS: Final[Mapping[str, Carrier]] = {
    "CE[CodeableConcept]": _value("CE", "valueCodeableConcept", {1: "QB", 4: "QB4"}),
    "CF[CodeableConcept]": _value("CF", "valueCodeableConcept", _CODED),
    "CNE[CodeableConcept]": _value("CNE", "valueCodeableConcept", _CODED),
    "CWE[CodeableConcept]": Carrier("ORU", "OBX", 3, "Observation", "code", _CODED),
    "CNN[Practitioner]": Carrier(
        "ORU",
        "OBR",
        32,
        "DiagnosticReport",
        "resultsInterpreter(PractitionerRole.practitioner(Practitioner))",
        {1: "QB"},
        part=1,
    ),
    "CQ[Quantity]": Carrier("ORU", "SPM", 12, "Specimen", "collection.quantity", {1: "7"}),
    "CQ[code]": Carrier(
        "OML", "TQ1", 13, "ServiceRequest", "occurrenceTiming.repeat.durationUnit", {1: "7"}
    ),
    "CQ[decimal]": Carrier(
        "OML", "TQ1", 13, "ServiceRequest", "occurrenceTiming.repeat.duration", {2: "min"}
    ),
    "CWE[Annotation]": Carrier("ORU", "OBR", 39, "Specimen", "note", {}, {("OBR", 14): "20260101"}),
    "CWE[Coding]": Carrier("ADT", "PV2", 38, "Encounter", "extension.valueCoding", {1: "QB"}),
    "CWE[Device]": Carrier("OML", "ORC", 18, "Provenance", "agent.who(Device)", {1: "QB"}),
    "CWE[Identifier]": Carrier("ADT", "IN1", 2, "Coverage", "identifier", {1: "QB"}),
    "CWE[Organization]": Carrier(
        "VXU", "RXA", 17, "Immunization", "manufacturer(Organization)", {1: "QB"}
    ),
    "CWE[Quantity]": Carrier(
        "ORU", "OBX", 6, "Observation", "valueQuantity", {}, {("OBX", 2): "NM", ("OBX", 5): "7"}
    ),
    "CWE[code]": Carrier("ADT", "PID", 8, "Patient", "gender"),
    "CWE[string]": Carrier(
        "ADT", "PID", 11, "Patient", "address.district", {}, part=9, around={3: "Qbcity"}
    ),
    "CWE[uri]": Carrier("ADT", "PID", 20, "Patient", "identifier.system", part=2, around={1: "QB"}),
    "CX[Identifier]": Carrier("ADT", "PID", 3, "Patient", "identifier", {1: "QB"}),
    "CX[RelatedPerson-Mother]": Carrier("ADT", "PID", 21, "RelatedPerson", "$this", {1: "QB"}),
    "CX[string]": Carrier("ADT", "PID", 19, "Patient", "identifier.value"),
    "DLD[Location-Discharge]": Carrier(
        "ADT", "PV1", 37, "Encounter", "hospitalization.destination(Location)", {1: "QB"}
    ),
    "DLN[Identifier]": Carrier("ADT", "PID", 20, "Patient", "identifier", {1: "QB"}),
    "DR[Period]": Carrier("ADT", "PID", 5, "Patient", "name.period", part=10, around=_CALLED),
    "DR[dateTime]": Carrier("ORU", "SPM", 17, "Specimen", "collection.collectedDateTime"),
    "DTM[Annotation-Time]": Carrier("NTE", "NTE", 6, "Observation", "note"),
    "DTM[dateTime]": Carrier("ORU", "OBX", 14, "Observation", "effectiveDateTime"),
    "TS[dateTime]": Carrier("OML", "OBR", 6, "ServiceRequest", "occurrenceDateTime"),
    "ED[Attachment]": _value(
        "ED", "extension.valueAttachment", {2: "application", 4: "Base64", 5: "JVBERi0x"}
    ),
    "ED[DocumentReference]": Carrier(
        "MDM",
        "OBX",
        5,
        "DocumentReference",
        "$this",
        {2: "application", 4: "Base64", 5: "JVBERi0x"},
        {("OBX", 2): "ED"},
    ),
    "EIP[Identifier-FillerAssignedIdentifier]": Carrier("ORU", "SPM", 2, "Specimen", "identifier"),
    "EIP[Identifier-PlacerAssignedIdentifier]": Carrier("ORU", "SPM", 2, "Specimen", "identifier"),
    "EI[Condition]": Carrier(
        "ADT", "DG1", 22, "Condition", "extension.valueReference(Condition)", {1: "QB"}
    ),
    "EI[Identifier-DefaultAssigner]": Carrier(
        "ADT", "PV1", 3, "Location", "identifier", part=10, around={1: "QPOC"}
    ),
    "EI[Identifier-Extension]": Carrier("ORU", "OBX", 21, "Observation", "identifier", {1: "QB"}),
    "EI[Identifier-Organization]": Carrier(
        "ADT", "PV1", 3, "Location", "identifier", {1: "QB"}, part=10, around={1: "QPOC"}
    ),
    "EI[Identifier-System]": Carrier("ADT", "PR1", 19, "Procedure", "identifier", {1: "QB"}),
    "EI[Procedure]": Carrier("ADT", "PR1", 25, "Procedure", "partOf(Procedure)"),
    "FN[HumanName]": Carrier("ADT", "PID", 5, "Patient", "name", {1: "Qbfam"}, part=1),
    "FT[Annotation-Comment]": Carrier("NTE", "NTE", 3, "Observation", "note"),
    "HD[Device]": Carrier("ORU", "MSH", 5, "MessageHeader", "destination.target(Device)"),
    "HD[Identifier]": Carrier("ADT", "PV1", 3, "Location", "identifier", part=1, around={2: "QRO"}),
    "HD[Location]": Carrier("ADT", "EVN", 7, "Provenance", "location(Location)", {1: "QB"}),
    "HD[MessageHeader.destination-endpoint]": Carrier(
        "ORU", "MSH", 5, "MessageHeader", "destination", {1: "QB"}
    ),
    "HD[MessageHeader.destination-name]": Carrier(
        "ORU", "MSH", 5, "MessageHeader", "destination", {1: "QB"}
    ),
    "HD[MessageHeader.source-endpoint]": Carrier("ORU", "MSH", 3, "MessageHeader", "source"),
    "HD[MessageHeader.source-name]": Carrier("ORU", "MSH", 3, "MessageHeader", "source"),
    "HD[Organization]": Carrier("ORU", "MSH", 4, "MessageHeader", "sender(Organization)"),
    "HD[uri]": Carrier("ADT", "PID", 3, "Patient", "identifier.system", part=4, around={1: "QB"}),
    "ID[CodeableConcept]": Carrier("ORU", "OBR", 24, "DiagnosticReport", "category"),
    "ID[Coding]": Carrier("ADT", "PV2", 22, "Encounter", "meta.security"),
    "ID[boolean]": Carrier("ADT", "PID", 30, "Patient", "deceasedBoolean"),
    "ID[code]": Carrier("OML", "OBR", 5, "ServiceRequest", "priority"),
    "ID[string]": Carrier("ADT", "PID", 12, "Patient", "address.district"),
    "IS[CodeableConcept]": _value("IS", "valueCodeableConcept"),
    "IS[code]": Carrier(
        "ADT", "PV1", 40, "Location", "operationalStatus", {}, {("PV1", 3): "W^R^B"}
    ),
    "MSG[Coding]": Carrier("ORU", "MSH", 9, "MessageHeader", "eventCoding"),
    "MSG[MessageHeader]": Carrier("ORU", "MSH", 9, "MessageHeader", "$this"),
    "MSG[code]": Carrier("ADT", "MSH", 9, "Encounter", "status"),
    "NA[SampledData]": _value("NA", "valueSampledData", {1: "1", 2: "2"}),
    "NDL[PractitionerRole]": Carrier(
        "ORU", "OBR", 34, "DiagnosticReport", "performer(PractitionerRole)", {1: "QB&Qbfam"}
    ),
    "NM[Quantity-LengthOfStay]": Carrier("ADT", "PV2", 11, "Encounter", "length"),
    "NM[Quantity]": _value("NM", "valueQuantity"),
    "NM[positiveInt]": Carrier("ADT", "DG1", 15, "Encounter", "diagnosis.rank"),
    "NR[Range]": _value("NR", "valueRange", {1: "1", 2: "9"}),
    "OG[Extension-Subidentifier]": Carrier("ORU", "OBX", 4, "Observation", "$this"),
    "PLN[Identifier]": Carrier("ADT", "PRT", 24, "PractitionerRole", "identifier", {1: "QB"}),
    "PL[Location]": Carrier("ADT", "PV1", 3, "Location", "$this", {}),
    "PT[Meta]": Carrier("ORU", "MSH", 11, "MessageHeader", "meta"),
    "RI[Timing]": Carrier(
        "OML", "ORC", 7, "ServiceRequest", "occurrenceTiming", part=2, around={1: "7"}
    ),
    "RPT[Timing]": Carrier("OML", "TQ1", 3, "ServiceRequest", "occurrenceTiming", {1: "QB"}),
    "RP[Attachment]": _value("RP", "extension.valueAttachment", {1: "http://b/"}),
    "RP[DocumentReference]": Carrier(
        "MDM", "OBX", 5, "DocumentReference", "$this", {1: "http://b/"}, {("OBX", 2): "RP"}
    ),
    "SAD[Address]": Carrier("ADT", "PID", 11, "Patient", "address", part=1, around={3: "Qbcity"}),
    "SN[Quantity]": _value("SN", "valueQuantity", {2: "5"}),
    "SN[Range]": _value("SN", "valueRange", {2: "5", 3: "-", 4: "9"}),
    "SN[Ratio]": _value("SN", "valueRatio", {2: "5", 3: ":", 4: "9"}),
    "SPS[Specimen-Source]": Carrier("ORU", "OBR", 15, "Specimen", "$this", {1: "QB"}),
    "ST[CodeableConcept]": Carrier("ADT", "AL1", 5, "AllergyIntolerance", "reaction.manifestation"),
    "ST[Identifier]": Carrier("MDM", "TXA", 16, "DocumentReference", "identifier"),
    "TQ[Appointment]": Carrier(
        "SIU",
        "SCH",
        11,
        "Appointment",
        "$this",
        {4: "20260101000000+0530", 5: "20260101010000+0530"},
    ),
    "TQ[MedicationRequest]": Carrier("ORM", "ORC", 7, "MedicationRequest", "$this"),
    "TQ[ServiceRequest]": Carrier("OML", "ORC", 7, "ServiceRequest", "$this"),
    "XAD[Address]": Carrier("ADT", "PID", 11, "Patient", "address", {3: "Qbcity"}),
    "XCN[Annotation-Author]": Carrier("NTE", "NTE", 5, "Observation", "note", _PERSON),
    "XCN[PractitionerRole]": Carrier("ORU", "OBX", 25, "Observation", "performer", _PERSON),
    "XCN[Practitioner]": Carrier(
        "ADT", "PV1", 7, "Encounter", "participant.individual(Practitioner)", _PERSON
    ),
    "XON[Organization]": Carrier("ORU", "OBX", 23, "Observation", "performer(Organization)", _ORG),
    "XON[string]": Carrier("ADT", "PD1", 14, "Patient", "extension.valueString"),
    "XPN[HumanName]": Carrier("ADT", "PID", 5, "Patient", "name", _CALLED),
    "XPN[string]": Carrier("ADT", "PID", 6, "Patient", "extension.valueString"),
    "XTN[ContactPoint]": Carrier("ADT", "PID", 13, "Patient", "telecom", {3: "PH", 12: "0999"}),
}
