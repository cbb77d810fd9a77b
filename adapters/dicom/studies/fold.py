"""The job that folds a study's instances into one ImagingStudy.

It runs when a study has been quiet, or has waited long enough. An instance's row and
its job are one transaction, and a job that absorbs another starts after that one's
transaction (jobs.py), so the last fold of a study sees every instance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from adapters.dicom.dataset.attributes import Attributes
from adapters.dicom.storage.index import fold_job
from adapters.dicom.studies.imaging_study import (
    DICOM_UID,
    Instance,
    Json,
    Rules,
    imaging_study,
)
from adapters.dicom.studies.patients import (
    Issuers,
    contradicts,
    held,
    identifier,
    is_person,
    patient,
)
from fhir_server import jobs
from fhir_server.caller import Caller
from fhir_server.config import DicomSettings, Settings
from fhir_server.database import Connection
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server

CALLER = Caller("dicom", "dicom")

_LONGEST_WAIT = timedelta(minutes=2)
_NEW_PATIENT = "urn:uuid:6cdb0b1e-5a4c-4a0f-9c5a-6b7f0e2d3c11"

# One fold of a study at a time, and each reads after the one before it has committed.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"

_PROGRESS = """
SELECT clock_timestamp(), count(*), max(i.received_at),
       coalesce(min(i.received_at) FILTER (WHERE i.received_at > s.folded_to), min(i.received_at)),
       coalesce(max(s.folds), 0), coalesce(max(s.instances), 0)
FROM dicom_instance i LEFT JOIN dicom_study s USING (study_instance_uid)
WHERE study_instance_uid = %s AND state = 'live'
"""

_ROWS = """
SELECT sop_instance_uid, series_instance_uid, sop_class_uid, attributes::text
FROM dicom_instance
WHERE study_instance_uid = %s AND state = 'live'
ORDER BY received_at, sop_instance_uid
"""

_FOLDED = """
INSERT INTO dicom_study (study_instance_uid, folded_to, folded_at, folds, instances, subject)
VALUES (%s, %s, clock_timestamp(), 1, %s, %s)
ON CONFLICT (study_instance_uid) DO UPDATE
SET folded_to = excluded.folded_to, folded_at = excluded.folded_at,
    folds = dicom_study.folds + 1, instances = excluded.instances, subject = excluded.subject
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study has come: its instances, and what its ImagingStudy shows of them.

    `first_unseen` is the oldest arrival that is not shown, or that of the study.
    """

    now: datetime
    instances: int
    last_arrival: datetime
    first_unseen: datetime
    folds: int
    shown: int


@dataclass(frozen=True, slots=True)
class Subject:
    """What the study says of its patient: how it was matched, and what to write.

    `match` is linked, created, held (no such Patient), conflict (the one contradicts),
    ambiguous (several) or anonymous (the id names nobody).
    """

    match: str
    reference: Json
    entries: tuple[Entry, ...] = ()


async def run(server: Server, payload: dict[str, Any]) -> None:
    """Bring the ImagingStudy of `payload["study"]` up to date, or come back later."""
    study = str(payload["study"])
    async with server.database.transaction() as connection:
        await connection.execute(_LOCK, (study,))
        progress = await _progress(connection, study)
        if progress is None:
            return
        wait = waiting(progress, server.settings.dicom)
        if wait > timedelta(0):
            await jobs.enqueue(connection, [fold_job(study, wait.total_seconds())])
            return
        await _fold(server, connection, study, progress)


def waiting(progress: Progress, settings: DicomSettings) -> timedelta:
    """Return how long to wait: until the study is quiet, but with bounded patience.

    The patience doubles with each fold, as each version of a study that grows
    stores all of it again.
    """
    quiet = progress.last_arrival + timedelta(seconds=settings.quiet_seconds)
    patience = min(settings.patience_seconds * 2 ** min(progress.folds, 8), _LONGEST_WAIT.seconds)
    latest = progress.first_unseen + timedelta(seconds=patience)
    return min(quiet, latest) - progress.now


async def _progress(connection: Connection, study: str) -> Progress | None:
    cursor = await connection.execute(_PROGRESS, (study,))
    row = await cursor.fetchone()
    return Progress(*row) if row and row[1] else None


async def _fold(server: Server, connection: Connection, study: str, progress: Progress) -> None:
    instances = await _instances(connection, study)
    dicom = server.settings.dicom
    subject = await _subject(server, connection, instances)
    rules = Rules(ZoneInfo(dicom.timezone), dicom.keep_study_id, dicom.max_shown_instances)
    resource = imaging_study(study, instances, subject.reference, rules)
    url = f"ImagingStudy?identifier={DICOM_UID}|urn:oid:{study}"
    await transaction(server, connection, CALLER, [*subject.entries, Entry("PUT", url, resource)])
    await connection.execute(
        _FOLDED, (study, progress.last_arrival, progress.instances, subject.match)
    )


async def _instances(connection: Connection, study: str) -> list[Instance]:
    cursor = await connection.execute(_ROWS, (study,))
    return [
        Instance(row[0], row[1], row[2], msgspec.json.decode(row[3]))
        for row in await cursor.fetchall()
    ]


async def _subject(
    server: Server, connection: Connection, instances: Sequence[Instance]
) -> Subject:
    """Find the Patient of the study by its Patient ID."""
    attributes: Attributes = next(
        (one.attributes for one in instances if "PatientID" in one.attributes),
        instances[0].attributes,
    )
    issuers = agreed_issuers(server.settings.dicom)
    found = identifier(attributes, issuers) if is_person(attributes) else None
    if found is None:
        return Subject("anonymous", held(attributes, None))
    known = await _patients(server, connection, found) if "system" in found else []
    match = matched(attributes, found, known, create=creates(server.settings))
    if match == "linked":
        return Subject(match, {"reference": f"Patient/{known[0]['id']}"})
    if match != "created":
        return Subject(match, held(attributes, found))
    entry = Entry(
        "POST",
        "Patient",
        patient(attributes, found, issuers),
        full_url=_NEW_PATIENT,
        if_none_exist=f"identifier={_token(found)}",
    )
    return Subject(match, {"reference": _NEW_PATIENT}, (entry,))


def matched(attributes: Attributes, found: Json, known: Sequence[Json], *, create: bool) -> str:
    """Return how a study with the identifier `found` goes to the Patients that have it."""
    if len(known) > 1:
        return "ambiguous"
    if known:
        return "conflict" if contradicts(attributes, known[0]) else "linked"
    return "created" if create and "system" in found else "held"


def agreed_issuers(settings: DicomSettings) -> Issuers:
    """Return what the settings say about Patient IDs."""
    return Issuers(settings.issuers, settings.patient_id_system, settings.anonymous_ids)


def creates(settings: Settings) -> bool:
    """Return whether a study of an unknown patient makes a Patient."""
    return (settings.dicom.unknown_patient or ("create" if settings.demo else "hold")) == "create"


async def _patients(server: Server, connection: Connection, found: Json) -> list[Json]:
    """Return up to two Patients with this identifier."""
    entry = Entry("GET", f"Patient?identifier={_token(found)}&_count=2")
    [outcome] = await transaction(server, connection, CALLER, [entry])
    bundle = msgspec.json.decode(outcome.body or b"{}")
    return [entry["resource"] for entry in bundle.get("entry", ())]


def _token(found: Json) -> str:
    """Return an identifier as a token of a query, its separators escaped."""
    parts = (found["system"], found["value"])
    for character in "\\|,$":
        parts = tuple(part.replace(character, f"\\{character}") for part in parts)
    return quote("|".join(parts), safe="")
