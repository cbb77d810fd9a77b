"""What must not be found in the texts of a copy, and the words that may stay in descriptions."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from adapters.dicom.studies.body_parts import body_site

_SHORTEST_ID = 4
_SHORTEST_NAME = 2
_WORD = re.compile(r"[^\W_]+")
_IDENTIFIERS: Final = frozenset(
    (
        *("PatientID", "AccessionNumber", "AdmissionID", "OtherPatientIDs", "MilitaryRank"),
        *("PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest"),
        *("RequestedProcedureID", "ScheduledProcedureStepID", "PerformedProcedureStepID"),
        *("StudyID", "PatientTelephoneNumbers", "PatientAddress", "IssuerOfPatientID"),
        *("MedicalRecordLocator", "ServiceEpisodeID", "PatientInsurancePlanCodeSequence"),
    )
)
_WORDS: Final = """
AND OF WITH WITHOUT W WO NO THE TO IN LEFT RIGHT BILATERAL L R AP PA LAT LATERAL OBLIQUE AXIAL
CORONAL SAGITTAL AX COR SAG TRA CT MR MRI US XR CR DX MG PET NM SPECT SCOUT LOCALIZER TOPOGRAM
SURVIEW CONTRAST NATIVE POST PRE PLAIN ARTERIAL VENOUS PORTAL DELAYED PHASE ANGIO CTA MRA
PERFUSION DIFFUSION DWI ADC FLAIR STIR T1 T2 PD T1W T2W TSE FSE SE GRE FS FATSAT DIXON SWI BOLD
FMRI MPR MIP VRT RECON STANDARD SOFT TISSUE BONE LUNG KERNEL THIN THICK SLICE SLICES HELICAL
SPIRAL ROUTINE LIMITED FOLLOW UP FOLLOWUP SCREENING DIAGNOSTIC LOW DOSE HIGH RESOLUTION HR HRCT
VIEW VIEWS STANDING SUPINE PRONE UPRIGHT INSPIRATION EXPIRATION WHOLE BODY UPPER LOWER SERIES
STUDY EXAM IMAGE IMAGES MM CM
"""
_DESCRIBING: Final = frozenset(_WORDS.split())


@dataclass(frozen=True, slots=True)
class Secrets:
    """What of an instance tells who the patient is: words of names, and strings of any place."""

    names: frozenset[str]
    strings: frozenset[str]

    def within(self, text: str) -> bool:
        """Return whether a text tells any of it."""
        folded = text.casefold()
        return any(one in folded for one in self.strings) or not self.names.isdisjoint(
            _WORD.findall(folded)
        )

    def within_bytes(self, value: bytes) -> bool:
        """Return whether bytes hold any of it, in UTF-8 or in 16 bits a character."""
        folded = value.lower()
        needles = (*self.strings, *(one for one in self.names if len(one) >= _SHORTEST_ID))
        return any(
            one.encode(codec) in folded for one in needles for codec in ("utf_8", "utf_16_le")
        )


def secrets_of(found: Dataset, *, dates: bool) -> Secrets:
    """Return the secrets of a data set; `dates` tells that its dates are some."""
    names: set[str] = set()
    strings: set[str] = set()
    for element in _elements(found):
        values = [text for value in _values(element) if (text := str(value).strip().casefold())]
        if element.VR == "PN":
            words = {word for text in values for word in _WORD.findall(text)}
            names |= {word for word in words if len(word) >= _SHORTEST_NAME and not word.isdigit()}
            strings |= {text for text in values if len(text) >= _SHORTEST_ID}
        elif element.VR in {"DA", "DT"} and dates:
            strings |= {text[:8] for text in values if text[:8].isdigit()}
        elif element.keyword in _IDENTIFIERS:
            strings |= {text for text in values if len(text) >= _SHORTEST_ID}
        elif element.VR == "UI":
            strings |= {text for text in values if not text.startswith("1.2.840.10008.")}
    return Secrets(frozenset(names), frozenset(strings))


def harmless(text: str, secrets: Secrets) -> str:
    """Return the words of a description that are known to describe, and small numbers."""
    kept = [word for word in _WORD.findall(text) if _describes(word)]
    cleaned = " ".join(kept)
    return "" if secrets.within(cleaned) else cleaned


def _describes(word: str) -> bool:
    if word.isdigit():
        return len(word) < _SHORTEST_ID
    return word.upper() in _DESCRIBING or "code" in body_site(word)


def _elements(found: Dataset) -> Iterator[DataElement]:
    for element in found:
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _elements(item)
        else:
            yield element


def _values(element: DataElement) -> Iterable[object]:
    value = element.value
    return value if isinstance(value, MultiValue) else () if value is None else (value,)
