"""Which of several orders a performed procedure step speaks of.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_K.6.1.2.2
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from adapters.dicom.dataset.attributes import Attributes, items, text
from adapters.dicom.mpps.content import scheduled
from adapters.dicom.mpps.procedure import DICOM_UID
from adapters.dicom.studies.patients import universal_system
from adapters.dicom.worklist.order import is_typed

Json = dict[str, Any]

_ISSUERS: Final = "IssuerOfAccessionNumberSequence"
_NUMBERS: Final = ("PLAC", "FILL")


def tokens(attributes: Attributes) -> list[str]:
    """Return the identifiers, as search tokens, by which orders are looked for."""
    found: dict[str, None] = {}
    for item in scheduled(attributes):
        if uid := text(item, "StudyInstanceUID"):
            found[f"{DICOM_UID}|urn:oid:{uid}"] = None
        for one in _numbers(item):
            found[one] = None
    return list(found)


def _numbers(item: Attributes) -> Iterator[str]:
    for keyword in _OF_ORDER:
        if value := text(item, keyword):
            yield value


_OF_ORDER = (
    "AccessionNumber",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
)


def meant(attributes: Attributes, candidates: Iterable[Json]) -> list[Json]:
    """Return the orders that the step speaks of, of those that have one of its identifiers.

    Each scheduled step decides by itself: the pre-assigned study UID first, then the
    accession number within its issuer, then placer and filler number. An accession number
    without issuer counts only where one order has it.
    """
    known = list(candidates)
    found: dict[str, Json] = {}
    for item in scheduled(attributes):
        for order in _of_step(item, known):
            found[str(order["id"])] = order
    return list(found.values())


def _of_step(item: Attributes, known: Sequence[Json]) -> list[Json]:
    uid = f"urn:oid:{text(item, 'StudyInstanceUID')}"
    by_uid = [one for one in known if _has(one, uid, system=DICOM_UID)]
    if by_uid:
        return _of_procedure(item, by_uid)
    accession = text(item, "AccessionNumber")
    if accession and (by_accession := _by_accession(item, accession, known)):
        return _of_procedure(item, by_accession)
    numbers = [(kind, text(item, key)) for kind, key in zip(_NUMBERS, _OF_ORDER[1:], strict=True)]
    by_number = [
        one for one in known if any(value and _has(one, value, kind) for kind, value in numbers)
    ]
    return by_number if len(by_number) == 1 else []


def _by_accession(item: Attributes, accession: str, known: Sequence[Json]) -> list[Json]:
    issuer = next(iter(items(item, _ISSUERS)), {})
    universal = text(issuer, "UniversalEntityID")
    system = universal_system(universal, text(issuer, "UniversalEntityIDType"))
    if system:
        return [one for one in known if _has(one, accession, "ACSN", system)]
    if universal or text(issuer, "LocalNamespaceEntityID"):
        return []  # It is a number of somebody whom we do not know.
    found = [one for one in known if _has(one, accession, "ACSN")]
    return found if len(found) == 1 else []


def _of_procedure(item: Attributes, found: list[Json]) -> list[Json]:
    """Return those of the requested procedure if it is among several of one study."""
    procedure = text(item, "RequestedProcedureID")
    of_it = [one for one in found if _has(one, procedure)] if procedure else []
    return of_it or found


def _has(order: Json, value: str, kind: str = "", system: str = "") -> bool:
    return any(
        one.get("value") == value
        and (not kind or is_typed(one, kind))
        and (not system or one.get("system") == system)
        for one in order.get("identifier", ())
    )
