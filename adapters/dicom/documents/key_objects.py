"""Key Object Selections: what they select, and whether they reject it.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.17.6
https://dicom.nema.org/medical/dicom/current/output/html/part16.html#sect_CID_7011
"""

from dataclasses import dataclass

from adapters.dicom.dataset.attributes import Attributes, items, text
from adapters.dicom.documents.tree import named

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"

REJECTIONS = {
    "DCM:113001": "113001",  # Rejected for Quality Reasons
    "DCM:113037": "113037",  # Rejected for Patient Safety Reasons
    "DCM:113038": "113038",  # Incorrect Modality Worklist Entry
    "DCM:113039": "113039",  # Data Retention Policy Expired
}


@dataclass(frozen=True, slots=True)
class Selected:
    """An instance that is selected, where it was when it was."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class KeyObjects:
    """A selection: its title as `scheme:value`, and the instances.

    `rejection` is the code of a rejection note (DCM), "" for any other selection.
    """

    title: str
    rejection: str
    instances: tuple[Selected, ...]


def key_objects(document: Attributes) -> KeyObjects | None:
    """Return what a Key Object Selection selects; None of any other document.

    The instances are those of the evidence (0040,A375), which names all of them.
    """
    if text(document, "SOPClassUID") != KEY_OBJECT_SELECTION:
        return None
    title = named(next(iter(items(document, "ConceptNameCodeSequence")), {}))
    instances = tuple(
        Selected(
            text(study, "StudyInstanceUID"),
            text(series, "SeriesInstanceUID"),
            text(one, "ReferencedSOPClassUID"),
            uid,
        )
        for study in items(document, "CurrentRequestedProcedureEvidenceSequence")
        for series in items(study, "ReferencedSeriesSequence")
        for one in items(series, "ReferencedSOPSequence")
        if (uid := text(one, "ReferencedSOPInstanceUID"))
    )
    return KeyObjects(title, REJECTIONS.get(title, ""), instances)
