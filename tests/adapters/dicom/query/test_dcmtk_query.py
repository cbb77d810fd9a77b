"""dcmtk's findscu, movescu, getscu and storescp as peers."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pydicom

from adapters.dicom.simulation.computed_tomography import Study, instances, uid
from tests.adapters.dicom import files
from tests.adapters.dicom.conftest import Archive

STUDY_2 = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={uid(2, 'study')}")


def run(program: str, archive: Archive, *arguments: str) -> str:
    host, port = archive.address
    command = [program, "-v", "-S", "-aet", "DCMTK", "-aec", "SANGAM", *arguments]
    done = subprocess.run(
        [*command, host, str(port)], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def two_studies(archive: Archive) -> None:
    for seed in (1, 2):
        archive.send(*instances(Study(seed, 3, size=8)))


def data_set(path: Path) -> bytes:
    found = files.read(path)
    assert found is not None
    return found.data_set


def test_findscu_finds_one_of_two_studies(archive: Archive, dcmtk: Callable[[str], str]) -> None:
    two_studies(archive)
    said = run(
        dcmtk("findscu"),
        archive,
        *("-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=SIMulated^p2"),
        *("-k", "StudyInstanceUID", "-k", "ModalitiesInStudy"),
        *("-k", "NumberOfStudyRelatedInstances"),
    )
    values = [line.split("[")[1].split("]")[0].strip() for line in said.splitlines() if "[" in line]
    assert uid(2, "study") in values
    assert uid(1, "study") not in values
    assert "3" in values


def test_getscu_receives_what_was_stored(
    archive: Archive, dcmtk: Callable[[str], str], tmp_path: Path
) -> None:
    two_studies(archive)
    directory = tmp_path / "received"
    directory.mkdir()
    said = run(dcmtk("getscu"), archive, "+B", "-od", str(directory), *STUDY_2)
    assert "Number of Completed Suboperations : 3" in said
    received = {path.name: data_set(path) for path in directory.iterdir()}
    assert received == {
        one.sop_instance_uid: one.data_set for one in instances(Study(2, 3, size=8))
    }


def test_movescu_has_a_study_sent_to_storescp(
    archive: Archive,
    dcmtk: Callable[[str], str],
    storescp: tuple[int, Path],
    know: Callable[..., None],
) -> None:
    port, directory = storescp
    two_studies(archive)
    know("STORESCP", port)
    said = run(dcmtk("movescu"), archive, "-aem", "STORESCP", *STUDY_2)
    assert "Received Final Move Response (Success)" in said
    received = {str(pydicom.dcmread(path).SOPInstanceUID) for path in directory.iterdir()}
    assert received == {one.sop_instance_uid for one in instances(Study(2, 3, size=8))}
    assert archive.rows("SELECT failure FROM dicom_peer WHERE reached_at IS NOT NULL") == [(None,)]
