"""The job that folds a study's instances into one ImagingStudy.

It runs when a study has been quiet, or has waited long enough. An instance's row and
its job are one transaction, and a job that absorbs another starts after that one's
transaction (jobs.py), so the last fold of a study sees every instance.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from adapters.dicom.storage.index import fold_job
from adapters.dicom.studies.project import bring_up_to_date, lock
from fhir_server import jobs
from fhir_server.database import Connection
from fhir_server.dicom_settings import DicomSettings
from fhir_server.server import Server

_LONGEST_WAIT = timedelta(minutes=2)

_PROGRESS = """
SELECT clock_timestamp(), count(*), max(i.received_at),
       coalesce(min(i.received_at) FILTER (WHERE i.received_at > s.folded_to), min(i.received_at)),
       coalesce(max(s.folds), 0), coalesce(max(s.instances), 0)
FROM dicom_instance i LEFT JOIN dicom_study s USING (study_instance_uid)
WHERE study_instance_uid = %s
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


async def run(server: Server, payload: dict[str, Any]) -> None:
    """Bring the ImagingStudy of `payload["study"]` up to date, or come back later."""
    study = str(payload["study"])
    async with server.database.transaction() as connection:
        await lock(connection, study)
        progress = await _progress(connection, study)
        wait = waiting(progress, server.settings.dicom) if progress else timedelta(0)
        if wait > timedelta(0):
            await jobs.enqueue(connection, [fold_job(study, wait.total_seconds())])
            return
        await bring_up_to_date(server, connection, study)


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
