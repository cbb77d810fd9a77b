"""What the FHIR server knows of a document's study: whose it is, and what asked for it."""

from collections.abc import Iterable

from adapters.dicom.address import dicomweb
from adapters.dicom.dataset.attributes import Attributes, items, text
from adapters.dicom.documents.draft import Json, Surroundings, oid, zone_of
from adapters.dicom.documents.rows import Stored
from adapters.dicom.studies import reading
from adapters.dicom.studies.ids import imaging_study_id
from fhir_server.database import Connection
from fhir_server.server import Server

_V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
_ORDER_NUMBERS = (
    ("AccessionNumber", "ACSN"),
    ("PlacerOrderNumberImagingServiceRequest", "PLAC"),
    ("FillerOrderNumberImagingServiceRequest", "FILL"),
)


async def surroundings(
    server: Server, connection: Connection, document: Attributes, one: Stored
) -> Surroundings | None:
    """Return what surrounds a document; None while its study has no ImagingStudy.

    The subject is that of the ImagingStudy, so that a report follows its images to another
    patient.
    """
    study = await _imaging_study(server, connection, one.study_instance_uid)
    if study is None:
        return None
    settings = server.settings.dicom
    subject = dict(study.get("subject", {}))
    return Surroundings(
        subject=subject,
        zone=zone_of(document, one.attributes, settings.timezone),
        received=one.received_at.isoformat(timespec="milliseconds"),
        endpoint=dicomweb(settings, server.base),
        study={"reference": reading.literal(study)},
        encounter=study.get("encounter"),
        based_on=await _orders(server, connection, document, study),
        procedures=await _procedures(server, connection, document, study),
        modalities=tuple(str(one.get("code")) for one in study.get("modality", ())),
        dose_codes=(settings.dose_report_code, settings.dose_event_code),
    )


async def _imaging_study(server: Server, connection: Connection, study: str) -> Json | None:
    """Return the ImagingStudy of a study, by the id that it is made under, else by its UID."""
    own = await reading.read(server, connection, f"ImagingStudy/{imaging_study_id(study)}")
    if own is not None:
        return own
    identifier = oid(study)
    wanted = reading.token(identifier["system"], identifier["value"])
    found = await reading.search(server, connection, f"ImagingStudy?identifier={wanted}&_count=2")
    return found[0] if len(found) == 1 else None


async def _procedures(
    server: Server, connection: Connection, document: Attributes, study: Json
) -> tuple[Json, ...]:
    """Return the procedures whose MPPS the document names, else that of the study."""
    uids = [
        uid
        for one in items(document, "ReferencedPerformedProcedureStepSequence")
        if (uid := text(one, "ReferencedSOPInstanceUID"))
    ]
    if uids:
        url = f"Procedure?identifier={reading.tokens(map(oid, uids))}&_count=10"
        found = await reading.search(server, connection, url)
        if found:
            return tuple({"reference": reading.literal(one)} for one in found)
    own = study.get("procedureReference")
    return (own,) if own else ()


async def _orders(
    server: Server, connection: Connection, document: Attributes, study: Json
) -> tuple[Json, ...]:
    """Return the orders that the document answers, else those of its study.

    An order is known by its accession number, or its number at the placer or filler; one
    that is not found, or is somebody else's, is a logical reference.
    """
    found: list[Json] = []
    for request in items(document, "ReferencedRequestSequence"):
        numbers = [
            (value, kind) for keyword, kind in _ORDER_NUMBERS if (value := text(request, keyword))
        ]
        if numbers:
            one = await _order(server, connection, numbers, study)
            if one not in found:
                found.append(one)
    return tuple(found or study.get("basedOn", ()))


async def _order(
    server: Server, connection: Connection, numbers: Iterable[tuple[str, str]], study: Json
) -> Json:
    known = list(numbers)
    subject = study.get("subject", {}).get("reference")
    for value, _ in known if subject else ():
        url = f"ServiceRequest?identifier={reading.token('', value)}&_count=10"
        matching = [
            one
            for one in await reading.search(server, connection, url)
            if one.get("subject", {}).get("reference") == subject
        ]
        if len(matching) == 1:
            return {"reference": reading.literal(matching[0])}
    value, kind = known[0]
    kinds = {"coding": [{"system": _V2_0203, "code": kind}]}
    return {"type": "ServiceRequest", "identifier": {"type": kinds, "value": value}}
