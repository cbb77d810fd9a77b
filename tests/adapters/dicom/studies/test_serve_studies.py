"""What runs beside the worker, and its numbers."""

import asyncio
import contextlib

import anyio
from prometheus_client import CollectorRegistry

from adapters.dicom.studies.figures import figures
from adapters.dicom.studies.serve import serve
from fhir_server.main.wiring import JOBS
from tests.adapters.dicom.studies.archive import KINDS, SYSTEM, Held, image


async def until(archive: Held, asked: str) -> None:
    """Wait for a row, which comes at last."""
    for _ in range(1_000):
        if await archive.rows(asked):
            return
        await anyio.sleep(0.02)
    raise AssertionError(asked)


async def test_a_held_study_is_linked_while_the_server_runs(archive: Held) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(serve(archive.server, stop))
    try:
        await archive.send(image("1.2.3", PatientID="P1"))
        await until(archive, "SELECT true FROM feed_reader WHERE name = 'dicom.studies'")
        identifier = [{"system": SYSTEM, "value": "P1"}]
        await archive.put({"resourceType": "Patient", "id": "a", "identifier": identifier})
        await until(archive, "SELECT true FROM dicom_study WHERE patient = 'Patient/a'")
    finally:
        stop.set()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert await archive.rows("SELECT count(*) FROM job WHERE kind = 'dicom.expunge'") == [(1,)]


async def test_what_waits_for_somebody_is_counted(archive: Held) -> None:
    await archive.send(image("1.2.3", PatientID="P1"), image("1.2.3", StudyID="2"))
    registry = CollectorRegistry()
    async with archive.server.database.connection() as connection:
        await figures(connection, registry)
    assert registry.get_sample_value("dicom_studies_unmatched") == 1
    assert registry.get_sample_value("dicom_conflicts_open") == 1
    assert registry.get_sample_value("dicom_instances_rejected") == 0


def test_the_worker_knows_the_jobs_of_studies() -> None:
    assert KINDS.keys() <= JOBS.keys()
