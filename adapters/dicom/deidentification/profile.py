"""What becomes of each attribute, by the Basic Profile and its options.

`profile_2026c.json` is the column of the Basic Profile of Table E.1-1, edition 2026c. Where it
leaves a choice (X/Z, X/D...) the data set's type decides, which is not looked at: the choice
that leaves the attribute in is taken, with a value that says nothing.

https://dicom.nema.org/medical/dicom/current/output/html/part15.html#table_E.1-1
"""

import json
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from pydicom.datadict import dictionary_has_tag, keyword_for_tag, tag_for_keyword

EDITION: Final = "2026c"

BASIC: Final = "113100"
CLEAN_PIXELS: Final = "113101"
CLEAN_DESCRIPTORS: Final = "113105"
FULL_DATES: Final = "113106"
MODIFIED_DATES: Final = "113107"
PATIENT: Final = "113108"
DEVICE: Final = "113109"
UIDS: Final = "113110"
SAFE_PRIVATE: Final = "113111"
INSTITUTION: Final = "113112"

MEANINGS: Final[Mapping[str, str]] = {
    BASIC: "Basic Application Confidentiality Profile",
    CLEAN_PIXELS: "Clean Pixel Data Option",
    CLEAN_DESCRIPTORS: "Clean Descriptors Option",
    FULL_DATES: "Retain Longitudinal Temporal Information Full Dates Option",
    MODIFIED_DATES: "Retain Longitudinal Temporal Information Modified Dates Option",
    PATIENT: "Retain Patient Characteristics Option",
    DEVICE: "Retain Device Identity Option",
    UIDS: "Retain UIDs Option",
    SAFE_PRIVATE: "Retain Safe Private Option",
    INSTITUTION: "Retain Institution Identity Option",
}
"""The profile and its options that can be applied (PS3.16, CID 7050)."""

CHOICES: Final = frozenset(MEANINGS) - {BASIC, CLEAN_PIXELS, MODIFIED_DATES}
"""The options that a project chooses: dates are shifted unless they are retained, pixels are
cleaned by rectangles that an export names."""


class Action(Enum):
    """What is done with an attribute; `CLEAN` keeps its text as far as it is harmless."""

    KEEP = "K"
    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"
    CLEAN = "C"


_CHOSEN = {
    "D": Action.DUMMY,
    "Z": Action.EMPTY,
    "X": Action.REMOVE,
    "U": Action.UID,
    "Z/D": Action.DUMMY,
    "X/Z": Action.EMPTY,
    "X/D": Action.DUMMY,
    "X/Z/D": Action.DUMMY,
    "X/Z/U*": Action.KEEP,
}

# What the options keep, of those attributes that the Basic Profile does not.
_RETAINED: Final = {
    PATIENT: (
        "PatientSex PatientAge PatientSize PatientSizeCodeSequence PatientWeight EthnicGroup "
        "EthnicGroupCodeSequence SmokingStatus PregnancyStatus PatientSexNeutered"
    ),
    DEVICE: (
        "StationName DeviceSerialNumber DeviceUID GantryID GeneratorID DetectorID PlateID "
        "CassetteID ScheduledStationAETitle ScheduledStationName PerformedStationAETitle "
        "PerformedStationName PerformedStationNameCodeSequence XRaySourceID XRayDetectorID "
        "SourceSerialNumber TreatmentMachineName UDISequence ManufacturerDeviceIdentifier "
        "DeviceAlternateIdentifier"
    ),
    INSTITUTION: (
        "InstitutionName InstitutionAddress InstitutionCodeSequence InstitutionalDepartmentName "
        "InstitutionalDepartmentTypeCodeSequence"
    ),
}
_DESCRIPTORS: Final = (
    "StudyDescription SeriesDescription ProtocolName PerformedProcedureStepDescription "
    "RequestedProcedureDescription ContrastBolusAgent AcquisitionProtocolDescription "
    "AcquisitionDeviceProcessingDescription DerivationDescription "
    "ScheduledProcedureStepDescription ReasonForTheRequestedProcedure"
)
# The tree of a report is walked and not replaced, so its texts are.
_IN_TREES: Final = {"ContentSequence": Action.KEEP, "TextValue": Action.DUMMY}


# By creator and group, the low bytes of elements (Table E.3.10-1: dose, diffusion, scan geometry).
_SAFE_PRIVATE: Final[Mapping[tuple[str, int], frozenset[int]]] = {
    ("ELSCINT1", 0x00E1): frozenset((0x21,)),
    ("ELSCINT1", 0x01E1): frozenset((0x26, 0x50)),
    ("GEMS_ACQU_01", 0x0019): frozenset((0x23, 0x24, 0x27)),
    ("GEMS_HELIOS_01", 0x0045): frozenset((0x01, 0x02)),
    ("GEMS_PARM_01", 0x0043): frozenset((0x27, 0x39)),
    ("Philips Imaging DD 001", 0x2001): frozenset((0x03, 0x04)),
    ("Philips PET Private Group", 0x7053): frozenset((0x00, 0x09)),
    ("SIEMENS MR HEADER", 0x0019): frozenset((0x0C, 0x0D, 0x0E, 0x27)),
}


def safe_private(creator: str, tag: int) -> bool:
    """Return whether a private attribute is known to tell nothing of the patient."""
    return tag & 0xFF in _SAFE_PRIVATE.get((creator, tag >> 16), frozenset())


def actions(options: Iterable[str]) -> Mapping[int, Action]:
    """Return the action of each attribute that these options do not leave as it is."""
    chosen = dict(_basic())
    chosen |= {_tag(name): action for name, action in _IN_TREES.items()}
    for option in options:
        for name in _RETAINED.get(option, "").split():
            chosen[_tag(name)] = Action.KEEP
    if CLEAN_DESCRIPTORS in options:
        chosen |= {_tag(name): Action.CLEAN for name in _DESCRIPTORS.split()}
    return chosen


def action_of(chosen: Mapping[int, Action], tag: int) -> Action | None:
    """Return the action of a tag, None for an attribute that may stay.

    What the dictionary does not know may hold anything, and goes (E.1.1). Private attributes
    are not asked for here.
    """
    if tag in chosen:
        return chosen[tag]
    masked = f"{tag >> 16:04X}"[:2] + f"xx{tag & 0xFFFF:04X}"
    if masked in _repeating() or f"{masked[:4]}xxxx" in _repeating():
        return Action.REMOVE
    return None if dictionary_has_tag(tag) or keyword_for_tag(tag) else Action.REMOVE


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    text = files(__package__).joinpath(f"profile_{EDITION}.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


@lru_cache(maxsize=1)
def _basic() -> Mapping[int, Action]:
    listed: dict[str, str] = _table()["actions"]
    return {
        int(tag, 16): _CHOSEN[action] for action, tags in listed.items() for tag in tags.split()
    }


def _repeating() -> Mapping[str, str]:
    found: dict[str, str] = _table()["repeating"]
    return found


def _tag(name: str) -> int:
    tag = tag_for_keyword(name)
    assert tag is not None, name
    return int(tag)
