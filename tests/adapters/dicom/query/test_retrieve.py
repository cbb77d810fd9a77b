"""C-MOVE and C-GET: counts, failures, and what is transcoded."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import psycopg
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from adapters.dicom.dataset.filemeta import file_meta
from adapters.dicom.dataset.identifier import read, tag_of, write
from adapters.dicom.dataset.levels import Level
from adapters.dicom.network import classes, command, pdu
from adapters.dicom.network.associate import MAX_CONTEXTS
from adapters.dicom.network.command import DATA_SET, NO_DATA_SET, Answer, Command, Element, Field
from adapters.dicom.network.scu import Instance, Sender
from adapters.dicom.network.services import Fixed
from adapters.dicom.query import peers, requester
from adapters.dicom.query.suboperations import Held, Tally, batches, chosen
from adapters.dicom.query.transcode import transcoded
from tests.adapters.dicom import files
from tests.adapters.dicom.conftest import Archive
from tests.adapters.dicom.query.conftest import free_port, instance

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
RLE = "1.2.840.10008.1.2.5"
PRIVATE = "1.3.6.1.4.1.99999.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
PIXELS = 0x7FE00010
MOVE, GET = classes.STUDY_ROOT_MOVE, classes.STUDY_ROOT_GET
RECORDED = "SELECT payload - 'at' FROM job WHERE kind = 'dicom.transferred'"
COUNTS = (
    Element.NumberOfRemainingSuboperations,
    Element.NumberOfCompletedSuboperations,
    Element.NumberOfFailedSuboperations,
    Element.NumberOfWarningSuboperations,
)


def moved(archive: Archive, destination: str, *keys: str) -> list[Command]:
    identifier = requester.identifier(Level.STUDY, keys)
    pairs = requester.contexts(MOVE)
    with Sender(archive.address, called="SANGAM", calling="US", contexts=pairs) as sender:
        return list(requester.move(sender, MOVE, identifier, destination))


def told(response: Command) -> tuple[int | None, ...]:
    """Return status, remaining, completed, failed and warned."""
    return (response.number(Element.Status), *(response.number(one) for one in COUNTS))


def sent(name: str) -> Instance:
    file = files.one(name)
    syntax = file.transfer_syntax_uid
    return Instance(file.sop_class_uid, file.sop_instance_uid, syntax, file.data_set)


def test_a_destination_that_is_no_peer_is_unknown(archive: Archive, know: Callable) -> None:
    archive.send(instance("1.1.1.1", StudyInstanceUID="1.1", SeriesInstanceUID="1.1.1"))
    know("SILENT")  # It is not called.
    answered = {
        (to, key): [told(one) for one in moved(archive, to, key)]
        for to, key in [("NOBODY", "StudyInstanceUID=1.1"), ("SILENT", "StudyInstanceUID=1.1")]
    }
    assert answered == {key: [(0xA801, None, None, None, None)] for key in answered}


def test_nothing_to_move_is_success_and_no_key_is_refused(archive: Archive, know: Callable) -> None:
    know("ANY", free_port())
    assert [told(one) for one in moved(archive, "ANY", "StudyInstanceUID=9")] == [
        (0, None, 0, 0, 0)
    ]
    for key in ("StudyInstanceUID=", "PatientID=P1", "StudyInstanceUID=1.*"):
        assert moved(archive, "ANY", key)[0].number(Element.Status) == 0xA900


def test_a_destination_that_is_down_fails_everything(archive: Archive, know: Callable) -> None:
    study = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1"}
    archive.send(instance("1.1.1.1", **study), instance("1.1.1.2", **study))
    know("DOWN", free_port())
    assert [told(one) for one in moved(archive, "DOWN", "StudyInstanceUID=1.1")] == [
        (0xA702, None, 0, 2, 0)
    ]
    assert archive.rows("SELECT failure FROM dicom_peer") == [("ConnectionRefusedError",)]


def test_a_destination_elsewhere_is_sent_nothing_in_the_clear_unmeant(
    archive: Archive, know: Callable, storescp: tuple[int, Path]
) -> None:
    archive.send(instance("1.1.1.1", StudyInstanceUID="1.1", SeriesInstanceUID="1.1.1"))
    port, directory = storescp
    # This machine too, which nobody can tell by how it is written.
    know("STORESCP", port, host="127.1")
    responses = [told(one) for one in moved(archive, "STORESCP", "StudyInstanceUID=1.1")]
    assert (responses, list(directory.iterdir())) == ([(0xA702, None, 0, 1, 0)], [])
    why = (
        "It would go out in the clear; `sangam dicom peers protect STORESCP --tls`, "
        "or `--plain` where it has none"
    )
    assert archive.rows("SELECT failure FROM dicom_peer") == [(why,)]
    with psycopg.connect(archive.conninfo, autocommit=True) as session:
        assert peers.unprotected(session) == [("STORESCP", why)]
        assert peers.protect(session, "STORESCP", tls=False)
        assert peers.unprotected(session) == []
    last = moved(archive, "STORESCP", "StudyInstanceUID=1.1")[-1]
    assert (told(last), len(list(directory.iterdir()))) == ((0, None, 1, 0, 0), 1)


def test_one_that_cannot_be_delivered_is_named_and_the_others_arrive(
    archive: Archive, know: Callable, storescp: tuple[int, Path]
) -> None:
    """storescp does not know the private class."""
    study = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1"}
    archive.send(
        instance("1.1.1.1", **study, InstanceNumber="1"),
        instance("1.1.1.2", **study, InstanceNumber="2", SOPClassUID=PRIVATE),
        instance("1.1.1.3", **study, InstanceNumber="3"),
    )
    port, directory = storescp
    know("STORESCP", port)
    responses = moved(archive, "STORESCP", "StudyInstanceUID=1.1")
    assert [told(one) for one in responses] == [
        (0xFF00, 2, 1, 0, 0),
        (0xFF00, 1, 1, 1, 0),
        (0xFF00, 0, 2, 1, 0),
        (0xB000, None, 2, 1, 0),
    ]
    received = {str(pydicom.dcmread(path).SOPInstanceUID) for path in directory.iterdir()}
    assert received == {"1.1.1.1", "1.1.1.3"}
    assert archive.rows(RECORDED) == [
        ({"studies": ["1.1"], "actor": "US at 127.0.0.1 to STORESCP", "what": "move"},)
    ]


def test_a_cancelled_move_tells_what_remains(
    archive: Archive, know: Callable, storescp: tuple[int, Path]
) -> None:
    """The cancel is sent with the request, so that it is there after the first sub-operation."""
    study = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1"}
    archive.send(*(instance(f"1.1.1.{number}", **study) for number in range(1, 4)))
    know("STORESCP", storescp[0])
    pairs = requester.contexts(MOVE)
    keys = requester.identifier(Level.STUDY, ["StudyInstanceUID=1.1"])
    request = {
        Element.AffectedSOPClassUID: MOVE,
        Element.CommandField: Field.C_MOVE_RQ,
        Element.MessageID: 7,
        Element.Priority: 0,
        Element.CommandDataSetType: DATA_SET,
        Element.MoveDestination: "STORESCP",
    }
    cancel = {
        Element.CommandField: Field.C_CANCEL_RQ,
        Element.MessageIDBeingRespondedTo: 7,
        Element.CommandDataSetType: NO_DATA_SET,
    }
    with Sender(archive.address, called="SANGAM", calling="US", contexts=pairs) as sender:
        context_id = sender.contexts[pairs[0]]
        sender._wire.send(  # noqa: SLF001  (several messages in one call)
            pdu.message(context_id, pdu.COMMAND, command.encode(request), 0)
            + pdu.message(context_id, 0, write(keys, EXPLICIT), 0)
            + pdu.message(context_id, pdu.COMMAND, command.encode(cancel), 0)
        )
        answer, _ = sender.receive(lambda *_: Fixed(Answer(0)))
    assert told(answer) == (0xFE00, 2, 1, 0, 0)


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("image_dfl.dcm", "image_dfl.dcm"),
    ],
)
def test_what_the_destination_cannot_take_is_sent_uncompressed(
    archive: Archive, know: Callable, storescp: tuple[int, Path], name: str, same: str
) -> None:
    """Big Endian is taken as it is."""
    pytest.importorskip("numpy", reason="pixels are decoded with numpy")
    archive.send(sent(name))
    port, directory = storescp
    know("STORESCP", port)
    [(study,)] = archive.rows("SELECT study_instance_uid FROM dicom_study")
    responses = moved(archive, "STORESCP", f"StudyInstanceUID={study}")
    assert told(responses[-1]) == (0, None, 1, 0, 0)
    [path] = directory.iterdir()
    received, original = pydicom.dcmread(path), pydicom.dcmread(files.one(same).path)
    assert not received.file_meta.TransferSyntaxUID.is_compressed
    assert received.pixel_array.tolist() == original.pixel_array.tolist()
    assert received.get("PatientName") == original.get("PatientName")


@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("name", ["MR_small_bigendian.dcm", "image_dfl.dcm", "rtplan.dcm"])
def test_native_data_sets_are_transcoded_without_a_loss(
    tmp_path: Path, name: str, target: str
) -> None:
    file = files.one(name)
    path = tmp_path / "one.dcm"
    path.write_bytes(
        file_meta(file.sop_class_uid, file.sop_instance_uid, target, "")
        + transcoded(file.path, len(file.data_set), target)
    )
    same = "MR_small.dcm" if "bigendian" in name else name
    written, original = pydicom.dcmread(path), pydicom.dcmread(files.one(same).path)
    assert written.get("PixelData") == original.get("PixelData")
    assert {element.tag: element.value for element in written if element.tag != PIXELS} == {
        element.tag: element.value
        for element in pydicom.dcmread(file.path)
        if element.tag != PIXELS
    }


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("rtdose_expb.dcm", "rtdose.dcm"),
        ("SC_rgb_small_odd_big_endian.dcm", "SC_rgb_small_odd.dcm"),
    ],
)
def test_words_of_big_endian_are_turned_whatever_their_size(name: str, same: str) -> None:
    file = files.one(name)
    plain = BytesIO(transcoded(file.path, len(file.data_set), EXPLICIT))
    written = read_dataset(plain, is_implicit_VR=False, is_little_endian=True)
    assert written.PixelData == pydicom.dcmread(files.one(same).path).PixelData


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_tables_of_big_endian_are_turned(tmp_path: Path) -> None:
    made = pydicom.dcmread(files.one("rtdose_expb_1frame.dcm").path)
    inner = Dataset()
    inner.add_new("LUTData", "OW", b"\1\2\3\4")
    made.ModalityLUTSequence = [inner]
    made.add_new("TrackPointIndexList", "OL", b"\1\2\3\4")
    made.save_as(tmp_path / "one.dcm")
    plain = BytesIO(transcoded(tmp_path / "one.dcm", 1, EXPLICIT))
    written = read_dataset(plain, is_implicit_VR=False, is_little_endian=True)
    found = (written.ModalityLUTSequence[0].LUTData, written.TrackPointIndexList)
    assert found == (b"\2\1\4\3", b"\4\3\2\1")


def test_get_needs_a_context_in_which_the_requester_provides(
    archive: Archive, tmp_path: Path
) -> None:
    study = {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.1.1"}
    archive.send(
        instance("1.1.1.1", **study, InstanceNumber="1"),
        instance("1.1.1.2", **study, InstanceNumber="2", SOPClassUID=PRIVATE),
    )
    keys = requester.identifier(Level.STUDY, ["StudyInstanceUID=1.1"])
    pairs = requester.contexts(GET)
    with Sender(
        archive.address,
        called="SANGAM",
        calling="US",
        contexts=[*pairs, (PRIVATE, EXPLICIT)],
        providing={CT: (EXPLICIT,)},
    ) as sender:
        responses = list(requester.get(sender, GET, keys, tmp_path))
    assert told(responses[-1]) == (0xB000, None, 1, 1, 0)
    assert [path.name for path in tmp_path.glob("*.dcm")] == ["1.1.1.1.dcm"]
    assert archive.rows(RECORDED) == [
        ({"studies": ["1.1"], "actor": "US at 127.0.0.1", "what": "get"},)
    ]


def held(number: int, sop_class: str, syntax: str = RLE) -> Held:
    return Held(sop_class, f"1.{number}", syntax, "00", 0, 0)


def test_many_classes_take_several_associations_of_128_contexts() -> None:
    instances = [held(number, f"1.2.{number}") for number in range(100)]
    found = list(batches(instances))
    assert [len(pairs) <= MAX_CONTEXTS for _, pairs in found] == [True, True, True]
    assert [one for batch, _ in found for one in batch] == instances
    for batch, pairs in found:
        assert {(one.sop_class_uid, syntax) for one in batch for syntax in (RLE, EXPLICIT)} <= set(
            pairs
        )


@pytest.mark.parametrize(
    ("accepted", "syntax"),
    [
        ({(CT, RLE), (CT, EXPLICIT)}, RLE),
        ({(CT, IMPLICIT), (CT, EXPLICIT)}, EXPLICIT),
        ({(CT, IMPLICIT)}, IMPLICIT),
        ({(PRIVATE, RLE)}, None),
        (set(), None),
    ],
)
def test_the_stored_syntax_is_preferred(accepted: set[tuple[str, str]], syntax: str | None) -> None:
    assert chosen(held(1, CT), accepted) == syntax


def test_counts_add_up_and_failures_are_named() -> None:
    tally = Tally(4)
    for uid, status in (("1.1", 0), ("1.2", 0xA700), ("1.3", 0xB000)):
        tally.count(uid, status)
    cancelled = tally.final(0xFE00, EXPLICIT)
    assert [cancelled.elements.get(one) for one in COUNTS] == [1, 1, 1, 1]
    assert cancelled.data_set is not None
    failed = read(cancelled.data_set, EXPLICIT)
    assert failed[tag_of("FailedSOPInstanceUIDList")].values == ("1.2",)
    assert tally.outcome() == 0xB000
    assert Element.NumberOfRemainingSuboperations not in tally.final(0xB000, EXPLICIT).elements
