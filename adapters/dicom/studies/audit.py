"""AuditEvents of studies: who read whose they are, changed that, rejected or removed them.

https://hl7.org/fhir/R4/auditevent.html
https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_A.5
"""

from datetime import UTC, datetime
from typing import Any, Final

from fhir_server.caller import trusted
from fhir_server.database import Connection
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server

READ, CHANGED, REMOVED = "R", "U", "D"
"""Actions of an AuditEvent."""

_DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_TRANSFERRED: Final = {"system": _DCM, "code": "110104", "display": "DICOM Instances Transferred"}
_TRANSFERS: Final = frozenset(("move", "get", "export"))
_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
_TYPES: Final = {
    READ: {"system": _DCM, "code": "110103", "display": "DICOM Instances Accessed"},
    CHANGED: {"system": _DCM, "code": "110103", "display": "DICOM Instances Accessed"},
    REMOVED: {"system": _DCM, "code": "110105", "display": "DICOM Study Deleted"},
}


async def record(
    server: Server, connection: Connection, study: str, actor: str, action: str, what: str
) -> None:
    """Record what somebody does with a study (`what`: link, reject ...), in this transaction."""
    entry = Entry("POST", "AuditEvent", event(study, actor, action, what, datetime.now(UTC)))
    await transaction(server, connection, trusted(actor, "dicom"), [entry])


def event(study: str, actor: str, action: str, what: str, at: datetime) -> dict[str, Any]:
    """Return the AuditEvent of an action on a study."""
    return {
        "resourceType": "AuditEvent",
        "type": _TRANSFERRED if what in _TRANSFERS else _TYPES[action],
        "subtype": [{"system": "urn:sangam:dicom-action", "code": what}],
        "action": action,
        "recorded": at.isoformat(),
        "outcome": "0",
        "agent": [{"name": actor, "requestor": True}],
        "source": {"observer": {"display": "Sangam"}},
        "entity": [
            {
                "what": {"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{study}"}},
                "role": {"system": _ROLE, "code": "3", "display": "Report"},
            }
        ],
    }
