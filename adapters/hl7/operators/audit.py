"""The AuditEvent of an operator who reads what a message says of a patient.

https://hl7.org/fhir/R4/auditevent.html
"""

from datetime import UTC, datetime
from typing import Final

from adapters.hl7.inbox.apply import begin
from adapters.hl7.inbox.provenance import row_identifier
from adapters.hl7.mapping.context import Json
from adapters.hl7.operators.rights import Seen
from fhir_server.audit.emergency import purposed
from fhir_server.audit.event import of_adapter
from fhir_server.caller import trusted
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.r4 import json
from fhir_server.server import Server

_TYPE: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/audit-event-type",
    "code": "rest",
    "display": "RESTful Operation",
}
_READ: Final = {
    "system": "http://hl7.org/fhir/restful-interaction",
    "code": "read",
    "display": "read",
}
_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"


async def read(
    server: Server,
    id_: int,
    actor: str,
    view: str,
    *,
    user: str | None = None,
    seen: Seen = Seen(),  # noqa: B008  (a frozen value)
) -> None:
    """Record that somebody reads a message of the inbox; to be called before it is shown.

    `user` is the person (a reference), where one is known; `view` is what is read of it: `raw`,
    `parsed`, `mapped`, `explain`, `ack`, `preview`; `seen` says whose it is: of each patient
    there is an event.
    """
    row = row_identifier((await begin(server)).base, id_)
    events = [
        purposed(_event(server.base, row, actor, view, user, one), seen.opened)
        for one in seen.patients or (None,)
    ]
    caller = trusted(actor, "hl7")
    async with server.database.transaction() as connection:
        entries = [Entry("POST", "AuditEvent", one, json.encode(one)) for one in events]
        await transaction(server, connection, caller, entries)


def _event(
    base: str, row: Json, actor: str, view: str, user: str | None, patient: str | None
) -> Json:
    entity = {
        "what": {"identifier": row},
        "role": {"system": _ROLE, "code": "4", "display": "Domain Resource"},
        "name": f"HL7 v2 message ({view})",
    }
    what, at = (_TYPE, _READ, "R"), datetime.now(UTC)
    return of_adapter(base, actor, what, entity, at, patient, user)
