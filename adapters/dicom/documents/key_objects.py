"""Key Object Selections: what they select, and whether they reject it.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.17.6
"""

from dataclasses import dataclass

from adapters.dicom.dataset.attributes import Attributes, items, text
from adapters.dicom.dataset.rejections import KEY_OBJECTS, TITLES
from adapters.dicom.documents.tree import named


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
    if text(document, "SOPClassUID") != KEY_OBJECTS:
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
    scheme, _, code = title.partition(":")
    rejection = code if scheme == "DCM" and code in TITLES else ""
    return KeyObjects(title, rejection, instances)
