"""What is audited beside the access to resources: logins, emergencies, rights, erasure.

    await happened(connection, caller, LOGIN)
    await happened(connection, caller, EMERGENCY_STARTED, about=["Patient/1"], detail=reason)

https://dicom.nema.org/medical/dicom/current/output/html/part16.html#chapter_D
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fhir_server.audit.record import SUCCESS, Record, keep, who, written
from fhir_server.caller import Caller
from fhir_server.database import Connection


@dataclass(frozen=True, slots=True)
class Happening:
    """A kind of event: DCM codes of its type and subtype with their meanings, and its action."""

    type: str
    meaning: str
    subtype: str
    means: str
    action: str = "E"


_AUTHENTICATION: Final = ("110114", "User Authentication")
_ALERT: Final = ("110113", "Security Alert")
_EXPORT: Final = ("110106", "Export")
_IMPORT: Final = ("110107", "Import")

LOGIN: Final = "login"
LOGOUT: Final = "logout"
EMERGENCY_STARTED: Final = "emergency-started"
EMERGENCY_STOPPED: Final = "emergency-stopped"
ROLES_CHANGED: Final = "roles-changed"
LABELS_CHANGED: Final = "labels-changed"
USERS_CHANGED: Final = "users-changed"
CLIENTS_CHANGED: Final = "clients-changed"
SETTINGS_CHANGED: Final = "settings-changed"
EXPORTED: Final = "exported"
IMPORTED: Final = "imported"
ERASURE: Final = "erasure"
PEER_REFUSED: Final = "peer-refused"

HAPPENINGS: Final = {
    LOGIN: Happening(*_AUTHENTICATION, "110122", "Login"),
    LOGOUT: Happening(*_AUTHENTICATION, "110123", "Logout"),
    EMERGENCY_STARTED: Happening(*_ALERT, "110127", "Emergency Override Started"),
    EMERGENCY_STOPPED: Happening(*_ALERT, "110138", "Emergency Override Stopped"),
    ROLES_CHANGED: Happening(*_ALERT, "110136", "Security Roles Changed"),
    LABELS_CHANGED: Happening(*_ALERT, "110135", "Object Security Attributes Changed"),
    USERS_CHANGED: Happening(*_ALERT, "110137", "User Security Attributes Changed"),
    CLIENTS_CHANGED: Happening(*_ALERT, "110131", "Security Configuration"),
    SETTINGS_CHANGED: Happening(*_ALERT, "110131", "Security Configuration"),
    PEER_REFUSED: Happening(*_ALERT, "110126", "Node Authentication"),
    EXPORTED: Happening(*_EXPORT, "110106", "Export", "R"),
    IMPORTED: Happening(*_IMPORT, "110107", "Import", "C"),
    ERASURE: Happening("110110", "Patient Record", "110105", "Erasure", "D"),
}
"""By the names above."""


async def happened(
    connection: Connection,
    caller: Caller,
    happening: str,
    *,
    about: Sequence[str] = (),
    detail: str | None = None,
    outcome: int = SUCCESS,
) -> None:
    """Record one of `HAPPENINGS` in the transaction of the connection.

    `about` are references to whom or what it concerns (`Patient/1`, `Practitioner/2`, or the
    name of a user or client), `detail` is a reason that a person gave; `outcome` is 4 for a
    login that was refused.
    """
    assert happening in HAPPENINGS
    trail = caller.trail
    record = Record(
        "happening",
        who(caller),
        outcome=outcome,
        request=trail.request if trail else None,
        happening=happening,
        about=list(about),
        detail=detail,
    )
    await keep(connection, [written(record)])
