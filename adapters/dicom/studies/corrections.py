"""What operators say of a study: its patient, and what was typed wrongly; and taking it back."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from adapters.dicom.dataset import datetimes
from adapters.dicom.dataset.identifier import tag_of, vr_of
from adapters.dicom.storage.index import fold_job
from adapters.dicom.studies import audit, journal, rejection
from adapters.dicom.studies.overlay import CORRECTABLE
from adapters.dicom.studies.patients import identifier, patient
from adapters.dicom.studies.project import bring_up_to_date, lock, withdraw
from adapters.dicom.studies.reading import CALLER, read, token
from adapters.dicom.studies.rejection import Target
from adapters.dicom.studies.subject import agreed_issuers
from fhir_server import jobs
from fhir_server.caller import trusted
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Conflict, NotFound
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server

# Characters that a value may have (PS3.5, table 6.2-1).
_LENGTHS: Final = {"SH": 16, "LO": 64, "PN": 324, "CS": 16, "DA": 8, "TM": 14}
_CS: Final = re.compile(r"[A-Z0-9_ ]*")
_TM: Final = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?", re.ASCII)
_SEXES: Final = frozenset("MFO")

_STUDY: Final = """
SELECT corrections, link, attributes FROM dicom_study WHERE study_instance_uid = %s
"""
_CORRECT: Final = "UPDATE dicom_study SET corrections = %s WHERE study_instance_uid = %s"
_LINK: Final = "UPDATE dicom_study SET link = %s WHERE study_instance_uid = %s"

_HAS: Final = """
SELECT series_instance_uid, count(*) FROM dicom_instance
WHERE study_instance_uid = %s AND state = 'live' GROUP BY 1
"""
_SPLIT: Final = """
WITH said AS (
    INSERT INTO dicom_split (study_instance_uid, series_instance_uid, into_study)
    SELECT %(study)s, unnest(%(series)s::text[]), %(into)s
), parent AS (
    INSERT INTO dicom_study (study_instance_uid, patient_id, patient_issuer, patient_name,
        patient_ideographic, patient_phonetic, study_date, accession_number, folded, attributes,
        corrections)
    SELECT %(into)s, patient_id, patient_issuer, patient_name, patient_ideographic,
        patient_phonetic, study_date, accession_number, folded, attributes, %(corrections)s
    FROM dicom_study WHERE study_instance_uid = %(study)s
)
INSERT INTO dicom_series (study_instance_uid, series_instance_uid, modality, series_number,
    folded, attributes, received_at)
SELECT %(into)s, series_instance_uid, modality, series_number, folded, attributes, received_at
FROM dicom_series
WHERE study_instance_uid = %(study)s AND series_instance_uid = ANY(%(series)s)
"""
_JOIN: Final = """
WITH said AS (
    DELETE FROM dicom_split WHERE study_instance_uid = %(study)s AND into_study = %(into)s
), back AS (
    UPDATE dicom_instance SET study_instance_uid = %(study)s
    WHERE study_instance_uid = %(into)s
), series AS (
    DELETE FROM dicom_series WHERE study_instance_uid = %(into)s
)
DELETE FROM dicom_study WHERE study_instance_uid = %(into)s
"""


async def link(
    server: Server, connection: Connection, study: str, patient_: str, actor: str
) -> int:
    """Give a study to the Patient with this literal reference; return the action's number.

    Raises NotFound where there is no such study or Patient.
    """
    if not patient_.startswith("Patient/") or not await read(server, connection, patient_):
        raise NotFound("There is no such Patient")
    _, before, _ = await _study(connection, study)
    await connection.execute(_LINK, (patient_, study))
    detail = {"patient": patient_, "before": before}
    id_ = await journal.add(connection, study, "link", actor, detail)
    await audit.record(server, connection, study, actor, audit.CHANGED, "link")
    await bring_up_to_date(server, connection, study)
    return id_


async def create(server: Server, connection: Connection, study: str, actor: str) -> int:
    """Make a Patient of what a study says, and give the study to it; return the action's number.

    Raises Conflict where a Patient has its Patient ID already, or it says nothing of one.
    """
    _, _, attributes = await _study(connection, study)
    issuers = agreed_issuers(server.settings.dicom)
    found = identifier(attributes, issuers)
    if found is None:
        raise Conflict("The study says no Patient ID that names somebody: link it to a Patient")
    zone = ZoneInfo(server.settings.dicom.timezone)
    entry = Entry("POST", "Patient", patient(attributes, found, issuers, zone))
    if "system" in found:
        condition = f"identifier={token(found['system'], found['value'])}"
        entry = Entry("POST", "Patient", entry.resource, if_none_exist=condition)
    caller = trusted(actor, CALLER.door)
    [outcome] = await transaction(server, connection, caller, [entry])
    if not outcome.written:
        raise Conflict("A Patient has this Patient ID already: link the study to it")
    return await link(server, connection, study, f"Patient/{outcome.id}", actor)


async def correct(
    server: Server,
    connection: Connection,
    study: str,
    values: Mapping[str, str],
    actor: str,
    *,
    reason: str = "",
) -> int:
    """Correct attributes of a study, "" for no value; return the action's number.

    What is stored stays as it came: queries and what goes out have the new values. Raises
    NotFound, and BadRequest for what cannot be corrected, or a value that DICOM does not allow.
    """
    for keyword, value in values.items():
        check(keyword, value)
    before, _, _ = await _study(connection, study)
    wanted = {**(before or {}), **{name: [one] if one else [] for name, one in values.items()}}
    await connection.execute(_CORRECT, (Jsonb(wanted), study))
    detail = {"values": dict(values), "before": before, "reason": reason}
    id_ = await journal.add(connection, study, "correct", actor, detail)
    await audit.record(server, connection, study, actor, audit.CHANGED, "correct")
    await bring_up_to_date(server, connection, study)
    return id_


def check(keyword: str, value: str) -> None:
    """Raise BadRequest unless operators may give this attribute this value (PS3.5, 6.2)."""
    if keyword not in CORRECTABLE:
        raise BadRequest(f"{keyword} cannot be corrected; {', '.join(sorted(CORRECTABLE))} can")
    vr = vr_of(tag_of(keyword))
    wrong = (
        len(value) > _LENGTHS[vr]
        or not value.isprintable()
        or "\\" in value
        or (vr == "CS" and not _CS.fullmatch(value))
        or (vr == "DA" and value and not datetimes.day(value))
        or (vr == "TM" and value and not _TM.fullmatch(value))
        or (keyword == "PatientSex" and value and value not in _SEXES)
    )
    if wrong:
        raise BadRequest(f"{keyword} cannot have such a value ({vr})")


async def split(
    server: Server, connection: Connection, study: str, series: Sequence[str], actor: str
) -> tuple[int, str]:
    """Make a study of its own of some series; return the action's number and the new UID.

    What comes later of these series goes there too. Raises NotFound for a series that the
    study does not have, Conflict where none would be left.
    """
    await lock(connection, study)
    await _study(connection, study)
    present = {row[0] for row in await (await connection.execute(_HAS, (study,))).fetchall()}
    if not series or not set(series) <= present:
        raise NotFound("The study has no such series")
    if set(series) == present:
        raise Conflict("These are all series of the study: link the study instead")
    into = f"2.25.{uuid4().int}"
    given = {
        "study": study,
        "series": sorted(set(series)),
        "into": into,
        "corrections": Jsonb({"StudyInstanceUID": [into]}),
    }
    await connection.execute(_SPLIT, given)
    detail = {"into": into, "series": given["series"]}
    id_ = await journal.add(connection, study, "split", actor, detail)
    await audit.record(server, connection, study, actor, audit.CHANGED, "split")
    await bring_up_to_date(server, connection, study)
    await bring_up_to_date(server, connection, into)
    return id_, into


async def undo(server: Server, connection: Connection, id_: int, actor: str) -> str:
    """Take back a link, correction, split or rejection; return the study.

    Raises NotFound, and Conflict where it was taken back or something later stands upon it.
    """
    done = await journal.undoable(connection, id_)
    way = _UNDO.get(done.action)
    if way is None:
        raise Conflict(f"What was done ({done.action}) cannot be taken back")
    await way(server, connection, done, actor)
    await journal.undone(connection, id_, actor)
    await audit.record(server, connection, done.study, actor, audit.CHANGED, "undo")
    await bring_up_to_date(server, connection, done.study)
    return done.study


async def _unlink(_: Server, connection: Connection, done: journal.Action, __: str) -> None:
    await connection.execute(_LINK, (done.detail["before"], done.study))


async def _uncorrect(_: Server, connection: Connection, done: journal.Action, __: str) -> None:
    before = done.detail["before"]
    await connection.execute(_CORRECT, (Jsonb(before) if before else None, done.study))


async def _rejoin(server: Server, connection: Connection, done: journal.Action, _: str) -> None:
    into = str(done.detail["into"])
    await lock(connection, done.study)
    await lock(connection, into)
    await connection.execute(_JOIN, {"study": done.study, "into": into})
    await withdraw(server, connection, into, "entered-in-error")
    await jobs.enqueue(connection, [fold_job(done.study, 0)])


async def _restore(_: Server, connection: Connection, done: journal.Action, actor: str) -> None:
    for instance in done.detail["instances"]:
        await rejection.restore(connection, Target(done.study, None, instance), actor)


_UNDO: Final[Mapping[str, Callable[..., Any]]] = {
    "link": _unlink,
    "correct": _uncorrect,
    "split": _rejoin,
    "reject": _restore,
}


async def _study(connection: Connection, study: str) -> tuple[Any, ...]:
    await lock(connection, study)
    row = await (await connection.execute(_STUDY, (study,))).fetchone()
    if row is None or row[2] is None:
        raise NotFound("The archive has no such study")
    return row
