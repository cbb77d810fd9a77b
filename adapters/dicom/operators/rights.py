"""Who may see what a study says, and decide on it: who reads the record of its patient.

That there are studies, how many, from where, and what waits, says nothing of a patient, and is
for all operators.
"""

from typing import Final

from adapters.dicom.operators.views import Row
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.interactions import insight
from fhir_server.server import Server

TYPES: Final = ("ImagingStudy", "Patient")
"""What a study is of."""

OFFERED: Final = (*TYPES, "ServiceRequest")
"""What is looked through for whom a study may be of."""

_STUDY: Final = """
SELECT patient, imaging_study, unmatched_at IS NOT NULL FROM dicom_study
WHERE study_instance_uid = %s
"""
_OF_CONFLICT: Final = """
SELECT c.study_instance_uid, i.study_instance_uid
FROM dicom_conflict AS c LEFT JOIN dicom_instance AS i USING (sop_instance_uid) WHERE c.id = %s
"""
_OF_ACTION: Final = "SELECT study_instance_uid FROM dicom_action WHERE id = %s"
_SILENT: Final = frozenset(
    (
        *("study", "match", "patient", "modalities", "instances", "folds", "corrected", "rejected"),
        *("received_at", "folded_at", "unmatched_at", "rejected_at", "undone_at", "at"),
        *("code", "rejected_by", "approved_by", "present"),
        *("id", "action", "actor", "undone_by", "undoable"),
    )
)
"""Columns of lists that say nothing of an examination; any other one may."""


async def require(server: Server, connection: Connection, caller: Caller, study: str) -> None:
    """Refuse (Forbidden) who may not see what a study says; one that is not there says nothing.

    One whose patient is not known is for who reads the records of all patients.
    """
    row = await (await connection.execute(_STUDY, (study,))).fetchone()
    if row is None:
        return
    patient, shown, unmatched = row
    if unmatched:
        insight.require_general(caller, OFFERED)
    literals = [patient or "", f"ImagingStudy/{shown}" if shown else ""]
    await insight.require(server, connection, caller, TYPES, literals)


async def require_conflict(
    server: Server, connection: Connection, caller: Caller, conflict: int
) -> None:
    """Refuse who may not see the studies of a conflict."""
    await _require_of(server, connection, caller, _OF_CONFLICT, conflict)


async def require_action(server: Server, connection: Connection, caller: Caller, id_: int) -> None:
    """Refuse who may not see the study of an action."""
    await _require_of(server, connection, caller, _OF_ACTION, id_)


async def _require_of(
    server: Server, connection: Connection, caller: Caller, statement: str, id_: int
) -> None:
    row = await (await connection.execute(statement, (id_,))).fetchone()
    for study in dict.fromkeys(row or ()):
        if study is not None:
            await require(server, connection, caller, study)


def shown(caller: Caller, rows: list[Row]) -> list[Row]:
    """Return rows of a list without what they say of examinations, to who may not see that."""
    if insight.is_general(caller.rights, TYPES):
        return rows
    return [
        {name: value if name in _SILENT else None for name, value in row.items()} for row in rows
    ]
