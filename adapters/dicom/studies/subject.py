"""Who a study is of: found by its Patient ID, other ids, or order, or chosen by an operator.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.2.2
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from adapters.dicom.dataset.attributes import Attributes, text
from adapters.dicom.studies import ids
from adapters.dicom.studies.matched import (
    AMBIGUOUS,
    ANONYMOUS,
    CHOSEN,
    CONFLICT,
    CREATED,
    HELD,
    LINKED,
    PHANTOM,
)
from adapters.dicom.studies.patients import (
    Issuers,
    contradicts,
    held,
    identifier,
    is_person,
    is_phantom,
    other_identifiers,
    patient,
    phantom,
)
from adapters.dicom.studies.reading import Json, literal, read, search, survivor, tokens
from fhir_server.config import Settings
from fhir_server.database import Connection
from fhir_server.dicom_settings import DicomSettings
from fhir_server.interactions.entry import Entry
from fhir_server.server import Server


@dataclass(frozen=True, slots=True)
class Subject:
    """What a study says of its patient, and what is to be written for it.

    `match` is linked, created, chosen (by an operator), phantom, held (no such Patient),
    conflict (the one contradicts), ambiguous (several), anonymous (the id names nobody) or
    mixed (its instances name several). `patient` is the Patient that is shown, `matched` what
    was found before merges were followed.
    """

    match: str
    reference: Json
    patient: Json | None = None
    matched: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """Patients that something leads to: as they are found, and those they were merged into."""

    matched: tuple[str, ...]
    patients: tuple[Json, ...]


async def subject(
    server: Server,
    connection: Connection,
    attributes: Attributes,
    orders: Sequence[Json],
    *,
    told: str | None = None,
    link: str | None = None,
    corrected: bool = False,
) -> Subject:
    """Find the subject of a study.

    `orders` are the ServiceRequests that its UID or accession number leads to, `told` is the
    Patient that who announced the study names, `link` the one that an operator chose. An id that
    an operator `corrected` goes before what was ordered for another.
    """
    if link and (chosen := await _survivors(server, connection, [link])).patients:
        return _linked(CHOSEN, chosen)
    if is_phantom(attributes):
        return Subject(PHANTOM, phantom(attributes))
    issuers = agreed_issuers(server.settings.dicom)
    own = identifier(attributes, issuers)
    if not is_person(attributes):
        return Subject(HELD, held(attributes, own))
    by_id = await _by_ids(server, connection, attributes, own, issuers)
    subjects = [told or "", *map(_subject_of, orders)]
    if by_id:
        asked = () if corrected else filter(None, subjects)
        ordered = await _survivors(server, connection, asked)
        return _decided(attributes, own, by_id, ordered)
    subjects = [told] if told else subjects
    by_order = await _survivors(server, connection, filter(None, subjects))
    if by_order.patients:
        return _by_order(attributes, own, by_order, issuers)
    return _unknown(server, attributes, own, issuers)


async def _by_ids(
    server: Server,
    connection: Connection,
    attributes: Attributes,
    own: Json | None,
    issuers: Issuers,
) -> _Found | None:
    """Return the Patients that have the id, else those that have one of the other ids."""
    for wanted in ([own] if own else [], other_identifiers(attributes, issuers)):
        usable = [one for one in wanted if "system" in one]
        if not usable:
            continue
        url = f"Patient?identifier={tokens(usable)}&_count=10"
        found = await search(server, connection, url)
        if found:
            return await _followed(server, connection, found)
    return None


async def _survivors(server: Server, connection: Connection, literals: Iterable[str]) -> _Found:
    asked = [await read(server, connection, one) for one in dict.fromkeys(literals)]
    return await _followed(server, connection, [one for one in asked if one])


async def _followed(server: Server, connection: Connection, found: Sequence[Json]) -> _Found:
    last = [await survivor(server, connection, one) for one in found]
    distinct = {literal(one): one for one in last}
    return _Found(tuple(sorted(map(literal, found))), tuple(distinct.values()))


def _decided(
    attributes: Attributes, own: Json | None, found: _Found, ordered: _Found | None = None
) -> Subject:
    """Return the one Patient that was found, if nothing contradicts, nor who was `ordered` for."""
    if len(found.patients) > 1:
        return Subject(AMBIGUOUS, held(attributes, own), matched=found.matched)
    others = {literal(one) for one in (ordered.patients if ordered else ())}
    if others - {literal(found.patients[0])} or contradicts(attributes, found.patients[0]):
        return Subject(CONFLICT, held(attributes, own), matched=found.matched)
    return _linked(LINKED, found)


def _by_order(attributes: Attributes, own: Json | None, found: _Found, issuers: Issuers) -> Subject:
    """Return the patient of the order, unless the Patient ID is somebody else's.

    An id without issuer, as it came from our worklist, may be one of any system.
    """
    said = identifier(attributes, replace(issuers, default=""))
    if said and not all(_has(known, said) for known in found.patients):
        return Subject(CONFLICT, held(attributes, own), matched=found.matched)
    return _decided(attributes, own, found)


def _linked(match: str, found: _Found) -> Subject:
    known = found.patients[0]
    return Subject(match, {"reference": literal(known)}, known, found.matched)


def _unknown(server: Server, attributes: Attributes, own: Json | None, issuers: Issuers) -> Subject:
    if own is None:
        return Subject(ANONYMOUS, held(attributes, None))
    if "system" not in own or not creates(server.settings):
        return Subject(HELD, held(attributes, own))
    urn = ids.urn("patient")
    entry = Entry(
        "POST",
        "Patient",
        patient(attributes, own, issuers, ZoneInfo(server.settings.dicom.timezone)),
        full_url=urn,
        if_none_exist=f"identifier={tokens([own])}",
    )
    return Subject(CREATED, {"reference": urn}, entries=(entry,))


def _subject_of(order: Json) -> str:
    reference = str(order.get("subject", {}).get("reference", ""))
    return reference if reference.startswith("Patient/") else ""


def _has(known: Json, own: Json) -> bool:
    """Return whether a Patient has an identifier; one without system is known by its value."""
    return any(
        one.get("value") == own["value"] and one.get("system") == own.get("system", one["system"])
        for one in known.get("identifier", ())
        if "system" in one
    )


def names_several(several: Iterable[Attributes]) -> bool:
    """Return whether instances of one study have different Patient IDs, issuers or birth dates."""
    said = [
        (text(one, "PatientID"), text(one, "IssuerOfPatientID"), text(one, "PatientBirthDate"))
        for one in several
    ]
    return any(len({*values} - {""}) > 1 for values in zip(*said, strict=True))


def agreed_issuers(settings: DicomSettings) -> Issuers:
    """Return what the settings say about Patient IDs."""
    return Issuers(settings.issuers, settings.patient_id_system, settings.anonymous_ids)


def creates(settings: Settings) -> bool:
    """Return whether a study of an unknown patient makes a Patient."""
    return (settings.dicom.unknown_patient or ("create" if settings.demo else "hold")) == "create"
