"""The resources that a study is tied to: orders, people, devices, places; asked for and read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from adapters.dicom.address import dicomweb, viewer
from adapters.dicom.dataset.attributes import Attributes, items, text
from adapters.dicom.studies import devices, endpoint, ids
from adapters.dicom.studies.expected import Expected
from adapters.dicom.studies.found import Found, Rules, Token, person_tokens
from adapters.dicom.studies.imaging_study import (
    accessions,
    by_series,
    has_issuer,
    location_name,
    study_identifier,
)
from adapters.dicom.studies.matched import UNMATCHED
from adapters.dicom.studies.patients import universal_system
from adapters.dicom.studies.reading import (
    Json,
    literal,
    location,
    only,
    read,
    search,
    token,
    tokens,
)
from adapters.dicom.studies.series import Instance, merged
from adapters.dicom.studies.subject import Subject
from fhir_server.database import Connection
from fhir_server.dicom_settings import DicomSettings
from fhir_server.interactions.entry import Entry
from fhir_server.server import Server

_ORDER_TYPES = frozenset(("ACSN", "PLAC", "FILL"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is asked, and of which study."""

    server: Server
    connection: Connection
    study: str


def rules_of(settings: DicomSettings) -> Rules:
    """Return what the settings say of the projection."""
    return Rules(
        ZoneInfo(settings.timezone),
        settings.keep_study_id,
        settings.max_shown_instances,
        settings.coding_schemes,
        settings.laterality_codes,
        settings.issuers,
    )


async def announced(place: Place, said: Sequence[Attributes], told: Expected) -> list[Json]:
    """Return the orders that are the study's whoever its patient is.

    These are those of who announced it, of the pre-assigned Study Instance UID, and of
    accession numbers whose issuer is known.
    """
    found = [await read(place.server, place.connection, one) for one in told.requests]
    settings = place.server.settings.dicom
    numbers = [
        {"system": one.get("system", ""), "value": one["value"]}
        if has_issuer(one)
        else {"system": settings.accession_system, "value": one["value"]}
        for one in accessions(said, settings.issuers)
    ]
    wanted = [study_identifier(place.study), *(one for one in numbers if one["system"])]
    url = f"ServiceRequest?identifier={tokens(wanted)}"
    found += [one for one in await search(place.server, place.connection, url) if _is_named(one)]
    return list({literal(one): one for one in found if one}.values())


async def orders(
    place: Place, said: Sequence[Attributes], known: Sequence[Json], subject: Subject
) -> tuple[Json, ...]:
    """Return the orders of the study, which are its patient's.

    An accession number without issuer is that of an order if the patient has exactly one. As
    long as nobody knows the patient, none is: an order would tell whose the study is.
    """
    if subject.match in UNMATCHED:
        return ()
    own = {*subject.matched, *([literal(subject.patient)] if subject.patient else [])}
    found = [one for one in known if str(one.get("subject", {}).get("reference", "")) in own]
    named = {str(one.get("value")) for order in found for one in order.get("identifier", ())}
    for one in accessions(said, place.server.settings.dicom.issuers):
        if not has_issuer(one) and one["value"] not in named and own:
            patients = ",".join(sorted(own))
            url = f"ServiceRequest?identifier={token('', one['value'])}&subject={patients}"
            fitting = list(
                filter(_is_named, await search(place.server, place.connection, f"{url}&_count=5"))
            )
            found += fitting if len(fitting) == 1 else []
    return tuple({literal(one): one for one in found}.values())


def _is_named(order: Json) -> bool:
    """Return whether an order has an identifier of a kind that images carry, or of no kind."""
    kinds = [
        {coding.get("code") for coding in one.get("type", {}).get("coding", ())}
        for one in order.get("identifier", ())
    ]
    return any(not each or each & _ORDER_TYPES for each in kinds)


async def found(
    place: Place,
    said: Attributes,
    instances: Sequence[Instance],
    subject: Subject,
    ordered: tuple[Json, ...],
    told: Expected,
) -> tuple[Found, list[Entry]]:
    """Return what the study is tied to, and what is to be written for that."""
    made, by_key = _devices(instances)
    people = await _people(place, [said, *(one.attributes for one in instances)])
    written = await _endpoints(place)
    where = location_name(said)
    ties = Found(
        subject=subject.reference,
        orders=ordered,
        encounter=await _encounter(place, said, subject, ordered, told),
        procedures=told.procedures,
        people=people,
        devices=by_key,
        location=await location(place.server, place.connection, where) if where else None,
        endpoint=endpoint.REFERENCE,
        viewer=endpoint.VIEWER,
    )
    return ties, [*made, *written]


def _devices(instances: Sequence[Instance]) -> tuple[list[Entry], dict[str, str]]:
    entries, references = [], {}
    for _, of in by_series(instances):
        said = merged([one.attributes for one in of])
        key, resource = devices.key(said), devices.device(said)
        if resource is None or key in references:
            continue
        references[key] = ids.urn(f"device {key}")
        condition = f"identifier={token(devices.SYSTEM, key)}"
        entries.append(
            Entry("POST", "Device", resource, full_url=references[key], if_none_exist=condition)
        )
    return entries, references


async def _people(place: Place, several: Iterable[Attributes]) -> dict[Token, str]:
    schemes = place.server.settings.dicom.coding_schemes
    wanted = {one for said in several for one in person_tokens(said, schemes)}
    if not wanted:
        return {}
    asked = tokens({"system": system, "value": value} for system, value in sorted(wanted))
    url = f"Practitioner?identifier={asked}&_count=100"
    return {
        (str(one.get("system", "")), str(one.get("value", ""))): literal(practitioner)
        for practitioner in await search(place.server, place.connection, url)
        for one in practitioner.get("identifier", ())
    }


async def _endpoints(place: Place) -> list[Entry]:
    """Return the writes of the Endpoints that are not as they should be."""
    settings, base = place.server.settings.dicom, place.server.base
    wanted = {
        endpoint.REFERENCE: endpoint.endpoint(dicomweb(settings, base)),
        endpoint.VIEWER: endpoint.viewer(viewer(settings, base)),
    }
    present = {one: await read(place.server, place.connection, one) for one in wanted}
    return [
        Entry("PUT", reference, resource)
        for reference, resource in wanted.items()
        if (present[reference] or {}).get("address") != resource["address"]
    ]


async def _encounter(
    place: Place, said: Attributes, subject: Subject, ordered: Sequence[Json], told: Expected
) -> str | None:
    """Return the Encounter of the order, else the patient's of the Admission ID."""
    references = [str(one.get("encounter", {}).get("reference", "")) for one in ordered]
    expected = told.encounter if subject.match not in UNMATCHED else None
    for one in (*references, expected or ""):
        if one.startswith("Encounter/"):
            return one
    admission = text(said, "AdmissionID")
    if not admission or subject.patient is None:
        return None
    issuer = next(iter(items(said, "IssuerOfAdmissionIDSequence")), {})
    system = universal_system(
        text(issuer, "UniversalEntityID"), text(issuer, "UniversalEntityIDType")
    )
    url = f"Encounter?identifier={token(system, admission)}&subject={literal(subject.patient)}"
    return only(await search(place.server, place.connection, f"{url}&_count=2"))
