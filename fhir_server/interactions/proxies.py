"""Patients for whom a RelatedPerson may act: there is a relation now, and a consent names it.

https://hl7.org/fhir/R4/relatedperson.html
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fhir_server.access.inside import PATIENT
from fhir_server.database import Connection
from fhir_server.r4 import json
from fhir_server.search.context import Context
from fhir_server.search.date import period_span
from fhir_server.search.reference import literal
from fhir_server.server import Server
from fhir_server.store import consents
from fhir_server.store import read as store

TYPE = "RelatedPerson"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def patients(server: Server, connection: Connection, id_: str) -> tuple[str, ...]:
    """Return the ids of the patients for whom the RelatedPerson of this id may act now."""
    type_id = server.definitions.type_ids[TYPE]
    found = await store.current(connection, type_id, id_)
    if found is None or found.deleted:
        return ()
    now = int((datetime.now(UTC) - _EPOCH).total_seconds() * 1_000_000)
    patient = related(json.decode(found.body), server.registry.context, now)
    if patient is None:
        return ()
    named = await consents.is_named(connection, patient, f"{type_id}/{id_}", now)
    return (patient,) if named else ()


def related(person: Mapping[str, Any], context: Context, now: int) -> str | None:
    """Return the id of whose relation a RelatedPerson is at a moment (µs since 1970), or None."""
    period = period_span(person.get("period") or {}, context)
    if person.get("active") is False or ("period" in person and period is None):
        return None
    if period is not None and not period[0] <= now < period[1]:
        return None
    found = literal((person.get("patient") or {}).get("reference") or "", context)
    mine = found is not None and found.type == PATIENT and found.base is None
    return found.id if found is not None and mine else None
