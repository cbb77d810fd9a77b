"""The worklist kept up to date by the change feed.

How far the feed was read, and what follows of it, are one transaction; an order that cannot be
written then is tried again by a job of its own.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec
import psycopg

from adapters.dicom.worklist import rows
from adapters.dicom.worklist.gather import CALLER
from adapters.dicom.worklist.order import Json, literal_of
from adapters.dicom.worklist.patient import LOINC, OBSERVED
from adapters.dicom.worklist.refresh import refresh
from fhir_server import changes, jobs
from fhir_server.changes import Change
from fhir_server.database import Connection
from fhir_server.errors import SangamError
from fhir_server.feed_readers import take
from fhir_server.interactions.search import search_on
from fhir_server.interactions.vread import versions_on
from fhir_server.server import Server

log = logging.getLogger(__name__)

READER: Final = "dicom.worklist"
ORDER: Final = "dicom.worklist.order"
"""The job that brings one order up to date."""
REBUILD: Final = "dicom.worklist.rebuild"
"""The job that looks at all active orders."""

TYPES: Final = (
    *("ServiceRequest", "Appointment", "Patient", "Encounter", "Observation"),
    *("AllergyIntolerance", "Flag", "Device", "Location", "Practitioner", "PractitionerRole"),
    *("Organization", "Condition", "Medication", "MedicationRequest", "MedicationStatement"),
    *("MedicationAdministration", "Substance"),
)
_OF_PATIENT: Final = {
    "Observation": "subject",
    "Flag": "subject",
    "AllergyIntolerance": "patient",
}
_PAGE: Final = "200"
_ONCE: Final = 50


async def look(server: Server) -> bool:
    """Bring up to date what changed since the last look; return whether there may be more."""
    types = [server.definitions.type_ids[kind] for kind in TYPES]
    async with server.database.transaction() as connection:
        page = await take(connection, READER, types)
        orders = await _orders(server, connection, page.changes)
        for id_ in orders[:_ONCE]:
            await _refreshed(server, connection, id_)
        # So many have one ward or scanner in common: new orders do not wait for them.
        await jobs.enqueue(connection, [_job(id_) for id_ in orders[_ONCE:]])
        return page.more


async def _refreshed(server: Server, connection: Connection, id_: str) -> None:
    """Bring an order up to date, now or by a job."""
    try:
        async with connection.transaction():
            await refresh(server, connection, id_)
    except psycopg.OperationalError:
        raise
    except (psycopg.Error, SangamError, LookupError, TypeError, ValueError) as error:
        log.warning("A worklist entry will be tried again: %s", type(error).__name__)
        await jobs.enqueue(connection, [_job(id_)])


def _job(id_: str) -> jobs.Job:
    return jobs.Job(ORDER, {"order": id_}, id_)


async def run(server: Server, payload: dict[str, Any]) -> None:
    """Bring the order of `payload["order"]` up to date."""
    async with server.database.transaction() as connection:
        await refresh(server, connection, str(payload["order"]))


def rebuild() -> jobs.Job:
    """Return the job that looks at all active orders again."""
    return jobs.Job(REBUILD, {}, REBUILD)


async def run_rebuild(server: Server, payload: dict[str, Any]) -> None:
    """Have a page of active orders brought up to date, and come back while there are more."""
    pairs = [(str(name), str(value)) for name, value in payload.get("page", ())]
    pairs = pairs or [("status", "active"), ("_count", _PAGE), ("_elements", "id")]
    async with server.database.transaction() as connection:
        found = await search_on(server, connection, CALLER, "ServiceRequest", pairs)
        page = msgspec.json.decode(found)
        ids = [str(one["resource"]["id"]) for one in page.get("entry", ())]
        work = [_job(id_) for id_ in ids]
        url = next((one["url"] for one in page.get("link", ()) if one["relation"] == "next"), "")
        if url:
            work.append(jobs.Job(REBUILD, {"page": parse_qsl(urlsplit(url).query)}))
        await jobs.enqueue(connection, work)


async def _orders(server: Server, connection: Connection, found: Sequence[Change]) -> list[str]:
    """Return the ids of the orders that changes are of, those first that are meant themselves."""
    if not found:
        return []
    names = server.definitions.type_names
    ids = await changes.named(connection, found)
    newest = {(names[one.type_id], ids[one.key]): one.version for one in found if one.key in ids}
    orders = {id_ for kind, id_ in newest if kind == "ServiceRequest"}
    references = {
        f"{kind}/{id_}"
        for (kind, id_), version in newest.items()
        # No order can know of a fact that is new.
        if kind != "ServiceRequest" and not (version == 1 and kind in _OF_PATIENT)
    }
    asked = [(*key, at) for key, at in newest.items() if key[0] in {*_OF_PATIENT, "Appointment"}]
    stored = await versions_on(server, connection, CALLER, asked) if asked else {}
    for one in stored.values():
        resource: Json = msgspec.json.decode(one.body or b"{}")
        orders |= set(_based_on(resource))
        references |= set(_patient(resource))
    others = set(await rows.using(connection, sorted(references))) if references else set()
    return [*sorted(orders), *sorted(others - orders)]


def _based_on(resource: Json) -> Iterator[str]:
    """Yield the orders that an Appointment is for."""
    if resource.get("resourceType") == "Appointment":
        yield from _ids(resource.get("basedOn", ()), "ServiceRequest")


def _ids(references: Iterable[Json], kind: str) -> Iterator[str]:
    for one in references:
        type_, _, id_ = literal_of(one).partition("/")
        if type_ == kind:
            yield id_


def _patient(resource: Json) -> Iterator[str]:
    """Yield the patient of a fact that modalities are told of."""
    holder = _OF_PATIENT.get(resource.get("resourceType", ""))
    if holder is None:
        return
    codings = resource.get("code", {}).get("coding", ())
    told = any(one.get("system") == LOINC and one.get("code") in OBSERVED for one in codings)
    if told or resource["resourceType"] != "Observation":
        yield literal_of(resource.get(holder))
