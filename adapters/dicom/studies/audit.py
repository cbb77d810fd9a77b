"""AuditEvents of studies: who read whose they are, changed that, rejected or removed them.

https://hl7.org/fhir/R4/auditevent.html
https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_A.5
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fhir_server.audit.emergency import purposed
from fhir_server.audit.event import of_adapter
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


_PATIENTS: Final = """
SELECT study_instance_uid, split_part(patient, '/', 2) FROM dicom_study
WHERE study_instance_uid = ANY(%s) AND patient LIKE 'Patient/%%'
"""


async def record(
    server: Server,
    connection: Connection,
    study: str,
    actor: str,
    action: str,
    what: str,
    *,
    user: str | None = None,
    opened: Collection[str] = (),
) -> None:
    """Record what somebody does with a study (`what`: link, reject ...), in this transaction.

    `user` is the person (a reference), where one is known, `opened` are the patients (ids)
    whose records are open to him by breaking the glass.
    """
    patient = (await of_studies(connection, [study])).get(study)
    made = event(server.base, study, actor, action, what, datetime.now(UTC), patient, user)
    entry = Entry("POST", "AuditEvent", purposed(made, opened))
    await transaction(server, connection, trusted(actor, "dicom"), [entry])


async def of_studies(connection: Connection, studies: Sequence[str]) -> dict[str, str]:
    """Return the ids of the Patients whose studies these are shown to be."""
    rows = await (await connection.execute(_PATIENTS, (list(studies),))).fetchall()
    return {row[0]: row[1] for row in rows}


def event(
    base: str,
    study: str,
    actor: str,
    action: str,
    what: str,
    at: datetime,
    patient: str | None = None,
    user: str | None = None,
) -> dict[str, Any]:
    """Return the AuditEvent of an action on a study, at the server with this base URL."""
    type_ = _TRANSFERRED if what in _TRANSFERS else _TYPES[action]
    subtype = {"system": "urn:sangam:dicom-action", "code": what}
    entity = {
        "what": {"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{study}"}},
        "role": {"system": _ROLE, "code": "3", "display": "Report"},
    }
    return of_adapter(base, actor, (type_, subtype, action), entity, at, patient, user)
