"""The job that removes for good what was rejected, was allowed to go, and is old enough.

Its blobs go with the next sweep (storage/sweep.py), those that no other row needs; of an object
store too.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from adapters.dicom.dataset.rejections import RETENTION_EXPIRED
from adapters.dicom.storage.index import fold_job
from adapters.dicom.storage.tiered import Tiered, archive_blobs
from adapters.dicom.studies import audit
from fhir_server import jobs
from fhir_server.database import Connection
from fhir_server.server import Server

KIND: Final = "dicom.expunge"
_EVERY_SECONDS: Final = 3_600.0
_AT_ONCE: Final = 1_000

# What is withdrawn or hidden stays so when it comes again; that its bytes may go is said anew.
_EXPUNGE: Final = f"""
WITH due AS (
    SELECT r.sop_instance_uid, r.code, r.reason, r.rejected_by, r.approved_by
    FROM dicom_rejection AS r JOIN dicom_instance AS i USING (sop_instance_uid)
    WHERE r.approved_by IS NOT NULL AND i.state <> 'live'
      AND r.rejected_at < now() - %(days)s * interval '1 day'
    ORDER BY r.sop_instance_uid LIMIT %(most)s FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM dicom_instance AS i USING due
    WHERE i.sop_instance_uid = due.sop_instance_uid
    RETURNING i.sop_instance_uid, i.study_instance_uid, i.series_instance_uid, i.data_set_hash,
        i.blob
), versions AS (
    DELETE FROM dicom_conflict AS c USING due WHERE c.sop_instance_uid = due.sop_instance_uid
    RETURNING due.sop_instance_uid, c.blob
), stones AS (
    INSERT INTO dicom_tombstone (sop_instance_uid, study_instance_uid, series_instance_uid,
        data_set_hash, code, reason, rejected_by, approved_by)
    SELECT sop_instance_uid, study_instance_uid, series_instance_uid, data_set_hash, code, reason,
        rejected_by, approved_by
    FROM gone JOIN due USING (sop_instance_uid)
    ON CONFLICT (sop_instance_uid) DO UPDATE
    SET study_instance_uid = excluded.study_instance_uid,
        series_instance_uid = excluded.series_instance_uid,
        data_set_hash = excluded.data_set_hash, code = excluded.code, reason = excluded.reason,
        rejected_by = excluded.rejected_by, approved_by = excluded.approved_by,
        expunged_at = excluded.expunged_at
), over AS (
    DELETE FROM dicom_rejection AS r USING due
    WHERE r.sop_instance_uid = due.sop_instance_uid AND due.code = '{RETENTION_EXPIRED}'
), again AS (
    UPDATE dicom_rejection AS r SET approved_by = NULL, approved_at = NULL FROM due
    WHERE r.sop_instance_uid = due.sop_instance_uid AND due.code <> '{RETENTION_EXPIRED}'
)
SELECT study_instance_uid, count(*), min(rejected_by || ', ' || approved_by),
    array_agg(encode(gone.blob, 'hex'))
    || (SELECT coalesce(array_agg(encode(blob, 'hex')), '{{}}') FROM versions)
FROM gone JOIN due USING (sop_instance_uid) GROUP BY 1 ORDER BY 1
"""
# What they said of patient and study goes too; a study that comes again is indexed anew.
_EMPTIED: Final = """
WITH shown AS (
    DELETE FROM dicom_metadata WHERE study_instance_uid = ANY(%(studies)s)
), series AS (
    DELETE FROM dicom_series AS s WHERE study_instance_uid = ANY(%(studies)s) AND NOT EXISTS (
        SELECT FROM dicom_instance AS i WHERE i.study_instance_uid = s.study_instance_uid
        AND i.series_instance_uid = s.series_instance_uid)
)
DELETE FROM dicom_study AS s WHERE study_instance_uid = ANY(%(studies)s) AND NOT EXISTS (
    SELECT FROM dicom_instance AS i WHERE i.study_instance_uid = s.study_instance_uid)
"""
_FORGET_CONFLICTS: Final = """
DELETE FROM dicom_conflict
WHERE state IN ('open', 'kept') AND received_at < now() - %s * interval '1 day'
RETURNING encode(blob, 'hex')
"""


@dataclass(frozen=True, slots=True)
class Expunged:
    """How many instances were removed, and by study who rejected and approved that.

    `blobs` are the hex digests of their files, which other rows may need.
    """

    instances: int
    people: Mapping[str, str]
    blobs: frozenset[str]


def job(delay_seconds: float = _EVERY_SECONDS) -> jobs.Job:
    """Return the job, which comes back by itself."""
    return jobs.Job(KIND, {}, KIND, delay_seconds)


async def run(server: Server, _payload: dict[str, Any]) -> None:
    """Remove what is due, and come back in an hour, or at once while there is more."""
    settings = server.settings.dicom
    async with server.database.transaction() as connection:
        cursor = await connection.execute(_FORGET_CONFLICTS, (settings.conflict_days,))
        forgotten = {row[0] for row in await cursor.fetchall()}
        gone = await expunge(connection, settings.expunge_days)
        for study, people in gone.people.items():
            await audit.record(server, connection, study, people, audit.REMOVED, "expunge")
        await asyncio.to_thread(_drop, server, gone.blobs | forgotten)
        removed = gone.instances
        await jobs.enqueue(connection, [job(0 if removed >= _AT_ONCE else _EVERY_SECONDS)])


def _drop(server: Server, digests: Iterable[str]) -> None:
    """Have the sweep look for blobs that the disk may hold no more. It asks what is needed."""
    blobs = archive_blobs(server.blobs, server.settings.dicom)
    if isinstance(blobs, Tiered):
        for digest in digests:
            blobs.drop(digest)


async def expunge(connection: Connection, days: float) -> Expunged:
    """Remove what was allowed to go and is rejected for so many days."""
    cursor = await connection.execute(_EXPUNGE, {"days": days, "most": _AT_ONCE})
    rows = await cursor.fetchall()
    studies = [row[0] for row in rows]
    if studies:
        await connection.execute(_EMPTIED, {"studies": studies})
        await jobs.enqueue(connection, [fold_job(one, 0) for one in studies])
    blobs = frozenset(digest for row in rows for digest in row[3])
    return Expunged(sum(row[1] for row in rows), {row[0]: row[2] for row in rows}, blobs)
