"""The job that writes index rows again which an older version of the index has left.

It reads the heads of the stored files, as the store path does.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import msgspec
import psycopg

from adapters.dicom.dataset.elements import Broken, MoreNeeded
from adapters.dicom.dataset.head import (
    BadUid,
    Head,
    MissingUid,
    head,
    inflated,
    is_deflated,
    stepped_head,
)
from adapters.dicom.storage.index import PARENTS, VERSION, integer, parents
from adapters.dicom.storage.tiered import archive_blobs
from fhir_server import jobs
from fhir_server.at_rest.files import Openable, pread
from fhir_server.blobs import Blobs
from fhir_server.database import Connection
from fhir_server.server import Server

log = logging.getLogger(__name__)

KIND = "dicom.backfill"
_BATCH = 200

_OLD = """
SELECT sop_instance_uid, study_instance_uid, series_instance_uid, transfer_syntax_uid,
       encode(blob, 'hex'), data_set_offset, size, attributes::text
FROM dicom_instance WHERE indexed < %s ORDER BY received_at LIMIT %s FOR UPDATE SKIP LOCKED
"""

_SOME_OLD = "SELECT 1 FROM dicom_instance WHERE indexed < %s LIMIT 1"

# A study may have a row that only says how it was folded.
_REWRITE = f"""
WITH {
    PARENTS.format(
        known='''DO UPDATE
    SET patient_id = excluded.patient_id, patient_issuer = excluded.patient_issuer,
        patient_name = excluded.patient_name, patient_ideographic = excluded.patient_ideographic,
        patient_phonetic = excluded.patient_phonetic, study_date = excluded.study_date,
        accession_number = excluded.accession_number, folded = excluded.folded,
        attributes = excluded.attributes
    WHERE dicom_study.attributes IS NULL'''
    )
}
UPDATE dicom_instance
SET attributes = %(attributes)s::text::jsonb, instance_number = %(instance_number)s,
    indexed = {VERSION}
WHERE sop_instance_uid = %(sop_instance_uid)s
"""


def job() -> jobs.Job:
    """Return the job; it does nothing where all rows are of this version."""
    return jobs.Job(KIND, {}, KIND)


def start(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Have the job done if there is a row of an older version."""
    if connection.execute(_SOME_OLD, (VERSION,)).fetchone():
        jobs.enqueue_sync(connection, [job()])


async def run(server: Server, _payload: dict[str, Any]) -> None:
    """Write a batch of rows again, and come back while there are more."""
    blobs = archive_blobs(server.blobs, server.settings.dicom)
    async with server.database.transaction() as connection:
        if await _rewrite(connection, blobs):
            await jobs.enqueue(connection, [job()])


async def _rewrite(connection: Connection, blobs: Blobs) -> int:
    cursor = await connection.execute(_OLD, (VERSION, _BATCH))
    found = await cursor.fetchall()
    for sop_instance_uid, study, series, syntax, blob, offset, size, known in found:
        read = await asyncio.to_thread(_attributes, blobs, blob, offset, size, syntax)
        attributes = {**read, **msgspec.json.decode(known)}
        values = {
            "sop_instance_uid": sop_instance_uid,
            "attributes": msgspec.json.encode(attributes).decode(),
            "instance_number": integer(attributes, "InstanceNumber"),
            **parents(study, series, attributes),
        }
        await connection.execute(_REWRITE, values)
    return len(found)


def _attributes(
    blobs: Blobs, blob: str, offset: int, size: int, transfer_syntax: str
) -> Mapping[str, Any]:
    """Return what the stored data set says, nothing where it cannot be read.

    Raises OSError while an object store does not answer.
    """
    try:
        return stored_head(blobs.stored(blob), offset, size, transfer_syntax).attributes
    except (OSError, Broken, MoreNeeded, BadUid, MissingUid) as error:
        if isinstance(error, OSError) and error.errno is None:  # not the disk (storage/s3.py)
            raise
        log.warning("an instance was not read again: %s", type(error).__name__)
        return {}


def stored_head(path: Openable, offset: int, size: int, transfer_syntax: str) -> Head:
    """Return the head of a stored data set; raises as `head` does, and OSError."""
    with path.open("rb") as stream:
        if is_deflated(transfer_syntax):
            stream.seek(offset)
            plain = inflated(stream.read, size, 1 << 40)
            return head(plain, len(plain), transfer_syntax)
        return stepped_head(
            lambda length: pread(stream, offset, offset + length), size, transfer_syntax
        )
