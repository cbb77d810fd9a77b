"""Rows of an older index, written again from the stored files."""

import asyncio

import psycopg
import pytest

from adapters.dicom.query import backfill
from adapters.dicom.simulation.computed_tomography import Study, instances
from fhir_server.server import Server
from tests.adapters.dicom.conftest import serving

COLUMNS = """
SELECT s.patient_id, s.patient_name, s.study_date, s.accession_number, s.folds,
       s.attributes ->> 'StudyDescription', e.modality, e.series_number,
       array_agg(i.instance_number ORDER BY i.instance_number)
FROM dicom_study s JOIN dicom_series e USING (study_instance_uid)
JOIN dicom_instance i USING (study_instance_uid, series_instance_uid)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""

# As rows were before: no series, of the study only how it was folded, few attributes.
OLDER = (
    """UPDATE dicom_instance SET indexed = 0, instance_number = NULL,
    attributes = attributes - 'StudyDescription' - 'InstanceNumber'""",
    "DELETE FROM dicom_series",
    "DELETE FROM dicom_study",
    """INSERT INTO dicom_study (study_instance_uid, folds)
    SELECT DISTINCT study_instance_uid, 4 FROM dicom_instance""",
)


async def test_older_rows_become_as_new_ones_are(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "_BATCH", 2)
    with serving(server.settings, server.database.conninfo) as archive:
        await asyncio.to_thread(archive.send, *instances(Study(1, 3, size=8)))
    with psycopg.connect(server.database.conninfo, autocommit=True) as connection:
        [new] = connection.execute(COLUMNS).fetchall()
        connection.execute("DELETE FROM job")
        backfill.start(connection)
        assert connection.execute("SELECT FROM job").fetchall() == []
        for statement in OLDER:
            connection.execute(statement)
        backfill.start(connection)
        runs = 0
        while connection.execute("DELETE FROM job RETURNING 1").fetchall():
            await backfill.run(server, {})
            runs += 1
        assert runs == 3, "two rows, one row, and none"
        [again] = connection.execute(COLUMNS).fetchall()
    assert again == (*new[:4], 4, *new[5:])
    assert new[6:] == ("CT", 1, [1, 2, 3])


async def test_rows_stay_old_while_the_archive_does_not_answer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(server.settings, server.database.conninfo) as archive:
        await asyncio.to_thread(archive.send, *instances(Study(1, 1, size=8)))
    with psycopg.connect(server.database.conninfo, autocommit=True) as connection:
        connection.execute(OLDER[0])
        monkeypatch.setattr("fhir_server.blobs.Blobs.path", _away)
        with pytest.raises(OSError, match="does not answer"):
            await backfill.run(server, {})
        assert connection.execute("SELECT indexed FROM dicom_instance").fetchall() == [(0,)]


def _away(*_: object) -> None:
    raise OSError("The object store does not answer")
