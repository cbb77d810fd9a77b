"""Orthanc as a peer, both ways: as our server and as our client."""

from collections.abc import Callable
from pathlib import Path

from adapters.dicom.dataset.levels import Level
from adapters.dicom.network import classes
from adapters.dicom.network.command import Element
from adapters.dicom.network.scu import Sender
from adapters.dicom.query import requester
from adapters.dicom.simulation.computed_tomography import Study, instances, uid, write
from tests.adapters.dicom.conftest import Archive
from tests.adapters.dicom.query.conftest import CT, EXPLICIT, Orthanc

SENT = list(instances(Study(2, 3, size=8)))
UIDS = {one.sop_instance_uid for one in SENT}


def test_what_we_send_to_orthanc_is_found_and_fetched_there(
    archive: Archive, orthanc: Orthanc, know: Callable[..., None], tmp_path: Path
) -> None:
    """Ours to Orthanc by C-MOVE, from Orthanc by C-GET, and C-FIND of what it has."""
    archive.send(*SENT)
    know("ORTHANC", orthanc.port)
    keys = requester.identifier(Level.STUDY, [f"StudyInstanceUID={uid(2, 'study')}"])
    pairs = requester.contexts(classes.STUDY_ROOT_MOVE)
    with Sender(archive.address, called="SANGAM", calling="US", contexts=pairs) as sender:
        moved = list(requester.move(sender, classes.STUDY_ROOT_MOVE, keys, "ORTHANC"))
    assert moved[-1].number(Element.Status) == 0
    assert [one.number(Element.NumberOfCompletedSuboperations) for one in moved] == [1, 2, 3, 3]
    theirs = ("127.0.0.1", orthanc.port)
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
    assert {path.stem for path in tmp_path.glob("*.dcm")} == UIDS


def test_orthanc_sends_to_us_queries_and_retrieves(
    archive: Archive, orthanc: Orthanc, know: Callable[..., None], tmp_path: Path
) -> None:
    know("ORTHANC", orthanc.port)
    for path in write(tmp_path / "files", Study(2, 3, size=8)):
        assert orthanc.ask("instances", path.read_bytes())["Status"] == "Success"
    [study] = orthanc.ask("studies")
    stored = orthanc.ask("modalities/us/store", [study])
    assert (stored["InstancesCount"], stored["FailedInstancesCount"]) == (3, 0)
    assert {one: archive.stored(one) for one in UIDS} == {
        one.sop_instance_uid: one.data_set for one in SENT
    }
    orthanc.forget(f"studies/{study}")
    query = {"Level": "Study", "Query": {"PatientID": "SIM*", "ModalitiesInStudy": ""}}
    path = orthanc.ask("modalities/us/query", query)["Path"].strip("/")
    [answer] = orthanc.ask(f"{path}/answers?expand&simplify")
    assert (answer["StudyInstanceUID"], answer["ModalitiesInStudy"]) == (uid(2, "study"), "CT")
    orthanc.ask(f"{path}/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
    back = [orthanc.ask(f"instances/{one}/simplified-tags") for one in orthanc.ask("instances")]
    assert {one["SOPInstanceUID"] for one in back} == UIDS
