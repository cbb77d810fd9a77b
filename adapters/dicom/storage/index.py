"""The instance index in the database, written from the associations' threads."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import psycopg
from psycopg_pool import ConnectionPool

from adapters.dicom.dataset.levels import NAMES, of_series, of_study
from adapters.dicom.dataset.names import searched
from adapters.dicom.dataset.rejections import KEY_OBJECTS, TITLES
from adapters.dicom.storage.again import (
    STATE,
    OnConflict,
    Verdict,
    again,
    carry_out,
    rejected,
)
from fhir_server import jobs
from fhir_server.database import SESSION, with_options

FOLD = "dicom.fold"
NOTE = "dicom.note"
DOCUMENTS = "dicom.documents"

DOCUMENT_CLASSES = ("1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.104.")
"""How the SOP classes of structured reports and of encapsulated documents begin."""

VERSION = 2
"""Of what index rows hold; rows of another are written again by a job (query/backfill.py)."""

_WAIT_SECONDS = 30.0
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DATE = re.compile(r"\d{8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Row:
    """An instance as it is indexed; hashes are raw SHA-256.

    `recorded` are the jobs that record who stored it, committed with it.
    """

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
    recorded: tuple[jobs.Job, ...] = ()


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

INSERT = f"""
WITH {PARENTS.format(known="DO NOTHING")}
INSERT INTO dicom_instance (sop_instance_uid, study_instance_uid, series_instance_uid,
    sop_class_uid, transfer_syntax_uid, blob, data_set_hash, size, data_set_offset,
    pixel_offset, calling_ae, peer, flags, attributes, instance_number, state, indexed)
VALUES (%(sop_instance_uid)s, %(study_instance_uid)s, %(series_instance_uid)s,
    %(sop_class_uid)s, %(transfer_syntax_uid)s, %(blob)s, %(data_set_hash)s, %(size)s,
    %(data_set_offset)s, %(pixel_offset)s, %(calling_ae)s, %(peer)s, %(flags)s,
    %(attributes)s::text::jsonb, %(instance_number)s, {STATE}, {VERSION})
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is done with another content of a known UID, and with what was rejected before."""

    on_conflict: OnConflict = "keep-first"
    refuse_rejected: bool = True


class Rows(Protocol):
    """Where instances are made known."""

    def add(self, row: Row) -> tuple[Verdict, bool]:
        """Commit the row and its fold job; return the verdict, and whether its blob is needed.

        Raises psycopg.Error or Unavailable when it is not known to be committed.
        """


class Index:
    """A small pool of connections that all associations of a process share."""

    def __init__(
        self, conninfo: str, *, connections: int, quiet_seconds: float, rules: Rules | None = None
    ) -> None:
        self._quiet_seconds = quiet_seconds
        self._rules = rules or Rules()
        self._pool: ConnectionPool[psycopg.Connection[tuple[Any, ...]]] = ConnectionPool(
            conninfo,
            min_size=1,
            max_size=connections,
            open=False,
            kwargs={"options": with_options(conninfo, SESSION)},
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
        values, work = written(row, self._rules, self._quiet_seconds)
        with self._pool.connection(timeout=_WAIT_SECONDS) as connection:
            try:
                with connection.pipeline():
                    cursor = connection.execute(INSERT, values)
                    jobs.enqueue_sync(connection, work)
                    connection.commit()
            except psycopg.errors.NotNullViolation:
                connection.rollback()
                return carry_out(connection, rejected(values))
            if cursor.rowcount:
                return Verdict.STORED, True
            found = carry_out(connection, again(values, self._rules.on_conflict))
            connection.commit()
            return found


def written(row: Row, rules: Rules, quiet_seconds: float) -> tuple[dict[str, Any], list[jobs.Job]]:
    """Return the columns of a new row, and the jobs that are written with it."""
    values = {**_values(row), "state": "live", "withdrawn": None}
    if not rules.refuse_rejected:
        values["withdrawn"] = "rejected"
    work = [fold_job(row.study_instance_uid, quiet_seconds), *row.recorded]
    if is_document(row.sop_class_uid):
        work.append(documents_job(row.study_instance_uid, quiet_seconds))
    if is_rejection_note(row.sop_class_uid, row.attributes):
        values["state"] = "note"
        work.append(note_job(row.sop_instance_uid))
    return values, work


def fold_job(study_instance_uid: str, delay_seconds: float) -> jobs.Job:
    """Return the job that brings a study's ImagingStudy up to date."""
    return jobs.Job(FOLD, {"study": study_instance_uid}, study_instance_uid, delay_seconds)


def note_job(sop_instance_uid: str) -> jobs.Job:
    """Return the job that does what a rejection note says."""
    return jobs.Job(NOTE, {"instance": sop_instance_uid}, sop_instance_uid)


def documents_job(study_instance_uid: str, delay_seconds: float = 0) -> jobs.Job:
    """Return the job that brings what a study's documents say into FHIR."""
    payload = {"study": study_instance_uid}
    return jobs.Job(DOCUMENTS, payload, study_instance_uid, delay_seconds)


def is_document(sop_class_uid: str) -> bool:
    """Return whether instances of a class are structured reports or encapsulated documents."""
    return sop_class_uid.startswith(DOCUMENT_CLASSES)


def is_rejection_note(sop_class_uid: str, attributes: Mapping[str, Any]) -> bool:
    """Return whether this is a Key Object Selection whose title rejects what it lists."""
    titles: Sequence[Mapping[str, Any]] = attributes.get("ConceptNameCodeSequence") or ({},)
    return (
        sop_class_uid == KEY_OBJECTS
        and _first(titles[0], "CodingSchemeDesignator") == "DCM"
        and _first(titles[0], "CodeValue") in TITLES
    )


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
