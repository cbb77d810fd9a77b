"""FHIR codings and identifiers as items of DICOM sequences.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_8.8
https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_10.14
"""

from collections.abc import Iterable, Mapping
from typing import Any

from adapters.dicom.dataset.codes import SCHEMES
from adapters.dicom.worklist.order import Json, words
from adapters.dicom.worklist.values import text

_OID = "urn:oid:"
_LOCAL = "L"
_SHORT = 16
_LONGEST = 64

Item = dict[str, list[Any]]


def item(coding: Mapping[str, Any], meaning: str = "") -> Item | None:
    """Return a coded entry, None where the coding has no code that fits.

    What has no scheme of its own in DICOM is of the local scheme `L`. The meaning is the
    coding's display, else `meaning`, else the code.
    """
    value = str(coding.get("code") or "").strip()
    if not value or "\\" in value or len(value) > _LONGEST:
        return None
    system = str(coding.get("system") or "")
    made: Item = {"CodeValue" if len(value) <= _SHORT else "LongCodeValue": [value]}
    made["CodingSchemeDesignator"] = [SCHEMES.get(system, _LOCAL)]
    if system not in SCHEMES and system.startswith(_OID):
        made["CodingSchemeUID"] = [system.removeprefix(_OID)]
    made["CodeMeaning"] = text("LO", coding.get("display") or meaning or value)
    return made


def first_item(concept: Json | None) -> list[Item]:
    """Return the coded entry of a concept, of a scheme that DICOM knows if there is one."""
    codings = (concept or {}).get("coding", ())
    known = [one for one in codings if one.get("system") in SCHEMES]
    made = (item(one, words(concept)) for one in [*known, *codings])
    return [one for one in made if one][:1]


def items(concepts: Iterable[Json]) -> list[Item]:
    """Return the coded entries of several concepts."""
    return [one for concept in concepts for one in first_item(concept)]


def universal(system: str) -> Item:
    """Return the universal entity id and its type of an identifier system, {} without one."""
    if system.startswith(_OID):
        return {"UniversalEntityID": [system.removeprefix(_OID)], "UniversalEntityIDType": ["ISO"]}
    if system.startswith("urn:uuid:"):
        uuid = system.removeprefix("urn:uuid:")
        return {"UniversalEntityID": [uuid], "UniversalEntityIDType": ["UUID"]}
    if system and "\\" not in system:
        return {"UniversalEntityID": [system], "UniversalEntityIDType": ["URI"]}
    return {}


def issuer(system: str, names: Mapping[str, str]) -> list[Item]:
    """Return the assigning authority of a system (PS3.3, 10.14), none where it has none.

    `names` are local names of systems.
    """
    made = universal(system)
    if name := names.get(system):
        made = {"LocalNamespaceEntityID": [name], **made}
    return [made] if made else []
