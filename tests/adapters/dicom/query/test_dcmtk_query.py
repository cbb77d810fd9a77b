"""dcmtk's findscu, movescu, getscu and storescp, and Orthanc, as peers."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pydicom

from adapters.dicom.dataset.levels import Level
from adapters.dicom.network import classes
from adapters.dicom.network.command import Element
from adapters.dicom.network.scu import Sender
from adapters.dicom.query import requester
from adapters.dicom.simulate import Study, instances, uid
from tests.adapters.dicom import files
from tests.adapters.dicom.conftest import Archive

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
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


def test_orthanc_is_queried_and_sends_to_us_and_back(
    archive: Archive, orthanc: int, know: Callable[..., None], tmp_path: Path
) -> None:
    """Ours to Orthanc by C-MOVE, from Orthanc by C-GET, and C-FIND of what it has."""
    two_studies(archive)
    know("ORTHANC", orthanc)
    keys = requester.identifier(Level.STUDY, [f"StudyInstanceUID={uid(2, 'study')}"])
    pairs = requester.contexts(classes.STUDY_ROOT_MOVE)
    with Sender(archive.address, called="SANGAM", calling="US", contexts=pairs) as sender:
        moved = list(requester.move(sender, classes.STUDY_ROOT_MOVE, keys, "ORTHANC"))
    assert moved[-1].number(Element.Status) == 0
    assert [one.number(Element.NumberOfCompletedSuboperations) for one in moved] == [1, 2, 3, 3]
    theirs = ("127.0.0.1", orthanc)
    pairs = requester.contexts(classes.STUDY_ROOT_FIND)
    with Sender(theirs, called="ORTHANC", calling="SANGAM", contexts=pairs) as sender:
        asked = requester.identifier(Level.STUDY, ["PatientID=", "StudyInstanceUID="])
        found = list(requester.find(sender, classes.STUDY_ROOT_FIND, asked))
    assert [status for status, _ in found] == [0xFF00, 0]
    assert found[0][1][0x0020000D].values == (uid(2, "study"),)
    pairs = requester.contexts(classes.STUDY_ROOT_GET)
    with Sender(
        theirs, called="ORTHANC", calling="SANGAM", contexts=pairs, providing={CT: (EXPLICIT,)}
    ) as sender:
        got = list(requester.get(sender, classes.STUDY_ROOT_GET, keys, tmp_path))
    assert got[-1].number(Element.Status) == 0
    assert {path.stem for path in tmp_path.glob("*.dcm")} == {
        one.sop_instance_uid for one in instances(Study(2, 3, size=8))
    }
