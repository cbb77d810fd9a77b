"""The messages of a performed procedure step that a modality sends.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_F.7.2
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from adapters.dicom.dataset.attributes import Attributes, items, text
from adapters.dicom.dataset.identifier import Key, tag_of, vr_of
from adapters.dicom.network.scu import Instance
from adapters.dicom.simulation.exam import Exam
from adapters.dicom.simulation.objects import DOSE

_OF_ENTRY: Final = ("RequestedProcedureID", "RequestedProcedureDescription")
_OF_STEP: Final = ("ScheduledProcedureStepID", "ScheduledProcedureStepDescription")


def begun(exam: Exam) -> list[Key]:
    """Return the attributes of the N-CREATE."""
    return [
        element("SpecificCharacterSet", "ISO_IR 192"),
        element("TimezoneOffsetFromUTC", f"{exam.begun:%z}"),
        element("Modality", "CT" if exam.modality == "SR" else exam.modality),
        element("ProcedureCodeSequence"),
        element("ReferencedPatientSequence"),
        element("PatientName", exam.patient_name),
        element("PatientID", exam.patient_id),
        element("PatientBirthDate", exam.birth_date),
        element("PatientSex", exam.sex),
        element("StudyID", f"S{exam.seed}"),
        element("PerformedStationAETitle", exam.station),
        element("PerformedStationName", exam.station),
        element("PerformedLocation"),
        element("PerformedProcedureStepStartDate", f"{exam.begun:%Y%m%d}"),
        element("PerformedProcedureStepStartTime", f"{exam.begun:%H%M%S}"),
        element("PerformedProcedureStepEndDate"),
        element("PerformedProcedureStepEndTime"),
        element("PerformedProcedureStepStatus", "IN PROGRESS"),
        element("PerformedProcedureStepID", f"P{exam.seed}"),
        element("PerformedProcedureStepDescription", exam.description),
        element("PerformedProcedureTypeDescription"),
        element("PerformedProtocolCodeSequence"),
        element("PerformedSeriesSequence"),
        Key(tag_of("ScheduledStepAttributesSequence"), "SQ", (keyed(_scheduled(exam)),)),
    ]


def ended(exam: Exam, sent: Sequence[Instance], at: datetime) -> list[Key]:
    """Return the attributes of the N-SET with which it is COMPLETED."""
    images = [one for one in sent if one.sop_class_uid != DOSE]
    others = [one for one in sent if one.sop_class_uid == DOSE]
    series = [
        element("SeriesInstanceUID", exam.series_instance_uid),
        element("SeriesDescription", f"{exam.modality} 1"),
        element("ProtocolName", exam.description or exam.modality),
        element("PerformingPhysicianName"),
        element("OperatorsName", "Operator^Simulated"),
        element("RetrieveAETitle"),
        _references("ReferencedImageSequence", images),
        _references("ReferencedNonImageCompositeSOPInstanceSequence", others),
    ]
    return [
        element("PerformedProcedureStepStatus", "COMPLETED"),
        element("PerformedProcedureStepEndDate", f"{at:%Y%m%d}"),
        element("PerformedProcedureStepEndTime", f"{at:%H%M%S}"),
        Key(tag_of("PerformedSeriesSequence"), "SQ", (keyed(series),)),
    ]


def element(name: str, value: str = "") -> Key:
    """Return an element by its keyword, empty without a value."""
    tag = tag_of(name)
    return Key(tag, vr_of(tag), (value,) if value else ())


def keyed(elements: Sequence[Key]) -> dict[int, Key]:
    """Return elements as an item."""
    return {one.tag: one for one in elements}


def _references(name: str, instances: Sequence[Instance]) -> Key:
    items_: tuple[Any, ...] = tuple(
        keyed(
            [
                element("ReferencedSOPClassUID", one.sop_class_uid),
                element("ReferencedSOPInstanceUID", one.sop_instance_uid),
            ]
        )
        for one in instances
    )
    return Key(tag_of(name), "SQ", items_)


def _scheduled(exam: Exam) -> list[Key]:
    """Return what the step says of the scheduled one: what the worklist said, else nothing."""
    entry: Attributes = exam.scheduled
    [step] = items(entry, "ScheduledProcedureStepSequence") or [{}]
    return [
        element("AccessionNumber", exam.accession_number),
        element("StudyInstanceUID", exam.study_instance_uid),
        element("ReferencedStudySequence"),
        *_copied(entry, _OF_ENTRY),
        *_copied(step, _OF_STEP),
        element("ScheduledProtocolCodeSequence"),
    ]


def _copied(source: Attributes, names: Sequence[str]) -> Iterator[Key]:
    for name in names:
        yield element(name, text(source, name))
