"""What the DICOM adapter keeps of a patient, removed for good."""

import asyncio
from typing import Any, Final

from sqlalchemy import Table

from adapters.dicom import tables
from adapters.dicom.storage.tiered import Tiered, archive_blobs
from fhir_server.database import Connection
from fhir_server.interactions.erasure import Erased
from fhir_server.server import Server

_STUDIES: Final = """
SELECT study_instance_uid FROM dicom_study
WHERE patient = ANY(%(his)s) OR subject = ANY(%(his)s) OR link = ANY(%(his)s)
   OR matched <@ %(his)s::text[] AND matched <> '{}'
UNION SELECT study_instance_uid FROM dicom_expected WHERE subject = ANY(%(his)s)
UNION SELECT study_instance_uid FROM worklist_order
WHERE service_request = ANY(%(ids)s) OR service_request = ANY(%(literals)s)
"""
_INSTANCES: Final = """
SELECT sop_instance_uid, encode(blob, 'hex') FROM dicom_instance
WHERE study_instance_uid = ANY(%(studies)s)
UNION SELECT sop_instance_uid, encode(blob, 'hex') FROM dicom_conflict
WHERE study_instance_uid = ANY(%(studies)s)
"""
_STEPS: Final = """
WITH gone AS (
    DELETE FROM dicom_mpps
    WHERE studies && %(studies)s OR procedure = ANY(%(ids)s)
       OR procedure IS NULL AND attributes #>> '{00100020,1,0}' = ANY(%(values)s)
    RETURNING sop_instance_uid)
DELETE FROM dicom_mpps_message USING gone
WHERE dicom_mpps_message.sop_instance_uid = gone.sop_instance_uid
"""
_ORDERED: Final = """
DELETE FROM worklist_step
WHERE service_request = ANY(%(ids)s) OR service_request = ANY(%(literals)s)
"""
_COMMITMENTS: Final = """
DELETE FROM dicom_commitment AS c WHERE EXISTS (
    SELECT FROM unnest(%(instances)s::text[]) AS i(uid)
    WHERE position(i.uid IN c.instances::text) > 0)
"""
_NEEDED: Final = """
SELECT encode(blob, 'hex') FROM dicom_instance WHERE blob = ANY(%(blobs)s)
UNION SELECT encode(blob, 'hex') FROM dicom_conflict WHERE blob = ANY(%(blobs)s)
"""


def _having(column: str) -> list[Table]:
    return [one for one in tables.metadata.tables.values() if column in one.columns]


async def erase(server: Server, gone: Erased) -> int:
    """Remove studies, orders and steps of a patient with their files; return how many instances."""
    his = f"Patient/{gone.patient}"
    given: dict[str, Any] = {
        "his": [gone.patient, his],
        "literals": sorted(gone.literals),
        "ids": sorted(one.partition("/")[2] for one in gone.literals),
        "values": sorted(gone.identifiers),
    }
    async with server.database.transaction() as connection:
        rows = await (await connection.execute(_STUDIES, given)).fetchall()
        given["studies"] = [row[0] for row in rows]
        found = await (await connection.execute(_INSTANCES, given)).fetchall()
        given["instances"] = [row[0] for row in found]
        given["blobs"] = [bytes.fromhex(row[1]) for row in found]
        await _remove(connection, given)
        kept = {row[0] for row in await (await connection.execute(_NEEDED, given)).fetchall()}
        # Nothing comes back of an erasure that was approved: a file may go before the commit.
        await asyncio.to_thread(_drop, server, {row[1] for row in found} - kept)
    return len(found)


async def _remove(connection: Connection, given: dict[str, Any]) -> None:
    for statement in (_STEPS, _ORDERED, _COMMITMENTS):
        await connection.execute(statement, given)
    for table in _having("blob"):
        if table.name not in {"dicom_instance", "dicom_conflict"}:
            await connection.execute(f"DELETE FROM {table.name} WHERE blob = ANY(%(blobs)s)", given)
    for column, values in (("sop_instance_uid", "instances"), ("study_instance_uid", "studies")):
        for table in _having(column):
            where = f"{column} = ANY(%({values})s)"
            await connection.execute(f"DELETE FROM {table.name} WHERE {where}", given)


def _drop(server: Server, digests: set[str]) -> None:
    blobs = archive_blobs(server.blobs, server.settings.dicom)
    for digest in digests:
        if isinstance(blobs, Tiered):
            blobs.drop(digest)
        with blobs.still():
            blobs.place(digest).unlink(missing_ok=True)
