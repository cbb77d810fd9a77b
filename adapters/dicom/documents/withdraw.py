"""Resources of documents that are no longer in force: entered in error, never deleted.

https://hl7.org/fhir/R4/diagnosticreport.html#notes
"""

from collections.abc import Sequence
from typing import Any

from adapters.dicom.studies.reading import CALLER
from fhir_server.database import Connection
from fhir_server.errors import Gone, NotFound
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.r4 import json
from fhir_server.server import Server

_ERROR = "entered-in-error"
_TYPES = frozenset(("DiagnosticReport", "Observation", "Media", "DocumentReference"))
"""A Device and a Binary have no such status; what leads to them has."""


async def withdraw(server: Server, connection: Connection, references: Sequence[str]) -> None:
    """Mark what lies at these literal references as entered in error."""
    entries = []
    for reference in references:
        if reference.partition("/")[0] not in _TYPES:
            continue
        resource = await _read(server, connection, reference)
        if resource is None or resource.get("status") == _ERROR:
            continue
        resource["status"] = _ERROR
        if "docStatus" in resource:
            resource["docStatus"] = _ERROR
        entries.append(Entry("PUT", reference, resource))
    if entries:
        await transaction(server, connection, CALLER, entries)


async def _read(server: Server, connection: Connection, reference: str) -> dict[str, Any] | None:
    """Return a resource with its numbers as they are written, None when there is none."""
    try:
        [outcome] = await transaction(server, connection, CALLER, [Entry("GET", reference)])
    except (NotFound, Gone):
        return None
    return dict(json.decode(outcome.body)) if outcome.body else None
