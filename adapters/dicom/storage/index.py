"""The instance index in the database, written from the associations' threads."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
import psycopg
from psycopg_pool import ConnectionPool

from adapters.dicom.dataset.levels import NAMES, of_series, of_study
from adapters.dicom.dataset.names import searched
from fhir_server import jobs
from fhir_server.database import SESSION

FOLD = "dicom.fold"

VERSION = 1
"""Of what index rows hold; rows of another are written again by a job (query/backfill.py)."""

_WAIT_SECONDS = 30.0
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DATE = re.compile(r"\d{8}", re.ASCII)


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


# What the first instance says of a study or a series stays (PS3.4, C.4.1.2.2.1). The parts run
# in one order in every transaction: instance, study, series.
PARENTS = """
study AS (
    INSERT INTO dicom_study (study_instance_uid, patient_id, patient_issuer, patient_name,
        patient_ideographic, patient_phonetic, study_date, accession_number, folded, attributes)
    VALUES (%(study_instance_uid)s, %(patient_id)s, %(patient_issuer)s, %(patient_name)s,
        %(patient_ideographic)s, %(patient_phonetic)s, %(study_date)s, %(accession_number)s,
        %(study_folded)s::text::jsonb, %(study_attributes)s::text::jsonb)
    ON CONFLICT (study_instance_uid) {known}
), series AS (
    INSERT INTO dicom_series (study_instance_uid, series_instance_uid, modality, series_number,
        folded, attributes)
    VALUES (%(study_instance_uid)s, %(series_instance_uid)s, %(modality)s, %(series_number)s,
        %(series_folded)s::text::jsonb, %(series_attributes)s::text::jsonb)
    ON CONFLICT DO NOTHING
)
"""

_INSERT = f"""
WITH {PARENTS.format(known="DO NOTHING")}
INSERT INTO dicom_instance (sop_instance_uid, study_instance_uid, series_instance_uid,
    sop_class_uid, transfer_syntax_uid, blob, data_set_hash, size, data_set_offset,
    pixel_offset, calling_ae, peer, flags, attributes, instance_number, indexed)
VALUES (%(sop_instance_uid)s, %(study_instance_uid)s, %(series_instance_uid)s,
    %(sop_class_uid)s, %(transfer_syntax_uid)s, %(blob)s, %(data_set_hash)s, %(size)s,
    %(data_set_offset)s, %(pixel_offset)s, %(calling_ae)s, %(peer)s, %(flags)s,
    %(attributes)s::text::jsonb, %(instance_number)s, {VERSION})
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


def _values(row: Row) -> dict[str, Any]:
    return {
        "sop_instance_uid": row.sop_instance_uid,
        "sop_class_uid": row.sop_class_uid,
        "transfer_syntax_uid": row.transfer_syntax_uid,
        "blob": row.blob,
        "data_set_hash": row.data_set_hash,
        "size": row.size,
        "data_set_offset": row.data_set_offset,
        "pixel_offset": row.pixel_offset,
        "calling_ae": row.calling_ae,
        "peer": row.peer,
        "flags": row.flags,
        "attributes": _json(row.attributes),
        "instance_number": integer(row.attributes, "InstanceNumber"),
        **parents(row.study_instance_uid, row.series_instance_uid, row.attributes),
    }


def parents(study: str, series: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the study and series rows, from the attributes of an instance."""
    names = searched(_first(attributes, "PatientName"))
    alphabetic, ideographic, phonetic = (*(name or None for name in names), None, None, None)[:3]
    of_this_study, of_this_series = of_study(attributes), of_series(attributes)
    return {
        "study_instance_uid": study,
        "series_instance_uid": series,
        "patient_id": _first(attributes, "PatientID"),
        "patient_issuer": _first(attributes, "IssuerOfPatientID"),
        "patient_name": alphabetic,
        "patient_ideographic": ideographic,
        "patient_phonetic": phonetic,
        "study_date": _date(attributes),
        "accession_number": _first(attributes, "AccessionNumber") or None,
        "study_folded": _folded(of_this_study),
        "study_attributes": _json(of_this_study),
        "modality": _first(attributes, "Modality") or None,
        "series_number": integer(attributes, "SeriesNumber"),
        "series_folded": _folded(of_this_series),
        "series_attributes": _json(of_this_series),
    }


def integer(attributes: Mapping[str, Any], keyword: str) -> int | None:
    """Return an IS value, None where it is no integer or has more than 18 digits."""
    value = _first(attributes, keyword)
    return int(value) if _INTEGER.fullmatch(value) else None


def _first(attributes: Mapping[str, Any], keyword: str) -> str:
    values = attributes.get(keyword)
    return str(values[0]) if values else ""


def _date(attributes: Mapping[str, Any]) -> str | None:
    """Return the study date as YYYYMMDD, also from the old YYYY.MM.DD (PS3.5, 6.2)."""
    value = _first(attributes, "StudyDate").replace(".", "")
    return value if _DATE.fullmatch(value) else None


def _folded(attributes: Mapping[str, Any]) -> str:
    return _json(
        {
            keyword: [
                group for name in attributes[keyword] for group in searched(str(name)) if group
            ]
            for keyword in NAMES & attributes.keys()
        }
    )


def _json(value: Mapping[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
