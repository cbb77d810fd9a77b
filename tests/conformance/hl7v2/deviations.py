"""Where the adapter does not do what a row of the guide says, by number, and why.

Numbers to D36 are the decisions of the specification. Run as
`python -m tests.conformance.hl7v2.deviations` this prints the table of docs/hl7-mapping.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

Rows = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Deviation:
    """What is done instead, and the rows of maps that say otherwise, by map and line."""

    here: str
    rows: Rows = field(default_factory=dict)


def _span(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


DEVIATIONS: Final[Mapping[str, Deviation]] = {
    "D6": Deviation(
        "the business event has the system `THO/v2-0119`; the guide names a ValueSet",
        {"ORC[ServiceRequest]": (8,)},
    ),
    "D7": Deviation(
        "canonical URLs of extensions and systems, with http; the guide has addresses of pages,"
        " https, a backslash or a slash at the end",
        {
            "CX[RelatedPerson-Mother]": (5,),
            "DG1[Condition]": (21,),
            "HD[MessageHeader.source-endpoint]": (9,),
            "MSH[MessageHeader]": (32, 35),
            "NM[Quantity-LengthOfStay]": (5,),
            "OBX[Observation]": (26, 29),
            "PV2[Encounter]": (14,),
            "SFT[Device]": (11,),
        },
    ),
    "D9": Deviation(
        "SN with a sign that is none of `:`, `/`, `-` is a string of its parts and the unit",
        {"SN[Quantity]": (3, 4)},
    ),
    "D10": Deviation(
        "OBR-11 A is intent `order` with orderDetail `add-on`; `#add-on#` is no intent",
        {"OBR[ServiceRequest]": (19,)},
    ),
    "D12": Deviation(
        "the status after A04 is that of PV1-2: a registered patient is not planned",
        {"Event[EncounterStatus]": (6,)},
    ),
    "D13": Deviation(
        "A08 keeps the stored status; the guide makes every visit unknown",
        {"Event[EncounterStatus]": (8,)},
    ),
    "D19": Deviation(
        "an EI or HD gives `system` (universal id before namespace); R4 has no organization for"
        " each of its parts, and `type` is the kind of the identifier, not of the authority",
        {
            "EI[Condition]": (4, 5, 6),
            "EI[Identifier-Organization]": (4, 5, 6),
            "EI[Identifier-System]": (6,),
            "HD[Identifier]": (5,),
        },
    ),
    "D20": Deviation(
        "repeated text (ST, FT, TX) is one string of lines, not components",
        {"OBX[Observation-Component]": (9, 25)},
    ),
    "D21": Deviation(
        "the parts of an EIP are PLAC and FILL; PGN and FGN name groups (ORC-4)",
        {
            "EIP[Identifier-FillerAssignedIdentifier]": (7,),
            "EIP[Identifier-PlacerAssignedIdentifier]": (4,),
        },
    ),
    "D26": Deviation(
        "a code that the required binding of R4 lacks: inter-meal times are not in `when`, and"
        " CP is system `phone` with use `mobile`; the sent code stays beside it or is listed",
        {"EventRelatedPeriod": (6, 13, 14, 15), "TelecommunicationEquipmentType": (6,)},
    ),
    "D27": Deviation(
        "a document is an attachment (`content.attachment`, `presentedForm`, the extension of"
        " the Observation) whose bytes are a Binary; the guide's elements (`content.data`,"
        " `component.extension`) are not in R4; its kind is in contentType, not in an extension",
        {
            "ED[Attachment]": (4, 5, 8),
            "ED[DocumentReference]": (5, 6),
            "NTE[DocumentReference]": (5, 6, 12),
            "OBX[DocumentReference]": (8, 9, 10, 11, 12),
            "OBX[Observation-Component]": (27, 28, 29, 31, 32, 33),
        },
    ),
    "D37": Deviation(
        "AIS gives the start and end of the appointment; a service is no participant",
        {"AIS[Appointment]": (6, 7, 9)},
    ),
    "D38": Deviation(
        "the activity of an event is its code (v2-0003), not a display text",
        {"EVN[Provenance]": (3,)},
    ),
    "D39": Deviation(
        "EVN-4 U and O are codes of v2-0062, as the guide's own code map says",
        {"EVN[Provenance]": (8, 9)},
    ),
    "D40": Deviation(
        "IAM-14 is the display of the recorder: nobody is made of a name alone; IAM-15 SEL"
        " refers to the patient, others are listed",
        {"IAM[AllergyIntolerance]": (25, 26, 27, 28)},
    ),
    "D41": Deviation(
        "the account of MRG-3 is active until it is joined",
        {"MRG[Account]": (3,)},
    ),
    "D42": Deviation(
        "the destination has a name and an endpoint; no Device is made for an application",
        {"HD[Device]": (3, 4, 5, 6), "MSH[MessageHeader]": (8,)},
    ),
    "D43": Deviation(
        "PID-19 and NK1-37 have the sender's system; us-ssn only where the settings say so",
        {"NK1[RelatedPerson]": (41,), "PID[Patient]": (34,)},
    ),
    "D44": Deviation(
        "of NTE text, author and time are mapped; its type and event code are listed",
        {"NTE[Appointment-Comment]": (7, 8, 15, 16)},
    ),
    "D45": Deviation(
        "OBR-13 is an extension with `concept`, as R4 has no CodeableReference; table 0916 is"
        " the fasting status as a code, never a duration",
        {"OBR[ServiceRequest]": (24,), "OBR[Specimen]": (17,)},
    ),
    "D46": Deviation(
        "the callback number is an extension of the ServiceRequest, for which it is defined",
        {"OBR[ServiceRequest]": (29, 30)},
    ),
    "D47": Deviation(
        "a placer number is no accession number: that is SPM-30 or SAC-2",
        {"OBR[Specimen]": (4,)},
    ),
    "D48": Deviation(
        "one reference range for all repetitions of a value",
        {"OBX[Observation-Component]": (40,)},
    ),
    "D49": Deviation(
        "OBX-15 is an Organization; the guide leaves the choice",
        {"OBX[Observation]": (52,)},
    ),
    "D50": Deviation(
        "the system of OBX-30 is `THO/v2-0937`; the guide names the extension as system",
        {"OBX[Observation-Component]": (80,), "OBX[Observation]": (78,)},
    ),
    "D51": Deviation(
        "OBX-33 names one specimen, others are listed: R4 has one",
        {"OBX[Observation-Component]": _span(83, 86), "OBX[Observation]": _span(81, 84)},
    ),
    "D52": Deviation(
        "ORC-21 is the display of the place where it was ordered: a place of that name is the"
        " Organization already, which has ORC-22 and 23",
        {"ORC[Provenance]": (37, 38, 39)},
    ),
    "D53": Deviation(
        "`recorded` is when the sender recorded it; the Provenance of the message has the commit",
        {"PID[Provenance-Patient]": (3,)},
    ),
    "D54": Deviation(
        "ROL and PRT make the role of a person: code, organization, place, telecom, number;"
        " a period is that of the participant or of the general practitioner; addresses, licences"
        " and preferences are listed, and PRT beside a result altogether",
        {
            "PLN[Identifier]": (3, 4, 6),
            "PRT[Device]": (13, 14, *_span(20, 26)),
            "PRT[Observation-Location]": (12, 13, 18, 19),
            "PRT[Patient-GeneralPractitioner-PractitionerRole]": (4, 16, 26),
            "PRT[Patient-GeneralPractitioner-Practitioner]": (8,),
            "PRT[PractitionerRole]": (9, 10, 14, 15, 17, *_span(32, 44)),
            "ROL[Encounter-PractitionerRole]": (3, 14),
            "ROL[Patient-GeneralPractitioner]": (13, 14, 15),
            "OML_O21": (16, 28, 41, 51, 52, 58, 59, 60),
            "ORU_R01": (16, 25, 26, 27, 35, 42, *_span(53, 56), 67, 68, 69),
            "VXU_V04": (34, 35, 36, *_span(42, 47), *_span(57, 59)),
        },
    ),
    "D55": Deviation(
        "PV1-16 is a courtesy of the visit; it does not say whether the person is important",
        {
            "PV1[Patient]": (18, 19),
            "ADT_A01": (36,),
            "ADT_A02": (29,),
            "ADT_A05": (35,),
            "ADT_A06": (36,),
            "ADT_A09": (20,),
            "ADT_A11": (21,),
            "ADT_A17": (19, 33),
            "MDM_T02": (15,),
            "OML_O21": (25,),
            "ORM_O01": (17,),
            "ORU_R01": (32,),
            "SIU_S12": (17,),
            "VXU_V04": (20,),
        },
    ),
    "D56": Deviation(
        "PV2-12 is `reasonCode.text`; a narrative is not data",
        {"PV2[Encounter]": (18,)},
    ),
    "D57": Deviation(
        "RXE is not among the segments of an order that is placed",
        {"RXO[MedicationRequest]": (32, 33, 34)},
    ),
    "D58": Deviation(
        "the contacts of SCH-12 and 16 have a text as type: the guide's codes are in no system",
        {"SCH[Appointment]": (16, 17, 22, 23)},
    ),
    "D59": Deviation(
        "no type of a Device of software: the guide has not found a code",
        {"SFT[Device]": (3,)},
    ),
    "D60": Deviation(
        "SPM-32 has no type: the guide leaves it blank",
        {"SPM[Specimen]": (38, 39)},
    ),
    "D61": Deviation(
        "TQ1-4 of a medication is `timeOfDay`; an event needs a date",
        {"TQ1[MedicationRequest]": (6,)},
    ),
    "D62": Deviation(
        "TQ1-5 without an event is listed: `offset` needs `when` (tim-9)",
        {"TQ1[MedicationRequest]": (7,), "TQ1[ServiceRequest]": (7,)},
    ),
    "D63": Deviation(
        "texts of TQ and TQ1 for a medication are instructions of the dosage",
        {"TQ1[MedicationRequest]": (15,), "TQ[MedicationRequest]": (13,)},
    ),
    "D64": Deviation(
        "TQ1-14 is `count`: `countMax` needs one (tim-8)",
        {"TQ1[MedicationRequest]": (19,), "TQ1[ServiceRequest]": (19,)},
    ),
    "D65": Deviation(
        "a TXA-6 without time is listed: `date` is an instant, and the extension is of R6",
        {"TXA[DocumentReference]": (10, 11)},
    ),
    "D66": Deviation(
        "the degree of a practitioner is a qualification, as in XCN[Practitioner], no suffix",
        {
            "CNN[Practitioner]": (9,),
            "XCN[Annotation-Author]": (9,),
            "XCN[PractitionerRole]": (9,),
        },
    ),
    "D67": Deviation(
        "of a CWE that names a thing (device, organization, plan) the first triplet counts; its"
        " coding system names a system of the sender, and no definition of a device is made",
        {
            "CWE[Device]": (4, *_span(7, 14), *_span(19, 24)),
            "CWE[Identifier]": (4, 5, 6, 7, 8, 12, 13, 15),
            "CWE[Organization]": (5,),
        },
    ),
    "D68": Deviation(
        "a code that R4 has as a bare code is CWE.1; another triplet alone is listed",
        {"CWE[code]": (6,)},
    ),
    "D69": Deviation(
        "the issuer of a licence is part of a system of the sender: its code is no URI",
        {"CWE[uri]": (3, 6), "DLN[Identifier]": (6,)},
    ),
    "D70": Deviation(
        "a namespace is in the name of the sender's system; the assigner is named by the settings",
        {
            "CX[Identifier]": (8,),
            "CX[RelatedPerson-Mother]": (11,),
            "XCN[Annotation-Author]": (11,),
            "XCN[PractitionerRole]": (11,),
            "XCN[Practitioner]": (11,),
            "XON[Organization]": (10,),
        },
    ),
    "D71": Deviation(
        "HD.1 of applications and facilities is the name; HD.2 an identifier or endpoint, as URI",
        {
            "HD[MessageHeader.destination-name]": (4,),
            "HD[MessageHeader.source-endpoint]": (7, 8),
            "HD[MessageHeader.source-name]": (4,),
            "HD[Organization]": (3, 4, 5),
        },
    ),
    "D72": Deviation(
        "MSH-9.3 is in the display of the event: `definition` is the URL of a MessageDefinition",
        {"MSG[MessageHeader]": (6,)},
    ),
    "D73": Deviation(
        "NDL gives the person; time and place of his work (NDL.2-11) are listed",
        {"NDL[PractitionerRole]": (*_span(4, 30), *_span(32, 41))},
    ),
    "D74": Deviation(
        "the unit of a length of stay is `d`, the code of UCUM",
        {"NM[Quantity-LengthOfStay]": (4,)},
    ),
    "D75": Deviation(
        "explicit times of an old repeat pattern (RI.2) are listed",
        {"RI[Timing]": (4,)},
    ),
    "D76": Deviation(
        "TQ.3 bounds the timing, as in the map to ServiceRequest, and is no duration of a dose",
        {"TQ[MedicationRequest]": (5,)},
    ),
    "D77": Deviation(
        "the census tract is a valueString of the first line: so the extension is defined",
        {"XAD[Address]": (18, 19)},
    ),
    "D78": Deviation(
        "the order of name parts is an extension of the name, the check digit one of the"
        " identifier: so they are defined",
        {
            "XCN[Annotation-Author]": (14, 15, 16, 17, 23, 24),
            "XCN[PractitionerRole]": (23, 24),
            "XCN[Practitioner]": (23, 24),
        },
    ),
    "D79": Deviation(
        "the name of a congregation is XON.1; a number alone is listed",
        {"XON[string]": (13,)},
    ),
    "D80": Deviation(
        "a telecom without XTN.3 is a phone, with XTN.4 an e-mail: a value needs a system (cpt-2)",
        {"XTN[ContactPoint]": (7,)},
    ),
    "D81": Deviation(
        "PSY, AID and HIV are of `THO/v3-ActCode`; v3-Confidentiality does not have them",
        {"ConfidentialityCode": (9, 10, 11)},
    ),
    "D82": Deviation(
        "ROL-3 PP is the general practitioner of the Patient, no participant of the visit",
        {"ProviderRole": (15,)},
    ),
    "D83": Deviation(
        "a repeat pattern that is a scheme (`Q<integer>H`) or a part of one is no code; what is"
        " sent for it (`Q6H`) is",
        {"RepeatPattern": (3, 4, 5, 12, 14, 16, 18, 22, 29, 33, 37, 38, 39)},
    ),
    "D84": Deviation(
        "the order of an immunization is the Immunization itself, no ServiceRequest",
        {"VXU_V04": (41,)},
    ),
    "D85": Deviation(
        "an order of a diet or of supplies (ODS) is listed; OBR is a ServiceRequest alone",
        {"ORM_O01": (36, 44)},
    ),
    "D86": Deviation(
        "IN3 is listed, of IN2 the numbers and telephones alone are mapped: "
        "Coverage is made of IN1",
        {"ORM_O01": (23, 24)},
    ),
    "D87": Deviation(
        "MRG counts in the events that merge or move; in A06 it is listed",
        {"ADT_A06": (27,)},
    ),
}

# Maps that are not of this adapter, each with its reason.
OTHER_MAPS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("ROL[CareTeam]", "PRT[CareTeam]", "IN3[CareTeam]"), "no CareTeam is made of a message"
    ),
    **dict.fromkeys(("ROL[RelatedPerson]", "PRT[RelatedPerson]"), "NK1 tells of related persons"),
    "DG1[EpisodeOfCare]": "diagnoses are those of the Encounter",
    "ORC[MedicationAdministration]": "RAS is not mapped",
    "PV1[Basic-EncounterHistory]": "the versions of the Encounter are its history",
    "AIS[ServiceRequest]": "the order of an appointment has messages of its own",
    "SCH[ServiceRequest]": "the order of an appointment has messages of its own",
    "SCH[Provenance]": "SCH-20 is a participant",
    "TXA[Provenance]": "its rows name no field",
    "MSH[Provenance-Source]": "written at the commit (inbox/provenance), not by the mapping",
    "MSH[Provenance-Operator]": "written at the commit (inbox/provenance), not by the mapping",
    "MSH[Provenance-Transformation]": "written at the commit (inbox/provenance)",
    **dict.fromkeys(
        (
            *("XCN[Patient]", "XCN[RelatedPerson]", "XON[Location]", "CWE[PractitionerRole]"),
            *("CWE[Duration]", "EI[Coding]", "EI[Device-udiCarrier]", "IS[string]"),
            *("ID[CodeableConcept-UniversalID]", "TQ[Task-ExecutionPeriod]", "TQ[Task-Priority]"),
            *("CQ[unsignedInt]", "CWE[Timing-DurationUnit]", "CWE[Observation-SupportingInfo]"),
        ),
        "no field that is mapped uses this map",
    ),
    **dict.fromkeys(
        (
            *("SpecimenSourceSite", "ConfidentialityClassification", "ContainerType"),
            *("PrimaryLanguage", "PrincipalLanguageOfMessage", "FinancialClass", "DietType"),
            *("DischargeDisposition", "VIPIndicator", "TestServiceDefaultDurationUnits"),
            *("ParticipantOrganizationUnitType",),
        ),
        "the guide lists codes of FHIR without codes of HL7 v2",
    ),
    **dict.fromkeys(
        (
            *("PractitionerIDNumberType", "UniversalIDType", "CommentType", "VisitUserCode"),
            *("AdmissionLevelOfCareCode", "PreferredMethodOfContact", "OrganizationalNameType"),
            *("PublicityCode", "SegmentActionCode"),
        ),
        "no field that is mapped uses this code map",
    ),
    **dict.fromkeys(
        (
            *("DischargedToLocation", "MessageStructure", "OperatorID", "PlanId"),
            *("RequestedDispenseUnits", "RequestedDosageForm", "RequestedDrugStrengthVolumeUnits"),
            *("RequestedGiveStrengthUnits", "RequestedGiveUnits", "RoutingInstruction"),
            *("SecurityLabelHandlingInstructions", "SpecimenSourceTypeModifier"),
        ),
        "the guide's map is empty",
    ),
}


def numbered() -> dict[tuple[str, int], str]:
    """Return the number of the deviation by map and line."""
    return {
        (name, line): number
        for number, one in DEVIATIONS.items()
        for name, lines in one.rows.items()
        for line in lines
    }


def documented() -> Iterator[str]:
    """Yield the lines of the table of the documentation."""
    for number, one in DEVIATIONS.items():
        places = "; ".join(f"{name} {_written(lines)}" for name, lines in sorted(one.rows.items()))
        yield f"| {number} | {one.here} | {places} |"


def _written(lines: tuple[int, ...]) -> str:
    found: list[str] = []
    start = last = 0
    for line in (*sorted(lines), 0):
        if line == last + 1 and start:
            last = line
            continue
        if start:
            found.append(str(start) if start == last else f"{start}-{last}")
        start = last = line
    return ", ".join(found)


if __name__ == "__main__":
    print("\n".join(documented()))  # noqa: T201
