"""Every row of the entry, from the order to the modality."""

from datetime import UTC, datetime, timedelta

import anyio.to_thread

from fhir_server.server import Server
from tests.adapters.dicom.conftest import Archive
from tests.adapters.dicom.worklist import orders
from tests.adapters.dicom.worklist.conftest import Write, asked, plain, read

TODAY = f"{datetime.now(UTC) - timedelta(days=3):%Y-%m-%d}"

ALL = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "OtherPatientIDsSequence"),
    *("PatientBirthDate", "PatientSex", "PatientSize", "PatientWeight", "MedicalAlerts"),
    *("Allergies", "PregnancyStatus", "SpecialNeeds", "PatientState"),
    "ConfidentialityConstraintOnPatientDataDescription",
    *("AdmissionID", "IssuerOfAdmissionIDSequence", "CurrentPatientLocation", "VisitStatusID"),
    *("RequestedProcedureID", "RequestedProcedureDescription", "RequestedProcedureCodeSequence"),
    *("StudyInstanceUID", "ReferencedStudySequence", "ReferencedPatientSequence"),
    *("ReasonForTheRequestedProcedure", "ReasonForRequestedProcedureCodeSequence"),
    *("RequestedProcedurePriority", "PatientTransportArrangements", "RequestedProcedureComments"),
    *("AccessionNumber", "IssuerOfAccessionNumberSequence", "RequestingPhysician"),
    *("RequestingPhysicianIdentificationSequence", "ReferringPhysicianName"),
    *("ReferringPhysicianIdentificationSequence", "RequestingService"),
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    *("OrderPlacerIdentifierSequence", "OrderFillerIdentifierSequence"),
    *("ReasonForVisit", "ReasonForVisitCodeSequence", "ImagingServiceRequestComments"),
    *("IssueDateOfImagingServiceRequest", "IssueTimeOfImagingServiceRequest"),
    "ScheduledProcedureStepSequence",
)


async def test_an_entry_has_every_row(server: Server, modality: Archive, write: Write) -> None:
    await write(
        *orders.PEOPLE,
        orders.ENCOUNTER,
        orders.observation("h", "8302-2", TODAY, **orders.quantity(182, "cm")),
        orders.observation("w", "29463-7", TODAY, **orders.quantity(81.5, "kg")),
        orders.allergy("al1", "Iodine"),
        orders.allergy("al2", "Old one", "resolved"),
        orders.flag("f1", "MRSA"),
        orders.flag("f2", "Confused", category="behavioral"),
        orders.flag("f3", "Past", "inactive"),
        orders.ORDER,
        orders.APPOINTMENT,
    )
    answers = await anyio.to_thread.run_sync(asked, modality, *ALL)
    assert [status for status, _ in answers] == [0xFF00, 0]
    found = plain(answers[0][1])
    request = await read(server, "ServiceRequest/o1")
    given = {one.get("system"): one["value"] for one in request["identifier"]}
    study = given["urn:dicom:uid"].removeprefix("urn:oid:")
    assert study.startswith("2.25.")
    oid = [{"UniversalEntityID": ["1.2.5"], "UniversalEntityIDType": ["ISO"]}]
    doctor = [
        {
            "PersonIdentificationCodeSequence": [
                {
                    "CodeValue": ["D9"],
                    "CodingSchemeDesignator": ["L"],
                    "CodingSchemeUID": ["1.2.7"],
                    "CodeMeaning": ["House Greg"],
                }
            ]
        }
    ]
    assert found == {
        "SpecificCharacterSet": ["ISO_IR 192"],
        "PatientName": ["Müller^Jörg^Max^Dr."],
        "PatientID": ["MR-1"],
        "IssuerOfPatientID": [],
        "OtherPatientIDsSequence": [
            {
                "PatientID": ["NAT-77"],
                "IssuerOfPatientIDQualifiersSequence": [
                    {"UniversalEntityID": ["1.2.3.4"], "UniversalEntityIDType": ["ISO"]}
                ],
            }
        ],
        "PatientBirthDate": ["19700203"],
        "PatientSex": ["M"],
        "PatientSize": ["1.82"],
        "PatientWeight": ["81.5"],
        "MedicalAlerts": ["Confused", "MRSA"],
        "Allergies": ["Iodine"],
        "PregnancyStatus": [],
        "SpecialNeeds": ["Wheelchair"],
        "PatientState": ["Confused"],
        "ConfidentialityConstraintOnPatientDataDescription": ["restricted"],
        "AdmissionID": ["V-5"],
        "IssuerOfAdmissionIDSequence": [
            {"UniversalEntityID": ["1.2.9"], "UniversalEntityIDType": ["ISO"]}
        ],
        "CurrentPatientLocation": ["Ward 3"],
        "VisitStatusID": ["ADMITTED"],
        "RequestedProcedureID": [given["urn:sangam:requested-procedure-id"]],
        "RequestedProcedureDescription": ["CT of the chest"],
        "RequestedProcedureCodeSequence": [
            {
                "CodeValue": ["30799-1"],
                "CodingSchemeDesignator": ["LN"],
                "CodeMeaning": ["CT Chest W contrast IV"],
            }
        ],
        "StudyInstanceUID": [study],
        "ReferencedStudySequence": [],
        "ReferencedPatientSequence": [],
        "ReasonForTheRequestedProcedure": ["Cough for weeks, Pneumonia"],
        "ReasonForRequestedProcedureCodeSequence": [
            {
                "CodeValue": ["233604007"],
                "CodingSchemeDesignator": ["SCT"],
                "CodeMeaning": ["Pneumonia"],
            }
        ],
        "RequestedProcedurePriority": ["STAT"],
        "PatientTransportArrangements": ["Bed"],
        "RequestedProcedureComments": ["Left side first"],
        "AccessionNumber": [given["urn:sangam:accession-number"]],
        "IssuerOfAccessionNumberSequence": [
            {
                "UniversalEntityID": ["urn:sangam:accession-number"],
                "UniversalEntityIDType": ["URI"],
            }
        ],
        "RequestingPhysician": ["House^Greg"],
        "RequestingPhysicianIdentificationSequence": doctor,
        "ReferringPhysicianName": ["House^Greg"],
        "ReferringPhysicianIdentificationSequence": doctor,
        "RequestingService": ["Surgery"],
        "PlacerOrderNumberImagingServiceRequest": ["PL-1"],
        "FillerOrderNumberImagingServiceRequest": ["FI-1"],
        "OrderPlacerIdentifierSequence": oid,
        "OrderFillerIdentifierSequence": [
            {
                "UniversalEntityID": ["http://ris.example/orders"],
                "UniversalEntityIDType": ["URI"],
            }
        ],
        "ReasonForVisit": ["Chest pain"],
        "ReasonForVisitCodeSequence": [
            {
                "CodeValue": ["29857009"],
                "CodingSchemeDesignator": ["SCT"],
                "CodeMeaning": ["Chest pain"],
            }
        ],
        "ImagingServiceRequestComments": ["Left side first"],
        "IssueDateOfImagingServiceRequest": ["20261120"],
        "IssueTimeOfImagingServiceRequest": ["101530"],
        "ScheduledProcedureStepSequence": [
            {
                "ScheduledStationAETitle": ["CT1"],
                "ScheduledProcedureStepStartDate": ["20261121"],
                "ScheduledProcedureStepStartTime": ["093000"],
                "ScheduledProcedureStepEndDate": ["20261121"],
                "ScheduledProcedureStepEndTime": ["100000"],
                "Modality": ["CT"],
                "ScheduledPerformingPhysicianName": ["Curie^Marie"],
                "ScheduledProcedureStepDescription": ["CT of the chest"],
                "ScheduledProcedureStepID": ["S1"],
                "ScheduledStationName": ["Big scanner"],
                "ScheduledProcedureStepLocation": ["CT room"],
                "PreMedication": ["Fast for four hours"],
                "RequestedContrastAgent": ["Iohexol 300"],
                "CommentsOnTheScheduledProcedureStep": ["Bring old films"],
                "ScheduledProcedureStepStatus": ["SCHEDULED"],
            }
        ],
    }
