"""The attributes of a worklist entry that are known, and which of them are person names.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#table_K.6-1
"""

from typing import Final

STEPS: Final = "ScheduledProcedureStepSequence"
STATUS: Final = "ScheduledProcedureStepStatus"
PATIENT_NAME: Final = "PatientName"

# fmt: off
STEP: Final = frozenset((
    "ScheduledStationAETitle", "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime", "ScheduledProcedureStepEndDate",
    "ScheduledProcedureStepEndTime", "Modality", "ScheduledPerformingPhysicianName",
    "ScheduledPerformingPhysicianIdentificationSequence", "ScheduledProcedureStepDescription",
    "ScheduledProtocolCodeSequence", "ScheduledProcedureStepID", "ScheduledStationName",
    "ScheduledProcedureStepLocation", "PreMedication", "RequestedContrastAgent",
    "CommentsOnTheScheduledProcedureStep", STATUS,
))
"""Those of the item of the Scheduled Procedure Step Sequence."""

ENTRY: Final = frozenset((
    STEPS, "RequestedProcedureID", "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence", "StudyInstanceUID", "ReferencedStudySequence",
    "ReferencedPatientSequence", "ReasonForTheRequestedProcedure",
    "ReasonForRequestedProcedureCodeSequence", "RequestedProcedurePriority",
    "PatientTransportArrangements", "RequestedProcedureComments", "AccessionNumber",
    "IssuerOfAccessionNumberSequence", "RequestingPhysician",
    "RequestingPhysicianIdentificationSequence", "ReferringPhysicianName",
    "ReferringPhysicianIdentificationSequence", "RequestingService",
    "PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest",
    "OrderPlacerIdentifierSequence", "OrderFillerIdentifierSequence", "ReasonForVisit",
    "ReasonForVisitCodeSequence", "ImagingServiceRequestComments",
    "IssueDateOfImagingServiceRequest", "IssueTimeOfImagingServiceRequest", "PatientName",
    "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence", "OtherPatientNames", "PatientBirthDate", "PatientSex",
    "PatientSize", "PatientWeight", "MedicalAlerts", "Allergies", "PregnancyStatus",
    "SpecialNeeds", "PatientState", "ConfidentialityConstraintOnPatientDataDescription",
    "AdmissionID", "IssuerOfAdmissionIDSequence", "CurrentPatientLocation", "VisitStatusID",
    "TimezoneOffsetFromUTC", "SpecificCharacterSet",
))
# fmt: on

NAMES: Final = frozenset(
    (
        PATIENT_NAME,
        "OtherPatientNames",
        "RequestingPhysician",
        "ReferringPhysicianName",
        "ScheduledPerformingPhysicianName",
    )
)
