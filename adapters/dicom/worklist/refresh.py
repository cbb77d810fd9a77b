"""One imaging order brought onto the worklist, or off it.

Its ids are made once and written to the ServiceRequest, and its study is announced.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec

from adapters.dicom.studies.expected import Expected, expect, expected
from adapters.dicom.worklist import rows
from adapters.dicom.worklist.catalogue import Procedure, chosen, codes
from adapters.dicom.worklist.gather import CALLER, gather, request, used
from adapters.dicom.worklist.numbers import (
    Numbers,
    identifiers,
    stated_accession,
    stated_study,
)
from adapters.dicom.worklist.order import Json, Order, literal, literal_of
from adapters.dicom.worklist.patient import Authorities, patient
from adapters.dicom.worklist.procedures import of_codes
from adapters.dicom.worklist.requested import requested
from adapters.dicom.worklist.rows import Row
from adapters.dicom.worklist.scheduled import (
    LEFT,
    Scheduled,
    is_imaging,
    is_open,
    scheduled_item,
    stations,
    steps,
)
from fhir_server.database import OWN, Connection
from fhir_server.dicom_settings import DicomSettings
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server

_LOCK: Final = f"SELECT pg_advisory_xact_lock(hashtextextended('worklist ' || %s, 0) # {OWN})"
_PEERS: Final = "SELECT ae_title, timezone, issuer FROM dicom_peer WHERE ae_title = ANY(%s)"
_JSON_PATCH: Final = "application/json-patch+json"
_ANNOUNCED: Final = (
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName",
    "ReasonForTheRequestedProcedure",
    "ReasonForRequestedProcedureCodeSequence",
)

Stations = Mapping[str, tuple[str, str]]
"""Time zone and issuer of Patient IDs by AE title, "" for the default."""


async def refresh(server: Server, connection: Connection, id_: str) -> None:
    """Write the worklist entries of a ServiceRequest again, in the caller's transaction.

    Raises what its writes raise; the caller's transaction is then to be rolled back.
    """
    await connection.execute(_LOCK, (id_,))
    known = await rows.numbers_of(connection, id_)
    found = await request(server, connection, id_)
    procedure = chosen(found, await of_codes(connection, codes(found))) if found else None
    dicom = server.settings.dicom
    wanted = found is not None and is_imaging(found, procedure, dicom.imaging_categories)
    if found is None or not wanted or not is_open(found):
        if known is not None:
            await _leave(connection, id_, known, found)
        return
    order = await gather(server, connection, found)
    zone = ZoneInfo(dicom.timezone)
    scheduled = [
        one
        for one in steps(order, zone, timedelta(days=dicom.unscheduled_days))
        if one.state != LEFT and order.patient
    ]
    if not scheduled and known is None:
        return
    numbers = await _numbers(server, connection, found, known)
    made = await _rows(server, connection, order, numbers, procedure, scheduled)
    await rows.put(connection, id_, numbers, made, used(order))
    if scheduled:
        await _write(server, connection, found, numbers)
        await _announce(connection, order, numbers, made[0])


async def _leave(connection: Connection, id_: str, known: Numbers, found: Json | None) -> None:
    """Take an order off the list; a study without images is cancelled with its order."""
    await rows.leave(connection, id_)
    if found is None or found.get("status") in {"revoked", "entered-in-error"}:
        before = await expected(connection, known.study_instance_uid)
        if before is not None and not before.cancelled:
            await expect(connection, known.study_instance_uid, Expected(cancelled=True))


async def _numbers(
    server: Server, connection: Connection, found: Json, known: Numbers | None
) -> Numbers:
    """Return the numbers of an order: those that it has, else those that it got, else new ones."""
    dicom = server.settings.dicom
    kept = known or await rows.new_numbers(
        connection, uuid4(), dicom.accession_system, dicom.accession_prefix
    )
    accession, issuer = stated_accession(found)
    if not accession:
        accession, issuer = kept.accession_number, kept.accession_issuer
    study = stated_study(found) or kept.study_instance_uid
    return Numbers(study, accession, issuer, kept.requested_procedure_id)


async def _rows(
    server: Server,
    connection: Connection,
    order: Order,
    numbers: Numbers,
    procedure: Procedure | None,
    scheduled: Sequence[Scheduled],
) -> list[Row]:
    dicom = server.settings.dicom
    id_ = str(order.request["id"])
    titles = {
        one.appointment: stations(order, one, procedure, dicom.ae_title_system) for one in scheduled
    }
    told = await _stations(connection, {each for one in titles.values() for each in one})
    made = []
    for one in scheduled:
        own = titles[one.appointment]
        zone_name, issuer = told.get(own[0], ("", "")) if own else ("", "")
        zone = ZoneInfo(zone_name or dicom.timezone)
        authorities = _authorities(dicom, issuer)
        step_id = await rows.step_id(connection, id_, one.appointment)
        attributes = {
            **patient(order, authorities, datetime.now(UTC)),
            **requested(order, numbers, procedure, zone, authorities.names),
            "TimezoneOffsetFromUTC": [f"{one.start.astimezone(zone):%z}"],
        }
        item = scheduled_item(order, one, step_id, procedure, own, zone)
        made.append(
            Row(id_, one.appointment, step_id, one.state, one.until, numbers, attributes, item)
        )
    return made


async def _stations(connection: Connection, titles: set[str]) -> Stations:
    if not titles:
        return {}
    cursor = await connection.execute(_PEERS, (sorted(titles),))
    return {str(row[0]): (row[1] or "", row[2] or "") for row in await cursor.fetchall()}


def _authorities(dicom: DicomSettings, issuer: str) -> Authorities:
    """Return who assigns identifiers, the station's own authority first."""
    own = [dicom.issuers[issuer]] if issuer in dicom.issuers else []
    names = {system: name for name, system in reversed(dicom.issuers.items())}
    preferred = [*own, dicom.patient_id_system, *dicom.issuers.values()]
    return Authorities(preferred, names, dicom.patient_id_system)


async def _write(server: Server, connection: Connection, found: Json, numbers: Numbers) -> None:
    """Write what the ServiceRequest lacks of its numbers."""
    missing = identifiers(found, numbers)
    if not missing:
        return
    if found.get("identifier"):
        patch: list[Any] = [{"op": "add", "path": "/identifier/-", "value": one} for one in missing]
    else:
        patch = [{"op": "add", "path": "/identifier", "value": missing}]
    asked = {
        "resourceType": "Binary",
        "contentType": _JSON_PATCH,
        "data": b64encode(msgspec.json.encode(patch)).decode(),
    }
    version = f'W/"{found["meta"]["versionId"]}"'
    entry = Entry("PATCH", literal(found), asked, if_match=version)
    await transaction(server, connection, CALLER, [entry])


async def _announce(connection: Connection, order: Order, numbers: Numbers, row: Row) -> None:
    """Tell the study's projection what to expect, unless it knows that already."""
    said = Expected(
        subject=literal_of(order.request.get("subject")) or None,
        encounter=literal_of(order.request.get("encounter")) or None,
        requests=(literal(order.request),),
        attributes={
            keyword: row.attributes[keyword] for keyword in _ANNOUNCED if keyword in row.attributes
        },
        cancelled=False,
    )
    before = await expected(connection, numbers.study_instance_uid)
    if before is None or not _says(before, said):
        await expect(connection, numbers.study_instance_uid, said)


def _says(before: Expected, said: Expected) -> bool:
    return (
        before.subject == said.subject
        and (said.encounter is None or before.encounter == said.encounter)
        and set(said.requests) <= set(before.requests)
        and dict(before.attributes) | dict(said.attributes) == dict(before.attributes)
        and not before.cancelled
    )
