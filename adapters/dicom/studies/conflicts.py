"""Other contents that came under a known SOP Instance UID, for an operator to decide on."""

from typing import Any, Final

from adapters.dicom.storage.index import fold_job, integer
from adapters.dicom.studies import journal
from fhir_server import jobs
from fhir_server.database import Connection
from fhir_server.errors import Conflict, NotFound

Row = dict[str, Any]

_LIST: Final = """
SELECT c.id, c.sop_instance_uid, c.kind, c.state, c.study_instance_uid, c.series_instance_uid,
    c.transfer_syntax_uid, c.calling_ae, c.received_at, c.size,
    i.study_instance_uid AS stored_study, i.series_instance_uid AS stored_series,
    i.transfer_syntax_uid AS stored_transfer_syntax, i.size AS stored_size,
    i.received_at AS stored_at
FROM dicom_conflict AS c LEFT JOIN dicom_instance AS i USING (sop_instance_uid)
WHERE (%(all)s OR c.state = 'open')
  AND (%(study)s::text IS NULL OR c.study_instance_uid = %(study)s
       OR i.study_instance_uid = %(study)s)
ORDER BY c.id DESC LIMIT %(limit)s
"""
_ONE: Final = """
SELECT sop_instance_uid, kind, state, study_instance_uid, data_set_offset IS NOT NULL, attributes
FROM dicom_conflict WHERE id = %s FOR UPDATE
"""
_KEEP: Final = "UPDATE dicom_conflict SET state = 'kept' WHERE id = %s"
_CONTENT: Final = """
transfer_syntax_uid, blob, data_set_hash, calling_ae, peer, received_at, sop_class_uid, size,
data_set_offset, pixel_offset, flags, attributes
"""
_TAKE: Final = "DELETE FROM dicom_conflict WHERE id = %(id)s"
_ASIDE: Final = f"""
INSERT INTO dicom_conflict (kind, state, sop_instance_uid, study_instance_uid,
    series_instance_uid, {_CONTENT})
SELECT %(kind)s, 'replaced', sop_instance_uid, study_instance_uid, series_instance_uid, {_CONTENT}
FROM dicom_instance WHERE sop_instance_uid = %(uid)s
ON CONFLICT (sop_instance_uid, transfer_syntax_uid, data_set_hash)
DO UPDATE SET state = 'replaced'
RETURNING id
"""
_REPLACE: Final = f"""
UPDATE dicom_instance AS i SET ({_CONTENT}, instance_number) =
    (SELECT {_CONTENT}, %(number)s::bigint FROM dicom_conflict WHERE id = %(id)s)
WHERE sop_instance_uid = %(uid)s RETURNING study_instance_uid
"""


async def conflicts(
    connection: Connection, *, study: str | None = None, everything: bool = False, limit: int = 100
) -> list[Row]:
    """Return what is undecided, with `everything` also what was, the newest first."""
    given = {"study": study, "all": everything, "limit": limit}
    cursor = await connection.execute(_LIST, given)
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]


async def keep(connection: Connection, id_: int, actor: str) -> None:
    """Decide for what is stored. Raises NotFound."""
    uid, _, _, study, _, _ = await _one(connection, id_)
    await connection.execute(_KEEP, (id_,))
    await journal.add(connection, study, "keep", actor, {"conflict": id_, "instance": uid})


async def accept(connection: Connection, id_: int, actor: str) -> int:
    """Decide for what was kept aside; what is stored becomes a previous version.

    Returns the number under which that one is listed: accepting it again undoes this.
    Raises NotFound, and Conflict where the content is another study's.
    """
    uid, kind, state, study, complete, attributes = await _one(connection, id_)
    if kind == "study":
        raise Conflict("The content names another study or series; reject the stored instance")
    if not complete:
        raise Conflict("The content came before its place was kept; send it again")
    number = integer(attributes, "InstanceNumber")
    given = {"id": id_, "uid": uid, "kind": kind, "number": number}
    row = await (await connection.execute(_ASIDE, given)).fetchone()
    found = await (await connection.execute(_REPLACE, given)).fetchone()
    if row is None or found is None:
        raise Conflict("The instance is no longer stored")
    await connection.execute(_TAKE, given)
    detail = {"conflict": id_, "instance": uid, "state": state, "replaced": row[0]}
    await journal.add(connection, study, "accept", actor, detail)
    await jobs.enqueue(connection, [fold_job(found[0], 0)])
    return int(row[0])


async def _one(connection: Connection, id_: int) -> tuple[Any, ...]:
    row = await (await connection.execute(_ONE, (id_,))).fetchone()
    if row is None:
        raise NotFound(f"There is no conflict {id_}")
    return row
