"""Rejection notes: Key Object Selections that reject what they list.

https://profiles.ihe.net/RAD/TF/Volume3/ch-4.66.html
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pydicom
from pydicom.dataset import Dataset

from adapters.dicom.dataset.attributes import items, text
from adapters.dicom.dataset.head import valid_uid
from adapters.dicom.dataset.rejections import QUALITY, RETENTION_EXPIRED
from adapters.dicom.storage.index import fold_job
from adapters.dicom.storage.tiered import archive_blobs
from adapters.dicom.studies import audit, journal
from adapters.dicom.studies.rejection import STATE_OF_CODE
from fhir_server import jobs
from fhir_server.database import Connection
from fhir_server.server import Server

log = logging.getLogger(__name__)

_EVIDENCE: Final = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")

_NOTE: Final = """
SELECT encode(blob, 'hex'), study_instance_uid, calling_ae, attributes
FROM dicom_instance WHERE sop_instance_uid = %s AND state = 'note'
"""
# A later note about an instance counts, but what is withdrawn is not shown again for quality.
_REJECT: Final = f"""
INSERT INTO dicom_rejection AS r (sop_instance_uid, study_instance_uid, series_instance_uid,
    code, note, rejected_by, reason)
SELECT l.instance, l.study, l.series, %(code)s, %(note)s, %(actor)s, %(reason)s
FROM unnest(%(instances)s::text[], %(studies)s::text[], %(series)s::text[])
    AS l(instance, study, series)
ORDER BY l.instance
ON CONFLICT (sop_instance_uid) DO UPDATE
SET code = excluded.code, note = excluded.note, rejected_by = excluded.rejected_by,
    rejected_at = excluded.rejected_at, reason = excluded.reason
WHERE r.code <> excluded.code AND excluded.code <> '{QUALITY}'
"""
# Of what is not here, nothing is kept: it is new when it comes (and so is what was expunged).
_EXPIRE: Final = """
INSERT INTO dicom_rejection (sop_instance_uid, study_instance_uid, series_instance_uid,
    code, note, rejected_by, reason, approved_by, approved_at)
SELECT sop_instance_uid, study_instance_uid, series_instance_uid, %(code)s, %(note)s, %(actor)s,
    %(reason)s, 'retention policy', clock_timestamp()
FROM dicom_instance WHERE sop_instance_uid = ANY(%(instances)s) AND state = 'live'
ORDER BY sop_instance_uid
ON CONFLICT (sop_instance_uid) DO NOTHING
"""
_HIDE: Final = f"""
UPDATE dicom_instance AS i SET state = {STATE_OF_CODE}
FROM (SELECT sop_instance_uid, code FROM dicom_rejection
      WHERE sop_instance_uid = ANY(%s) ORDER BY sop_instance_uid) AS r
WHERE i.sop_instance_uid = r.sop_instance_uid AND i.state IN ('live', 'hidden')
RETURNING i.study_instance_uid
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """An instance that a note lists."""

    study: str
    series: str
    instance: str


def listed(note: Dataset) -> list[Listed]:
    """Return the instances of a note's evidence, each once; what is no UID is left out."""
    found = {
        Listed(
            str(study.get("StudyInstanceUID", "")),
            str(series.get("SeriesInstanceUID", "")),
            str(instance.get("ReferencedSOPInstanceUID", "")),
        ): None
        for keyword in _EVIDENCE
        for study in note.get(keyword) or ()
        for series in study.get("ReferencedSeriesSequence") or ()
        for instance in series.get("ReferencedSOPSequence") or ()
    }
    return [one for one in found if all(map(valid_uid, (one.study, one.series, one.instance)))]


async def run(server: Server, payload: dict[str, Any]) -> None:
    """Do what the note `payload["instance"]` says; doing it again changes nothing.

    Raises OSError while the archive does not answer.
    """
    uid = str(payload["instance"])
    async with server.database.statement() as connection:
        row = await (await connection.execute(_NOTE, (uid,))).fetchone()
    if row is None:
        return
    blob, study, calling, attributes = row
    found = await asyncio.to_thread(_read, server, uid, blob)
    async with server.database.transaction() as connection:
        if isinstance(found, str):
            detail = {"note": uid, "failed": found}
            await journal.add(connection, study, "note", calling, detail)
            return
        [title, *_] = items(attributes, "ConceptNameCodeSequence")
        actor = f"note of {calling}"
        studies = await apply(connection, uid, actor, text(title, "CodeValue"), found)
        for one in studies:
            await audit.record(server, connection, one, actor, audit.CHANGED, "reject")


def _read(server: Server, uid: str, blob: str) -> list[Listed] | str:
    """Return what a note lists, or the kind of error where that can never be read."""
    stored = archive_blobs(server.blobs, server.settings.dicom).stored(blob)
    try:
        with stored.open() as file:
            return listed(pydicom.dcmread(file, specific_tags=list(_EVIDENCE)))
    except Exception as error:  # noqa: BLE001  (any data set may come; the note stays)
        log.warning("rejection note %s cannot be read: %s", uid, type(error).__name__)
        return type(error).__name__


async def apply(
    connection: Connection, note: str, actor: str, code: str, found: Sequence[Listed]
) -> list[str]:
    """Reject what a note lists, here and still to come; return the studies that concerns."""
    if not found:
        return []
    instances = [one.instance for one in found]
    given = {
        "code": code,
        "note": note,
        "actor": actor,
        "reason": "",
        "instances": instances,
        "studies": [one.study for one in found],
        "series": [one.series for one in found],
    }
    statement = _EXPIRE if code == RETENTION_EXPIRED else _REJECT
    if not (await connection.execute(statement, given)).rowcount:
        return []
    hidden = await (await connection.execute(_HIDE, (instances,))).fetchall()
    studies = {one.study for one in found} | {row[0] for row in hidden}
    for study in sorted(studies):
        own = [one.instance for one in found if one.study == study]
        await journal.add(
            connection, study, "reject", actor, {"code": code, "note": note, "instances": own}
        )
    await jobs.enqueue(connection, _folds(studies))
    return sorted(studies)


def _folds(studies: Iterable[str]) -> list[jobs.Job]:
    return [fold_job(one, 0) for one in sorted(studies)]
