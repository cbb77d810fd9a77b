"""The comparison of stored files with the hashes they are known by.

A job reads a part of the archive each day, so that all of it is read in `verify_days`; a round
goes by SOP Instance UID, and where it is stands in `dicom_verification`.
"""

import asyncio
import errno
import hashlib
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from adapters.dicom.storage.tiered import archive_blobs
from fhir_server import jobs
from fhir_server.blobs import Blobs
from fhir_server.database import Connection
from fhir_server.server import Server

log = logging.getLogger(__name__)

KIND: Final = "dicom.verify"
_DAY_SECONDS = 86_400
_BATCH = 200
_PIECE = 1 << 20

# The first day's part is due a day after the archive was first opened.
_OPENED = "INSERT INTO dicom_verification (id) VALUES (1) ON CONFLICT DO NOTHING"
_DUE = "SELECT at < clock_timestamp() - %s * interval '1 second' FROM dicom_verification"
_BEGIN = """
INSERT INTO dicom_verification (id) VALUES (1)
ON CONFLICT (id) DO UPDATE SET at = clock_timestamp()
RETURNING after, (SELECT count(*) FROM dicom_instance)
"""
_NEXT = """
SELECT sop_instance_uid, encode(blob, 'hex'), data_set_offset + size FROM dicom_instance
WHERE sop_instance_uid > %s ORDER BY sop_instance_uid LIMIT %s
"""
_GO_ON = """
UPDATE dicom_verification SET after = %(after)s, checked = checked + %(checked)s WHERE id = 1
"""
_AGAIN = """
UPDATE dicom_verification
SET after = '', checked = 0, rounds = rounds + 1, started_at = clock_timestamp() WHERE id = 1
"""
# What was removed or packed anew meanwhile is no damage.
_DAMAGED: Final = """
INSERT INTO dicom_damage (sop_instance_uid, blob, kind)
SELECT sop_instance_uid, blob, %(kind)s FROM dicom_instance
WHERE sop_instance_uid = %(uid)s AND blob = decode(%(blob)s, 'hex')
ON CONFLICT (sop_instance_uid) DO UPDATE SET kind = excluded.kind, blob = excluded.blob
"""
_SOUND: Final = "DELETE FROM dicom_damage WHERE sop_instance_uid = ANY (%s)"
_OF_STUDY = """
SELECT sop_instance_uid, encode(blob, 'hex'), data_set_offset + size FROM dicom_instance
WHERE study_instance_uid = %s ORDER BY sop_instance_uid
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """An instance's file: its hash in hex and its size."""

    sop_instance_uid: str
    blob: str
    size: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a file: "missing", "unreadable", of another "size" or "hash", or None."""

    stored: Stored
    kind: str | None


def check(blobs: Blobs, stored: Stored) -> Finding:
    """Read a file and compare it. Raises OSError when it cannot be had now.

    What its disk cannot read is damaged: trying again would hold up the round for ever.
    """
    digest = hashlib.sha256()
    size = 0
    try:
        with blobs.open(stored.blob) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                size += len(piece)
    except FileNotFoundError:
        return Finding(stored, "missing")
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return Finding(stored, "unreadable")
    if size != stored.size:
        return Finding(stored, "size")
    return Finding(stored, None if digest.hexdigest() == stored.blob else "hash")


def start(connection: psycopg.Connection[tuple[Any, ...]], days: float) -> None:
    """Have a day's part verified if none was for a day; with 0 `days`, never."""
    connection.execute(_OPENED)
    row = connection.execute(_DUE, (_DAY_SECONDS,)).fetchone()
    if days and row and row[0]:
        jobs.enqueue_sync(connection, [jobs.Job(KIND, {}, KIND)])


async def run(server: Server, payload: dict[str, Any]) -> None:
    """Verify a batch of the day's part, and come back while there are more."""
    days = server.settings.dicom.verify_days
    if not days:
        return
    blobs = archive_blobs(server.blobs, server.settings.dicom)
    async with server.database.statement() as connection:
        row = await (await connection.execute(_BEGIN)).fetchone()
    assert row is not None
    after, count = row
    left = payload.get("left", math.ceil(count / days))
    found = await _next(server, after, min(left, _BATCH))
    findings = await asyncio.to_thread(lambda: [check(blobs, one) for one in found])
    async with server.database.transaction() as connection:
        for sql, values in statements(findings):
            await connection.execute(sql, values)
        if len(found) < min(left, _BATCH):
            await connection.execute(_AGAIN)
        elif found:
            moved = {"after": found[-1].sop_instance_uid, "checked": len(found)}
            await connection.execute(_GO_ON, moved)
            if left > len(found):
                more = jobs.Job(KIND, {"left": left - len(found)}, KIND)
                await jobs.enqueue(connection, [more])
    for one in findings:
        if one.kind:
            log.error("the file of instance %s: %s", one.stored.sop_instance_uid, one.kind)


async def _next(server: Server, after: str, count: int) -> list[Stored]:
    async with server.database.connection() as connection:
        cursor = await connection.execute(_NEXT, (after, count))
        return [Stored(*row) for row in await cursor.fetchall()]


def statements(findings: Sequence[Finding]) -> Iterator[tuple[str, Any]]:
    """Yield the statements that take note of findings; what is sound again is damaged no more."""
    if sound := [one.stored.sop_instance_uid for one in findings if one.kind is None]:
        yield _SOUND, (sound,)
    for one in findings:
        if one.kind:
            stored = one.stored
            yield (
                _DAMAGED,
                {"uid": stored.sop_instance_uid, "blob": stored.blob, "kind": one.kind},
            )


def files(
    connection: psycopg.Connection[tuple[Any, ...]], study: str | None = None
) -> Iterator[Stored]:
    """Yield the files of a study, or of the whole archive by and by."""
    if study is not None:
        yield from [Stored(*row) for row in connection.execute(_OF_STUDY, (study,))]
        return
    after = ""
    while found := [Stored(*row) for row in connection.execute(_NEXT, (after, _BATCH))]:
        yield from found
        after = found[-1].sop_instance_uid


def verify(
    connection: psycopg.Connection[tuple[Any, ...]], blobs: Blobs, stored: Iterable[Stored]
) -> Iterator[Finding]:
    """Compare files, take note of what is found, and yield it. Raises as `check` does."""
    for one in stored:
        found = check(blobs, one)
        for sql, values in statements([found]):
            connection.execute(sql, values)
        yield found


async def damaged(connection: Connection) -> int:
    """Return how many files are known to be damaged."""
    row = await (await connection.execute("SELECT count(*) FROM dicom_damage")).fetchone()
    return int(row[0]) if row else 0
