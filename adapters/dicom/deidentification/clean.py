"""A data set made into one from which the patient cannot be told.

https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_E.1.1
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag

from adapters.dicom.dataset.identifier import UNICODE, tag_of
from adapters.dicom.deidentification.profile import (
    BASIC,
    CLEAN_PIXELS,
    EDITION,
    FULL_DATES,
    MEANINGS,
    MODIFIED_DATES,
    SAFE_PRIVATE,
    Action,
    action_of,
    actions,
    safe_private,
)
from adapters.dicom.deidentification.project import Project, shifted
from adapters.dicom.deidentification.words import Secrets, harmless, secrets_of

_CHARACTER_SET: Final = 0x00080005
_FILE_META: Final = 0x0002
_TEXT: Final = frozenset(("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
_NUMBERS: Final = frozenset(("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"))
_DUMMIES: Final[Mapping[str, Any]] = {
    "AE": "ANONYMOUS",
    "AS": "000Y",
    "CS": "ANONYMOUS",
    "DS": "0",
    "IS": "0",
    "TM": "000000",
    "UR": "about:blank",
    **dict.fromkeys(("LO", "LT", "SH", "ST", "UC", "UT"), "ANONYMOUS"),
    "PN": "ANONYMOUS",
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW"), b"\0" * 8),
}
# Dates that tell of the person and not of an event are not shifted (Table E.1-1).
_OF_PERSON: Final = frozenset(
    tag_of(name)
    for name in (
        "PatientBirthDate",
        "PatientBirthDateInAlternativeCalendar",
        "PatientDeathDateInAlternativeCalendar",
        "LastMenstrualDate",
        "PatientBirthTime",
    )
)
_NAMES: Final = frozenset((tag_of("PatientName"), tag_of("PatientID")))
# UIDs that name kinds of things and no instances.
_KINDS: Final = frozenset(
    tag_of(name)
    for name in (
        "CodingSchemeUID",
        "ContextUID",
        "MappingResourceUID",
        "ContextGroupExtensionCreatorUID",
        "ImplementationClassUID",
        "EncryptedContentTransferSyntaxUID",
    )
)


def cleaned(found: Dataset, project: Project, *, pixels_cleaned: bool = False) -> Dataset:
    """Return the data set, which is changed, as it may leave for the project.

    Pixel data is not looked at; `pixels_cleaned` tells what was done to it.
    """
    options = project.options
    patient = _patient(found)
    days = project.shift(patient)
    secrets = secrets_of(found, dates=FULL_DATES not in options)
    _Cleaner(project, project.pseudonym(patient), days, secrets).data_set(found)
    _state(found, options, pixels_cleaned=pixels_cleaned)
    return found


def _patient(found: Dataset) -> str:
    """Return what a patient is known by: the ID, else the study."""
    known = str(found.get("PatientID") or "").strip()
    return known or f"study {found.get('StudyInstanceUID', '')}"


def _state(found: Dataset, options: frozenset[str], *, pixels_cleaned: bool) -> None:
    """Say what was done (PS3.15, E.1.1; PS3.3, C.12.1.1.7)."""
    dates = FULL_DATES if FULL_DATES in options else MODIFIED_DATES
    applied = {BASIC, dates, *options} | ({CLEAN_PIXELS} if pixels_cleaned else set())
    found.SpecificCharacterSet = UNICODE
    found.PatientIdentityRemoved = "YES"
    found.DeidentificationMethod = [f"DICOM PS3.15 {EDITION} Annex E", "Sangam"]
    found.DeidentificationMethodCodeSequence = Items([_code(one) for one in sorted(applied)])
    found.LongitudinalTemporalInformationModified = (
        "UNMODIFIED" if dates == FULL_DATES else "MODIFIED"
    )
    if pixels_cleaned:
        found.BurnedInAnnotation = "NO"


def _code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "DCM"
    item.CodeMeaning = MEANINGS[value]
    return item


class _Cleaner:
    """A pass over one data set and the items in it."""

    def __init__(
        self,
        project: Project,
        pseudonym: str,
        days: int,
        secrets: Secrets,
    ) -> None:
        self._project = project
        self._actions = actions(project.options)
        self._pseudonym = pseudonym
        self._days = days
        self._secrets = secrets
        self._private = SAFE_PRIVATE in project.options

    def data_set(self, found: Dataset) -> None:
        """Change a data set or item."""
        for tag in sorted(found.keys()):
            if tag.is_private:
                stays = self._safe(found, tag)
            elif tag.element == 0 or tag.group == _FILE_META or tag == _CHARACTER_SET:
                stays = False
            else:
                stays = self._stays(found[tag])
            if not stays:
                del found[tag]

    def _safe(self, found: Dataset, tag: BaseTag) -> bool:
        """Return whether a private attribute, or the creator of one, may stay."""
        if not self._private:
            return False
        if tag.is_private_creator:
            return any(
                other.group == tag.group and other.element >> 8 == tag.element
                for other in sorted(found.keys())
                if not other.is_private_creator and self._listed(found, other)
            )
        return self._listed(found, tag) and self._plain(found[tag])

    def _listed(self, found: Dataset, tag: BaseTag) -> bool:
        creator = found.get((tag.group, tag.element >> 8))
        return creator is not None and safe_private(str(creator.value), int(tag))

    def _stays(self, element: DataElement) -> bool:
        """Change an element as is due, and return whether it stays."""
        action = action_of(self._actions, int(element.tag))
        if element.VR in {"DA", "DT"} and element.tag not in _OF_PERSON:
            self._each(element, lambda text: shifted(text, element.VR, self._days))
            return True
        if element.VR == "TM" and element.tag not in _OF_PERSON:
            return True
        if element.tag in _NAMES:
            element.value = self._pseudonym
            return True
        return self._done(element, action)

    def _done(self, element: DataElement, action: Action | None) -> bool:
        if action is Action.REMOVE:
            return False
        if action is Action.EMPTY:
            element.value = Items() if element.VR == "SQ" else None
        elif action is Action.DUMMY and element.VR != "UI":
            element.value = _dummy(element)
        elif action is Action.CLEAN and element.VR != "SQ":
            self._each(element, lambda text: harmless(text, self._secrets))
        else:
            return self._plain(element)
        return True

    def _plain(self, element: DataElement) -> bool:
        """Look into an element that may stay; return whether nothing forbids it."""
        if element.VR == "SQ":
            for item in element.value or ():
                self.data_set(item)
        elif element.VR == "UI":
            if not _names_kind(element):
                self._each(element, self._project.uid)
        elif element.VR in _TEXT:
            self._each(element, lambda text: "" if self._secrets.within(text) else text)
        elif element.VR == "CS":
            codes = self._secrets.strings
            self._each(element, lambda text: "" if text.casefold() in codes else text)
        elif isinstance(element.value, bytes):
            return element.VR != "UN" and not self._secrets.within_bytes(element.value)
        return element.VR != "UN"

    def _each(self, element: DataElement, change: Callable[[str], str]) -> None:
        """Change each value of an element."""
        value = element.value
        if isinstance(value, MultiValue):
            element.value = [change(str(one)) for one in value]
        elif value is not None:
            element.value = change(str(value))


def _dummy(element: DataElement) -> Any:  # noqa: ANN401  (a value of its VR)
    """Return a value of the element's VR that says nothing."""
    if element.VR == "SQ":
        return Items([_nothing()] if element.keyword.endswith("CodeSequence") else [])
    return 0 if element.VR in _NUMBERS else _DUMMIES.get(element.VR)


def _nothing() -> Dataset:
    item = Dataset()
    item.CodeValue = "ANONYMOUS"
    item.CodingSchemeDesignator = "99SANGAM"
    item.CodeMeaning = "Anonymous"
    return item


def _names_kind(element: DataElement) -> bool:
    kind = "SOPClass" in element.keyword or "TransferSyntax" in element.keyword
    return kind or element.tag in _KINDS
