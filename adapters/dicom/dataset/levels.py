"""The levels of the query information models, and which attributes belong to each.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_C.6.1.1
https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_C.6.2.1
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """Values of (0008,0052) Query/Retrieve Level."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


UNIQUE = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.IMAGE: "SOPInstanceUID",
}

# fmt: off
PATIENT = frozenset((
    "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthDate", "PatientBirthTime", "PatientSex", "OtherPatientIDsSequence",
    "OtherPatientNames", "PatientComments", "QualityControlSubject", "PatientSpeciesDescription",
    "OtherPatientIDs",
))
STUDY = frozenset((
    "StudyDate", "StudyTime", "AccessionNumber", "IssuerOfAccessionNumberSequence", "StudyID",
    "ReferringPhysicianName", "ReferringPhysicianIdentificationSequence", "StudyDescription",
    "ProcedureCodeSequence", "NameOfPhysiciansReadingStudy",
    "PhysiciansReadingStudyIdentificationSequence", "InstitutionName",
    "InstitutionalDepartmentName", "TimezoneOffsetFromUTC", "PatientAge", "PatientSize",
    "PatientWeight", "AdmissionID", "IssuerOfAdmissionIDSequence", "StudyComments",
    "ReasonForTheRequestedProcedure", "ReasonForRequestedProcedureCodeSequence",
    "RequestedProcedureComments",
))
SERIES = frozenset((
    "Modality", "SeriesNumber", "SeriesDate", "SeriesTime", "SeriesDescription",
    "BodyPartExamined", "AnatomicRegionSequence", "Laterality",
    "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime",
    "PerformedProcedureStepID", "PerformedProcedureStepDescription", "PerformedLocation",
    "RequestAttributesSequence", "StationName", "OperatorsName",
    "OperatorIdentificationSequence", "PerformingPhysicianName",
    "PerformingPhysicianIdentificationSequence", "Manufacturer", "ManufacturerModelName",
    "DeviceSerialNumber", "DeviceUID", "SoftwareVersions", "ProtocolName",
    "UDISequence",
))
IMAGE = frozenset((
    "SOPClassUID", "InstanceNumber", "ContentDate", "ContentTime", "AcquisitionDate",
    "AcquisitionTime", "AcquisitionDateTime", "ConceptNameCodeSequence", "VerificationFlag",
    "CompletionFlag", "ContentLabel", "DocumentTitle", "Rows", "Columns", "NumberOfFrames",
    "BitsAllocated", "PhotometricInterpretation", "ImageType", "ImageLaterality",
    "ContainerIdentifier", "SpecimenDescriptionSequence", "AvailableTransferSyntaxUID",
))
# fmt: on
KEYWORDS = {
    Level.PATIENT: PATIENT,
    Level.STUDY: STUDY | {"StudyInstanceUID"},
    Level.SERIES: SERIES | {"SeriesInstanceUID"},
    Level.IMAGE: IMAGE | {"SOPInstanceUID"},
}
LEVEL_OF = {keyword: level for level, keywords in KEYWORDS.items() for keyword in keywords}
"""The level of each attribute that an index row holds."""

NAMES = frozenset(
    (
        "PatientName",
        "OtherPatientNames",
        "ReferringPhysicianName",
        "NameOfPhysiciansReadingStudy",
        "OperatorsName",
        "PerformingPhysicianName",
    )
)
"""Those of them that are person names."""

_OF_STUDY = PATIENT | STUDY


def of_study(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of patient and study among those of an instance."""
    return {key: value for key, value in attributes.items() if key in _OF_STUDY}


def of_series(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of the series among those of an instance."""
    return {key: value for key, value in attributes.items() if key in SERIES}
