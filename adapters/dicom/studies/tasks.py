"""The Task to find the patient of a study.

https://hl7.org/fhir/R4/task.html
"""

from typing import Any, Final

from adapters.dicom.studies import ids
from adapters.dicom.studies.matched import AMBIGUOUS, ANONYMOUS, CONFLICT, HELD, MIXED

SYSTEM: Final = "urn:sangam:task"
CODE: Final = "match-imaging-study"

REASONS: Final = {
    HELD: "No patient has this Patient ID",
    CONFLICT: "The patient of this Patient ID or order is somebody else",
    AMBIGUOUS: "Several patients have this Patient ID",
    ANONYMOUS: "The Patient ID names nobody",
    MIXED: "Its instances name several patients",
}


def task(study_instance_uid: str, imaging_study: str, match: str, since: str) -> dict[str, Any]:
    """Return the Task that asks for the patient of a study, waiting `since` (an instant)."""
    return {
        **_task(study_instance_uid, imaging_study, since),
        "status": "requested",
        "businessStatus": {"coding": [{"system": SYSTEM, "code": match}], "text": REASONS[match]},
    }


def ended(
    study_instance_uid: str, imaging_study: str, since: str, *, linked: bool
) -> dict[str, Any]:
    """Return the Task when the patient was found, or is no longer to be."""
    made = _task(study_instance_uid, imaging_study, since)
    return {**made, "status": "completed" if linked else "cancelled"}


def _task(study_instance_uid: str, imaging_study: str, since: str) -> dict[str, Any]:
    return {
        "resourceType": "Task",
        "id": ids.task_id(study_instance_uid),
        "intent": "order",
        "priority": "routine",
        "code": {
            "coding": [{"system": SYSTEM, "code": CODE}],
            "text": "Find the patient of an imaging study",
        },
        "focus": {"reference": imaging_study},
        "authoredOn": since,
    }
