"""Who may see what a message says: of whoever it is, or of the patients whom it became.

States, counts, reasons and addresses of parts say nothing of a patient, and are for all operators.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fhir_server.access import glass
from fhir_server.caller import Caller
from fhir_server.errors import NotFound
from fhir_server.interactions import insight
from fhir_server.server import Server

TYPES: Final = (
    "AllergyIntolerance",
    "Condition",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "Immunization",
    "MedicationRequest",
    "Observation",
    "Patient",
    "Procedure",
    "ServiceRequest",
)
"""What messages are of: who sees one reads all of these of its patients."""

_BECAME: Final = "SELECT coalesce(result_versions, '[]') FROM hl7_message WHERE id = %s"
_PATIENT: Final = "Patient/"


@dataclass(frozen=True, slots=True)
class Seen:
    """Whose message somebody may see: ids of patients; `opened` by breaking the glass."""

    patients: tuple[str, ...] = ()
    opened: frozenset[str] = frozenset()


async def require(server: Server, caller: Caller, id_: int) -> Seen:
    """Return whose message it is; Forbidden for who may not see what it says.

    A message that became nothing, as one that was refused, is of nobody whom we know: it is
    shown to who reads the records of all patients. NotFound where there is no such message.
    """
    async with server.database.connection() as connection:
        row = await (await connection.execute(_BECAME, (id_,))).fetchone()
        if row is None:
            raise NotFound(f"There is no message {id_} in the inbox")
        literals: Sequence[str] = row[0]
        await insight.require(server, connection, caller, TYPES, literals)
        patients = [one.split("/")[1] for one in literals if one.startswith(_PATIENT)]
        opened: frozenset[str] = frozenset()
        if caller.user is not None and caller.rights.walls:
            opened = await glass.open_at(connection, caller.user, datetime.now(UTC))
    return Seen(tuple(dict.fromkeys(patients)), opened)


def require_general(caller: Caller) -> None:
    """Refuse (Forbidden) who does not see the messages of all patients."""
    insight.require_general(caller, TYPES)
