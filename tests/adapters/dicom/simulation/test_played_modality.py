"""An examination that is played against a listener."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import anyio.to_thread
import psycopg
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from adapters.dicom.dataset.filemeta import file_meta
from adapters.dicom.mpps import completeness, rows
from adapters.dicom.mpps.completeness import Completeness
from adapters.dicom.network.scu import Sender
from adapters.dicom.query import peers
from adapters.dicom.query.peers import Known
from adapters.dicom.simulation import computed_tomography as simulate
from adapters.dicom.simulation.exam import MODALITIES, Exam, of_entry, unscheduled
from adapters.dicom.simulation.modality import Course, Script, play
from adapters.dicom.simulation.objects import instances
from fhir_server.config import DicomSettings, Settings
from fhir_server.server import Server
from tests.adapters.dicom.commitment.test_commitment_scu import work
from tests.adapters.dicom.conftest import Archive, serving
from tests.adapters.dicom.query.conftest import free_port

NOW = datetime(2024, 1, 5, 8, 10, tzinfo=UTC)
ALONE = frozenset(("mpps", "store", "retrieve"))


def exam(modality: str = "CT", count: int = 3, seed: int = 7) -> Exam:
    return Exam(seed, modality, count, 8, NOW, station="CT1")


def read(modality: str) -> list[FileDataset]:
    """Read the instances of a modality as another program does."""
    found = []
    for one in instances(unscheduled(exam(modality))):
        meta = file_meta(one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid)
        found.append(dcmread(BytesIO(meta + one.data_set)))
    return found


def calling(archive: Archive) -> Callable[..., Sender]:
    def call(
        pairs: Sequence[tuple[str, str]], providing: Mapping[str, tuple[str, ...]] | None = None
    ) -> Sender:
        return Sender(
            archive.address, called="SANGAM", calling="CT1", contexts=pairs, providing=providing
        )

    return call


@pytest.mark.parametrize("modality", MODALITIES)
def test_instances_are_of_one_study_and_read_by_others(modality: str) -> None:
    found = read(modality)
    assert len(found) == (1 if modality == "SR" else 3)
    assert {one.StudyInstanceUID for one in found} == {exam(modality).uid("study")}
    assert len({one.SOPInstanceUID for one in found}) == len(found)
    assert {one.TimezoneOffsetFromUTC for one in found} == {"+0000"}
    if modality != "SR":
        assert {one.pixel_array.shape for one in found} == {(8, 8)}
        assert len({one.pixel_array.tobytes() for one in found}) == 3


def test_equal_seeds_give_equal_instances() -> None:
    assert list(instances(unscheduled(exam()))) == list(instances(unscheduled(exam())))
    others = {one.sop_instance_uid for one in instances(unscheduled(exam(seed=8)))}
    assert others.isdisjoint(one.sop_instance_uid for one in instances(unscheduled(exam())))


def test_patient_of_a_seed_is_the_same_in_files_and_examinations() -> None:
    [slice_] = simulate.instances(simulate.Study(7, 1, 8))
    meta = file_meta(slice_.sop_class_uid, slice_.sop_instance_uid, slice_.transfer_syntax_uid)
    of_file, of_exam = dcmread(BytesIO(meta + slice_.data_set)), read("MR")[0]
    for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        assert of_file[name].value == of_exam[name].value


def test_a_dose_report_adds_up() -> None:
    [report] = read("SR")
    accumulated, acquisition = report.ContentSequence
    total = accumulated.ContentSequence[1].MeasuredValueSequence[0]
    dlp = acquisition.ContentSequence[1].ContentSequence[1].MeasuredValueSequence[0]
    assert (total.NumericValue, total.MeasurementUnitsCodeSequence[0].CodeValue) == (210, "mGy.cm")
    assert dlp.NumericValue == total.NumericValue


def test_an_examination_is_that_of_its_worklist_entry() -> None:
    entry = {
        "PatientName": ["Devi^Sita"],
        "PatientID": ["P1"],
        "AccessionNumber": ["A1"],
        "StudyInstanceUID": ["1.2.3"],
        "ScheduledProcedureStepSequence": [{"ScheduledProcedureStepDescription": ["CT head"]}],
    }
    found = of_entry(exam(), entry)
    assert (found.patient_id, found.accession_number, found.study_instance_uid) == (
        "P1",
        "A1",
        "1.2.3",
    )
    assert found.description == "CT head"


def test_a_played_examination_is_complete(archive: Archive) -> None:
    lines: list[str] = []
    script = Script("CT1", ALONE, associations=2)
    course = play(exam(), script, calling(archive), lines.append)
    assert course.failures == []
    assert lines[-2:] == ["found 1 study with 3 instances", "3 instances retrieved"]
    with psycopg.connect(archive.conninfo, autocommit=True) as connection:
        [step] = rows.listed(connection, 10)
        known = completeness.of_steps(connection, [step])
    assert (step.state, step.studies) == ("COMPLETED", (course.exam.study_instance_uid,))
    assert known == {step.sop_instance_uid: Completeness(3, 3, (), ())}


def test_what_is_missing_and_what_was_not_named_is_seen(archive: Archive) -> None:
    played = unscheduled(exam())
    course = play(played, Script("CT1", frozenset(("mpps",))), calling(archive), lambda _: None)
    sent = list(instances(unscheduled(exam(count=4))))
    assert archive.send(*sent[1:]) == [0, 0, 0]
    with psycopg.connect(archive.conninfo, autocommit=True) as connection:
        [known] = completeness.of_steps(connection, rows.listed(connection, 10)).values()
    series = course.exam.series_instance_uid
    missing, unlisted = (series, sent[0].sop_instance_uid), (series, sent[3].sop_instance_uid)
    assert known == Completeness(3, 2, (missing,), (unlisted,))


def test_what_fails_is_told(archive: Archive) -> None:
    with psycopg.connect(archive.conninfo, autocommit=True) as connection:
        peers.add(connection, Known("CT1", "127.0.0.1", 0, ("echo", "mpps", "find", "get")))
    lines: list[str] = []
    course = play(exam(), Script("CT1", ALONE), calling(archive), lines.append)
    assert len(course.failures) == 3
    assert lines[1].startswith("FAILED 0 of 3 instances stored")


async def test_a_commitment_is_reported_to_the_port_of_the_modality(
    server: Server, tmp_path: Any
) -> None:
    lines: list[str] = []

    def played(port: int) -> Course:
        with serving(server.settings, server.database.conninfo) as archive:
            with psycopg.connect(archive.conninfo, autocommit=True) as connection:
                peers.add(connection, Known("CT1", "127.0.0.1", port, peers.SERVICES))
            script = Script("CT1", frozenset(("store", "commit")), listen=port)
            return play(exam(), script, calling(archive), lines.append)

    courses: list[Course] = []

    async def play_it() -> None:
        courses.append(await anyio.to_thread.run_sync(played, free_port()))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(play_it)
        while not courses:
            await work(server)
            await anyio.sleep(0.02)
    assert courses[0].failures == []
    assert lines[-1] == "commitment: 3 committed, 0 failed"


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(demo=True, data_dir=tmp_path / "data", dicom=DicomSettings(quiet_seconds=0))
