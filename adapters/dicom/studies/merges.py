"""Studies that follow their patients: when Patients are merged or unmerged, and when they come.

https://hl7.org/fhir/R4/patient.html#merge
"""

from collections.abc import Mapping
from typing import Any, Final

from adapters.dicom.storage.index import fold_job
from adapters.dicom.studies.project import bring_up_to_date
from adapters.dicom.studies.reading import Json, literal, read, survivor
from fhir_server import changes, feed_readers, jobs
from fhir_server.database import Connection
from fhir_server.server import Server

READER: Final = "dicom.studies"
_ONCE: Final = 100

# Those that were found by this Patient and show another; those that show its name and id in
# the place of what was received; those whose id this Patient has no more, or has now while
# another is shown; and those that wait for somebody with one of its ids.
_CONCERNED: Final = """
SELECT study_instance_uid FROM dicom_study
WHERE (matched @> ARRAY[%(patient)s] OR link = %(patient)s)
  AND patient IS DISTINCT FROM %(shown)s AND subject NOT IN ('phantom')
UNION
SELECT study_instance_uid FROM dicom_study
WHERE patient = %(patient)s AND (overlay IS NOT NULL OR patient IS DISTINCT FROM %(shown)s)
UNION
SELECT study_instance_uid FROM dicom_study
WHERE patient = %(patient)s AND subject IN ('linked', 'created') AND patient_id <> ALL(%(ids)s)
UNION
SELECT study_instance_uid FROM dicom_study
WHERE patient_id = ANY(%(ids)s) AND subject IN ('linked', 'created')
  AND patient IS DISTINCT FROM %(shown)s
UNION
SELECT study_instance_uid FROM dicom_study
WHERE unmatched_at IS NOT NULL AND patient_id = ANY(%(ids)s)
ORDER BY 1
"""


async def look(server: Server, *, at_once: bool = True) -> bool:
    """Follow the next changes of Patients in one transaction; return whether there may be more.

    All studies of a patient move together, with the place in the change feed; not `at_once`,
    by a job each, so that one that cannot be written holds up no other.
    """
    types = [server.definitions.type_ids["Patient"]]
    async with server.database.transaction() as connection:
        page = await feed_readers.take(connection, READER, types, _ONCE)
        named = await changes.named(connection, page.changes)
        studies: set[str] = set()
        for id_ in sorted(set(named.values())):
            studies |= await _concerned(server, connection, f"Patient/{id_}")
        if not at_once:
            await jobs.enqueue(connection, [fold_job(study, 0) for study in sorted(studies)])
        for study in sorted(studies) if at_once else ():
            await bring_up_to_date(server, connection, study)
    return page.more


async def _concerned(server: Server, connection: Connection, patient: str) -> set[str]:
    known = await read(server, connection, patient)
    shown = literal(await survivor(server, connection, known)) if known else None
    given = {"patient": patient, "shown": shown, "ids": _ids(known)}
    cursor = await connection.execute(_CONCERNED, given)
    return {row[0] for row in await cursor.fetchall()}


def _ids(known: Json | None) -> list[str]:
    said: Mapping[str, Any] = known or {}
    return [str(one["value"]) for one in said.get("identifier", ()) if one.get("value")]
