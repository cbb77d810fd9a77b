"""Instances that are rejected: hidden, restored, and allowed to be removed for good.

https://profiles.ihe.net/RAD/TF/Volume1/ch-44.html
"""

from dataclasses import dataclass
from typing import Final

from adapters.dicom.dataset.rejections import QUALITY, SAFETY, TITLES, WRONG_WORKLIST_ENTRY
from adapters.dicom.storage.index import fold_job
from adapters.dicom.studies import journal
from fhir_server import jobs
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Conflict, NotFound

WITHDRAWN: Final = frozenset((SAFETY, WRONG_WORKLIST_ENTRY))
"""With these nobody is to see the instances, and they are not taken again."""

LIVE, HIDDEN, REJECTED, NOTE = "live", "hidden", "rejected", "note"
"""States of an instance; one that is hidden is there for quality control alone."""

STATE_OF_CODE: Final = f"CASE r.code WHEN '{QUALITY}' THEN '{HIDDEN}' ELSE '{REJECTED}' END"
"""SQL of the state of an instance whose row in `dicom_rejection` is `r`."""

_PLACE: Final = """
study_instance_uid = %(study)s
AND (%(series)s::text IS NULL OR series_instance_uid = %(series)s)
AND (%(instance)s::text IS NULL OR sop_instance_uid = %(instance)s)
"""
# Instances are locked in one order, whoever rejects them.
_REJECT: Final = f"""
WITH found AS (
    SELECT sop_instance_uid, study_instance_uid, series_instance_uid FROM dicom_instance
    WHERE {_PLACE} AND state = 'live' ORDER BY sop_instance_uid FOR UPDATE
), said AS (
    INSERT INTO dicom_rejection (sop_instance_uid, study_instance_uid, series_instance_uid,
        code, rejected_by, reason)
    SELECT sop_instance_uid, study_instance_uid, series_instance_uid, %(code)s, %(actor)s,
        %(reason)s
    FROM found
    ON CONFLICT (sop_instance_uid) DO NOTHING
)
UPDATE dicom_instance AS i SET state = %(state)s
FROM found WHERE i.sop_instance_uid = found.sop_instance_uid
RETURNING i.sop_instance_uid
"""
_RESTORE: Final = f"""
WITH found AS (
    DELETE FROM dicom_rejection WHERE {_PLACE} RETURNING sop_instance_uid
), shown AS (
    UPDATE dicom_instance AS i SET state = 'live' FROM found
    WHERE i.sop_instance_uid = found.sop_instance_uid AND i.state IN ('hidden', 'rejected')
)
SELECT sop_instance_uid FROM found
"""
# One person is one wherever they sit: the network address behind the name does not count.
_IS_OWN: Final = r"""
regexp_replace(rejected_by, ' at \S*\Z', '') = regexp_replace(%(actor)s, ' at \S*\Z', '')
"""
_APPROVE: Final = f"""
UPDATE dicom_rejection SET approved_by = %(actor)s, approved_at = clock_timestamp()
WHERE {_PLACE} AND approved_by IS NULL AND NOT {_IS_OWN}
"""
_OWN: Final = f"""
SELECT count(*) FROM dicom_rejection WHERE {_PLACE} AND approved_by IS NULL AND {_IS_OWN}
"""
_THERE: Final = f"SELECT count(*) FROM dicom_instance WHERE {_PLACE}"
_GONE: Final = f"""
SELECT EXISTS (SELECT FROM dicom_tombstone WHERE {_PLACE})
    AND NOT EXISTS (SELECT FROM dicom_instance WHERE {_PLACE})
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A study, one series of it, or one instance; None for all."""

    study: str
    series: str | None = None
    instance: str | None = None


def state_of(code: str) -> str:
    """Return the state of instances that are rejected for a reason."""
    return HIDDEN if code == QUALITY else REJECTED


async def reject(
    connection: Connection, target: Target, code: str, actor: str, *, reason: str = ""
) -> int:
    """Hide what is shown of the target, and return how many instances that were.

    Inside the caller's transaction; its ImagingStudy follows by a job. Raises NotFound when
    the archive has nothing there, BadRequest for a code that is none of `TITLES`.
    """
    if code not in TITLES:
        raise BadRequest(f"There is no such reason; there are {', '.join(TITLES)}")
    given = {**_given(target), "code": code, "state": state_of(code), "actor": actor}
    cursor = await connection.execute(_REJECT, {**given, "reason": reason})
    found = sorted(row[0] for row in await cursor.fetchall())
    if not found:
        await _require(connection, target)
        return 0
    detail = {"code": code, "reason": reason, "instances": found}
    await journal.add(connection, target.study, "reject", actor, detail)
    await jobs.enqueue(connection, [fold_job(target.study, 0)])
    return len(found)


async def restore(connection: Connection, target: Target, actor: str) -> int:
    """Show again what was rejected of the target; return how many instances that are.

    Also what was rejected before it came is then taken again. Raises NotFound.
    """
    cursor = await connection.execute(_RESTORE, _given(target))
    found = sorted(row[0] for row in await cursor.fetchall())
    if not found:
        raise NotFound("Nothing there is rejected")
    await journal.add(connection, target.study, "restore", actor, {"instances": found})
    await jobs.enqueue(connection, [fold_job(target.study, 0)])
    return len(found)


async def approve(connection: Connection, target: Target, actor: str) -> int:
    """Allow that what is rejected is removed for good when its time has come.

    Returns how many instances that concerns. Raises Conflict where the one who rejected
    them would also approve it, NotFound when nothing waits for it.
    """
    given = {**_given(target), "actor": actor}
    own = await (await connection.execute(_OWN, given)).fetchone()
    changed = (await connection.execute(_APPROVE, given)).rowcount
    if not changed and own and own[0]:
        raise Conflict("Who rejected them cannot approve that they are removed")
    if not changed:
        raise NotFound("Nothing there waits for approval")
    await journal.add(connection, target.study, "approve", actor, {"instances": changed})
    return changed


async def expunged(connection: Connection, target: Target) -> bool:
    """Return whether what the target was is removed for good, and nothing of it is left."""
    row = await (await connection.execute(_GONE, _given(target))).fetchone()
    return bool(row and row[0])


async def _require(connection: Connection, target: Target) -> None:
    row = await (await connection.execute(_THERE, _given(target))).fetchone()
    if not row or not row[0]:
        raise NotFound("The archive has no such study, series or instance")


def _given(target: Target) -> dict[str, str | None]:
    return {"study": target.study, "series": target.series, "instance": target.instance}
