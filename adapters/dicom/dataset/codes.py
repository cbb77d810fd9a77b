"""Coded entries and their schemes as FHIR codings.

https://dicom.nema.org/medical/dicom/current/output/html/part16.html#chapter_8
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from adapters.dicom.dataset.attributes import Attributes, text
from adapters.dicom.dataset.retired_ids import RETIRED

DCM = "http://dicom.nema.org/resources/ontology/DCM"
SCT = "http://snomed.info/sct"

# Theirs are no ids of SNOMED CT; those that the table does not know stay text.
RETIRED_SCHEMES = frozenset(("SRT", "SNM3", "99SDM"))
_SYSTEMS = {
    "SCT": SCT,
    "LN": "http://loinc.org",
    "UCUM": "http://unitsofmeasure.org",
    "DCM": DCM,
    "RPID": "http://radlex.org",
    "RADLEX": "http://radlex.org",
    "I10C": "http://hl7.org/fhir/sid/icd-10-cm",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "C4": "http://www.ama-assn.org/go/cpt",
    "FMA": "urn:oid:2.16.840.1.113883.6.119",
}

SCHEMES = {system: scheme for scheme, system in _SYSTEMS.items()}
"""The coding scheme designator of a code system."""


_NO_SCHEMES: Mapping[str, str] = MappingProxyType({})


def coding(item: Attributes, local: Mapping[str, str] = _NO_SCHEMES) -> dict[str, Any] | None:
    """Return the Coding of a coded entry, None when its scheme is not known.

    The value is short, long or a URN (PS3.3, Table 8.8-1). `local` has systems of designators
    that are agreed with who sends, such as 99LOCAL.
    """
    scheme_uid = text(item, "CodingSchemeUID")
    designator = text(item, "CodingSchemeDesignator")
    system = _SYSTEMS.get(designator) or local.get(designator)
    if system is None and scheme_uid:
        system = f"urn:oid:{scheme_uid}"
    value = next(
        (v for key in ("CodeValue", "LongCodeValue", "URNCodeValue") if (v := text(item, key))), ""
    )
    if designator in RETIRED_SCHEMES:
        system, value = SCT, RETIRED.get(value, "")
    if not system or not value:
        return None
    coded: dict[str, Any] = {"system": system, "code": " ".join(value.split())}
    if meaning := text(item, "CodeMeaning"):
        coded["display"] = meaning
    return coded


def concept(item: Attributes, local: Mapping[str, str] = _NO_SCHEMES) -> dict[str, Any] | None:
    """Return the CodeableConcept of a coded entry, None when it says nothing."""
    said: dict[str, Any] = {}
    if coded := coding(item, local):
        said["coding"] = [coded]
    if meaning := text(item, "CodeMeaning"):
        said["text"] = meaning
    return said or None
