"""What is known of a study apart from its instances: its orders, procedures and patient.

The worklist and performed procedure steps tell it, before instances come or while they do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg.types.json import Jsonb

from adapters.dicom.storage.index import fold_job
from fhir_server import jobs
from fhir_server.database import Connection

_EXPECT: Final = """
INSERT INTO dicom_expected AS e
    (study_instance_uid, subject, encounter, requests, procedures, attributes, cancelled)
VALUES (%(study)s, %(subject)s, %(encounter)s, %(requests)s, %(procedures)s, %(attributes)s,
    coalesce(%(cancelled)s, false))
ON CONFLICT (study_instance_uid) DO UPDATE SET
    subject = coalesce(excluded.subject, e.subject),
    encounter = coalesce(excluded.encounter, e.encounter),
    requests = ARRAY(SELECT DISTINCT unnest(e.requests || excluded.requests) ORDER BY 1),
    procedures = ARRAY(SELECT DISTINCT unnest(e.procedures || excluded.procedures) ORDER BY 1),
    attributes = e.attributes || excluded.attributes,
    cancelled = coalesce(%(cancelled)s, e.cancelled),
    updated_at = clock_timestamp()
"""
_WITHDRAW: Final = """
UPDATE dicom_expected
SET procedures = array_remove(procedures, %s), updated_at = clock_timestamp()
WHERE study_instance_uid = %s
"""
_OF: Final = """
SELECT subject, encounter, requests, procedures, attributes, cancelled
FROM dicom_expected WHERE study_instance_uid = %s
"""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a study: literal references, and attributes by DICOM keyword.

    `attributes` are as an index row holds them (lists of values), and count where no
    instance says otherwise. `cancelled` None leaves it as it is known.
    """

    subject: str | None = None
    encounter: str | None = None
    requests: tuple[str, ...] = ()
    procedures: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    cancelled: bool | None = None


async def expect(connection: Connection, study_instance_uid: str, said: Expected) -> None:
    """Add to what is known of a study, in the caller's transaction.

    Its ImagingStudy follows by a job: `registered` (or `cancelled`) without instances, with
    `procedureReference`, `basedOn`, `encounter` and `subject`.
    """
    given = {
        "study": study_instance_uid,
        "subject": said.subject,
        "encounter": said.encounter,
        "requests": sorted(said.requests),
        "procedures": sorted(said.procedures),
        "attributes": Jsonb(dict(said.attributes)),
        "cancelled": said.cancelled,
    }
    await connection.execute(_EXPECT, given)
    await jobs.enqueue(connection, [fold_job(study_instance_uid, 0)])


async def withdraw(connection: Connection, study_instance_uid: str, procedure: str) -> None:
    """Take a Procedure back that was entered in error, in the caller's transaction."""
    await connection.execute(_WITHDRAW, (procedure, study_instance_uid))
    await jobs.enqueue(connection, [fold_job(study_instance_uid, 0)])


async def expected(connection: Connection, study_instance_uid: str) -> Expected | None:
    """Return what is known of a study, None when nothing is."""
    row = await (await connection.execute(_OF, (study_instance_uid,))).fetchone()
    if row is None:
        return None
    subject, encounter, requests, procedures, attributes, cancelled = row
    return Expected(
        subject, encounter, tuple(requests), tuple(procedures), attributes, bool(cancelled)
    )
