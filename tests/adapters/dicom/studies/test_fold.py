import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio.to_thread
import msgspec
import pytest

from adapters.dicom.network.scu import Instance
from adapters.dicom.simulation import computed_tomography as simulate
from adapters.dicom.studies import fold
from fhir_server import jobs
from fhir_server.caller import trusted
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server
from tests.adapters.dicom.conftest import Archive, serving

CALLER = trusted("test", "rest")
SYSTEM = "urn:sangam:patient-id"


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(demo=True, data_dir=tmp_path / "data", dicom=DicomSettings(quiet_seconds=0))


async def run_jobs(server: Server) -> int:
    """Run what is ready as the worker does: claimed, run, finished."""
    async with server.database.statement() as connection:
        cursor = await connection.execute("SELECT id FROM job WHERE state = 'ready'")
        ids = [row[0] for row in await cursor.fetchall()]
        claimed = [job for id_ in ids if (job := await jobs.claim(connection, id_, 1))]
        for job in claimed:
            await fold.run(server, job.payload)
            await jobs.finish(connection, job.id, 1)
    return len(claimed)


async def found(server: Server, url: str) -> list[dict[str, Any]]:
    async with server.database.transaction() as connection:
        [outcome] = await transaction(server, connection, CALLER, [Entry("GET", url)])
    return [e["resource"] for e in msgspec.json.decode(outcome.body or b"").get("entry", ())]


async def stored(server: Server, resource: dict[str, Any]) -> str:
    async with server.database.transaction() as connection:
        entry = Entry("POST", resource["resourceType"], resource)
        [outcome] = await transaction(server, connection, CALLER, [entry])
    return f"{outcome.type}/{outcome.id}"


def send(server: Server, *instances: Instance) -> list[int]:
    with serving(server.settings, server.database.conninfo) as archive:
        return archive.send(*instances)


def study_url(seed: int) -> str:
    return f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{simulate.uid(seed, 'study')}"


def study(seed: int, slices: int = 3, **changes: Any) -> list[Instance]:
    return list(simulate.instances(simulate.Study(seed, slices, size=8, **changes)))


async def test_a_study_becomes_one_imaging_study_linked_to_its_patient(server: Server) -> None:
    sent = study(1)
    await anyio.to_thread.run_sync(send, server, *sent)
    assert await run_jobs(server) == 1
    [one] = await found(server, study_url(1))
    [patient] = await found(server, f"Patient?identifier={SYSTEM}|SIM00000001")
    assert one["subject"] == {"reference": f"Patient/{patient['id']}"}
    assert one["numberOfInstances"] == 3
    assert [i["uid"] for i in one["series"][0]["instance"]] == [s.sop_instance_uid for s in sent]
    assert patient["name"] == [{"family": "Simulated", "given": ["P1"]}]
    assert one["meta"]["versionId"] == "1"


async def test_a_known_patient_is_linked_and_left_as_it_is(server: Server) -> None:
    known = await stored(
        server,
        {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": "SIM00000001"}]},
    )
    await anyio.to_thread.run_sync(send, server, *study(1))
    await run_jobs(server)
    [one] = await found(server, study_url(1))
    assert one["subject"] == {"reference": known}
    [patient] = await found(server, "Patient")
    assert "name" not in patient


async def test_a_patient_who_contradicts_is_not_linked(server: Server) -> None:
    await stored(
        server,
        {
            "resourceType": "Patient",
            "identifier": [{"system": SYSTEM, "value": "SIM00000001"}],
            "name": [{"family": "Else"}],
            "birthDate": "1901-01-01",
        },
    )
    await anyio.to_thread.run_sync(send, server, *study(1))
    await run_jobs(server)
    [one] = await found(server, study_url(1))
    assert one["subject"]["identifier"]["value"] == "SIM00000001"
    assert "reference" not in one["subject"]
    assert await subject(server) == ["conflict"]


async def subject(server: Server) -> list[str]:
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT subject FROM dicom_study")
        return [row[0] for row in await cursor.fetchall()]


@pytest.mark.parametrize("patient_id", ["ANON1", "UNKNOWN", "0"])
async def test_an_anonymous_study_matches_and_makes_nobody(server: Server, patient_id: str) -> None:
    await anyio.to_thread.run_sync(send, server, *study(1, patient_id=patient_id))
    await run_jobs(server)
    [one] = await found(server, study_url(1))
    assert one["subject"] == {"type": "Patient", "display": "P1 Simulated"}
    assert await found(server, "Patient") == []
    assert await subject(server) == ["anonymous"]


async def test_a_second_fold_without_arrivals_makes_no_version(server: Server) -> None:
    await anyio.to_thread.run_sync(send, server, *study(1))
    await run_jobs(server)
    await fold.run(server, {"study": simulate.uid(1, "study")})
    [one] = await found(server, study_url(1))
    assert one["meta"]["versionId"] == "1"


async def test_later_arrivals_make_a_new_version(server: Server) -> None:
    sent = study(1, slices=5)
    await anyio.to_thread.run_sync(send, server, *sent[3:])
    await run_jobs(server)
    await anyio.to_thread.run_sync(send, server, *sent[:3])
    await run_jobs(server)
    [one] = await found(server, study_url(1))
    assert (one["numberOfInstances"], one["meta"]["versionId"]) == (5, "2")
    assert [i["number"] for i in one["series"][0]["instance"]] == [1, 2, 3, 4, 5]


async def test_a_study_that_is_not_stored_is_no_error(server: Server) -> None:
    await fold.run(server, {"study": "1.2.3"})
    assert await found(server, "ImagingStudy") == []


async def test_concurrent_associations_out_of_order_fold_exactly(server: Server) -> None:
    """Jobs are claimed and run all the time while four associations store four studies."""
    sent = [one for seed in range(1, 5) for one in study(seed, slices=12)]
    source = random.Random(7)

    def associations(archive: Archive) -> list[list[Instance]]:
        parts = [sent[n::4] + source.sample(sent, 5) for n in range(4)]
        for part in parts:
            source.shuffle(part)
        return parts

    with serving(server.settings, server.database.conninfo) as archive:
        async with anyio.create_task_group() as group:
            finished = anyio.Event()

            async def fold_all_the_time() -> None:
                while not finished.is_set():
                    await run_jobs(server)
                    await anyio.sleep(0.005)

            group.start_soon(fold_all_the_time)
            async with anyio.create_task_group() as senders:
                for part in associations(archive):
                    senders.start_soon(anyio.to_thread.run_sync, archive.send, *part)
            finished.set()
    await run_jobs(server)
    for seed in range(1, 5):
        [one] = await found(server, study_url(seed))
        uids = [i["uid"] for i in one["series"][0]["instance"]]
        assert uids == [s.sop_instance_uid for s in study(seed, slices=12)]
    assert len(await found(server, "Patient")) == 4


NOW = datetime(2024, 1, 1, tzinfo=UTC)


def progress(quiet: float, unseen: float, folds: int = 0) -> fold.Progress:
    return fold.Progress(
        NOW, 5, NOW - timedelta(seconds=quiet), NOW - timedelta(seconds=unseen), folds, 0
    )


@pytest.mark.parametrize(
    ("state", "seconds"),
    [
        (progress(0, 0), 2),
        (progress(1.5, 10), 0.5),
        (progress(2, 10), 0),
        (progress(0, 14), 1),
        (progress(0, 15), 0),
        (progress(0, 15, folds=1), 2),
        (progress(0, 29, folds=1), 1),
        (progress(0, 119, folds=50), 1),
    ],
)
def test_a_fold_waits_for_quiet_with_patience_that_doubles(
    state: fold.Progress, seconds: float
) -> None:
    assert fold.waiting(state, DicomSettings()) == timedelta(seconds=seconds)


async def test_a_study_that_is_not_quiet_is_folded_later(server: Server, tmp_path: Any) -> None:
    patient = Settings(demo=True, data_dir=tmp_path / "data")
    slow = replace(server, settings=patient)
    await anyio.to_thread.run_sync(send, server, *study(1))
    async with server.database.statement() as connection:
        await connection.execute("UPDATE job SET state = 'running'")
    await fold.run(slow, {"study": simulate.uid(1, "study")})
    assert await found(server, "ImagingStudy") == []
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT kind, due_at > now() + interval '1 s' FROM job WHERE state = 'ready'"
        )
        assert await cursor.fetchall() == [("dicom.fold", True)]
