"""The instance index in the database, written from the associations' threads."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
import psycopg
from psycopg_pool import ConnectionPool

from fhir_server import jobs
from fhir_server.database import SESSION

FOLD = "dicom.fold"

_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """An instance as it is indexed; hashes are raw SHA-256."""

    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    blob: bytes
    data_set_hash: bytes
    size: int
    data_set_offset: int
    pixel_offset: int | None
    calling_ae: str
    peer: str
    flags: list[str]
    attributes: dict[str, Any]


class Verdict(Enum):
    """What became of a row: new, the same as before, or kept aside as a conflict."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


_INSERT = """
INSERT INTO dicom_instance (sop_instance_uid, study_instance_uid, series_instance_uid,
    sop_class_uid, transfer_syntax_uid, blob, data_set_hash, size, data_set_offset,
    pixel_offset, calling_ae, peer, flags, attributes)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::text::jsonb)
ON CONFLICT DO NOTHING
"""

_PRESENT = """
SELECT study_instance_uid, series_instance_uid, transfer_syntax_uid, data_set_hash, blob
FROM dicom_instance WHERE sop_instance_uid = %s
"""

_CONFLICT = """
INSERT INTO dicom_conflict (sop_instance_uid, kind, study_instance_uid, series_instance_uid,
    transfer_syntax_uid, blob, data_set_hash, calling_ae, peer)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""


class Index:
    """A small pool of connections that all associations of a process share."""

    def __init__(self, conninfo: str, *, connections: int, quiet_seconds: float) -> None:
        self._quiet_seconds = quiet_seconds
        self._pool: ConnectionPool[psycopg.Connection[tuple[Any, ...]]] = ConnectionPool(
            conninfo,
            min_size=1,
            max_size=connections,
            open=False,
            kwargs={"options": SESSION},
        )

    def open(self) -> None:
        """Connect in the background; the first `add` waits for it."""
        self._pool.open()

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def add(self, row: Row) -> tuple[Verdict, bool]:
        """Commit the row and its fold job; return the verdict, and whether its blob is needed.

        Raises psycopg.Error, PoolTimeout among them, when it is not known to be committed.
        """
        job = fold_job(row.study_instance_uid, self._quiet_seconds)
        with self._pool.connection(timeout=_WAIT_SECONDS) as connection:
            with connection.pipeline():
                cursor = connection.execute(_INSERT, _values(row))
                jobs.enqueue_sync(connection, [job])
                connection.commit()
            if cursor.rowcount:
                return Verdict.STORED, True
            return _again(connection, row)


def fold_job(study_instance_uid: str, delay_seconds: float) -> jobs.Job:
    """Return the job that brings a study's ImagingStudy up to date."""
    return jobs.Job(FOLD, {"study": study_instance_uid}, study_instance_uid, delay_seconds)


def conflict_kind(row: Row, study: str, series: str, transfer_syntax: str) -> str:
    """Return how `row` differs from what is stored under its SOP Instance UID."""
    if (study, series) != (row.study_instance_uid, row.series_instance_uid):
        return "study"
    return "content" if transfer_syntax == row.transfer_syntax_uid else "encoding"


def _again(connection: psycopg.Connection[tuple[Any, ...]], row: Row) -> tuple[Verdict, bool]:
    """Keep the first content of a SOP Instance UID, and others aside for the operator."""
    present = connection.execute(_PRESENT, (row.sop_instance_uid,)).fetchone()
    assert present is not None, "an instance row vanished"
    study, series, transfer_syntax, data_set_hash, blob = present
    kind = conflict_kind(row, study, series, transfer_syntax)
    if kind == "content" and data_set_hash == row.data_set_hash:
        return Verdict.DUPLICATE, blob == row.blob
    connection.execute(
        _CONFLICT,
        (
            row.sop_instance_uid,
            kind,
            row.study_instance_uid,
            row.series_instance_uid,
            row.transfer_syntax_uid,
            row.blob,
            row.data_set_hash,
            row.calling_ae,
            row.peer,
        ),
    )
    connection.commit()
    return Verdict.CONFLICT, True


def _values(row: Row) -> tuple[Any, ...]:
    return (
        row.sop_instance_uid,
        row.study_instance_uid,
        row.series_instance_uid,
        row.sop_class_uid,
        row.transfer_syntax_uid,
        row.blob,
        row.data_set_hash,
        row.size,
        row.data_set_offset,
        row.pixel_offset,
        row.calling_ae,
        row.peer,
        row.flags,
        msgspec.json.encode(row.attributes).decode(),
    )
