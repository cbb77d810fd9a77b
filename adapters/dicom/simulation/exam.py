"""An examination to play: of whom, for which order, on which station."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from adapters.dicom.dataset.attributes import Attributes, items, text
from adapters.dicom.simulation.computed_tomography import person, uid

MODALITIES: Final = ("CT", "MR", "US", "SR")
"""Which synthetic objects there are; SR is a CT's radiation dose report."""


@dataclass(frozen=True, slots=True)
class Exam:
    """What a modality knows before it begins; equal seeds give equal UIDs.

    `scheduled` is the worklist entry that it was chosen from, {} without one.
    """

    seed: int
    modality: str
    count: int
    size: int
    begun: datetime
    station: str = "SIMULATOR"
    patient_name: str = ""
    patient_id: str = ""
    birth_date: str = ""
    sex: str = ""
    accession_number: str = ""
    study_instance_uid: str = ""
    description: str = ""
    scheduled: Mapping[str, Any] = field(default_factory=dict)

    def uid(self, *parts: object) -> str:
        """Return a UID of this examination."""
        return uid(self.seed, self.modality, *parts)

    @property
    def series_instance_uid(self) -> str:
        """The UID of its only series."""
        return self.uid("series")

    @property
    def step_uid(self) -> str:
        """The UID of its performed procedure step."""
        return self.uid("step", self.study_instance_uid)


def unscheduled(exam: Exam) -> Exam:
    """Return the examination with a made-up patient and study, as an emergency is begun."""
    birth_date, sex = person(exam.seed)
    return replace(
        exam,
        patient_name=f"Simulated^P{exam.seed}",
        patient_id=f"SIM{exam.seed:08d}",
        birth_date=birth_date,
        sex=sex,
        study_instance_uid=exam.uid("study"),
        description=f"{exam.modality}, simulated",
    )


def of_entry(exam: Exam, entry: Attributes) -> Exam:
    """Return the examination of a worklist entry."""
    [step] = items(entry, "ScheduledProcedureStepSequence") or [{}]
    return replace(
        exam,
        patient_name=text(entry, "PatientName"),
        patient_id=text(entry, "PatientID"),
        birth_date=text(entry, "PatientBirthDate"),
        sex=text(entry, "PatientSex"),
        accession_number=text(entry, "AccessionNumber"),
        study_instance_uid=text(entry, "StudyInstanceUID") or exam.uid("study"),
        description=text(entry, "RequestedProcedureDescription")
        or text(step, "ScheduledProcedureStepDescription"),
        scheduled=entry,
    )
