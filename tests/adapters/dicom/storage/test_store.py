import os
import struct
import subprocess
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest

from adapters.dicom.network.scu import Instance, Sender
from adapters.dicom.simulation.computed_tomography import Study, instances
from tests.adapters.dicom import files
from tests.adapters.dicom.conftest import Archive

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

# The files of pydicom that are refused: no storage class, no study or series or class in the
# data set, or cut off before its end.
NOT_STORAGE = -1
REFUSED = {
    **dict.fromkeys(
        (
            *("DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-empty.dcm", "DICOMDIR-implicit"),
            *("DICOMDIR-nooffset", "DICOMDIR-nopatient", "DICOMDIR-reordered"),
        ),
        NOT_STORAGE,
    ),
    **dict.fromkeys(
        (
            *("chrSQEncoding.dcm", "chrSQEncoding1.dcm", "JPEGLSNearLossless_08.dcm"),
            *("JPEGLSNearLossless_16.dcm", "SC_rgb_jls_lossy_line.dcm"),
            *("SC_rgb_jls_lossy_sample.dcm", "UN_sequence.dcm", "no_meta_group_length.dcm"),
            "priv_SQ.dcm",
        ),
        0xA900,
    ),
    "rtplan_truncated.dcm": 0xC000,
}


def slices(count: int, seed: int = 1) -> list[Instance]:
    return list(instances(Study(seed, count, size=16)))


def sent(file: files.DicomFile) -> Instance:
    return Instance(
        file.sop_class_uid, file.sop_instance_uid, file.transfer_syntax_uid, file.data_set
    )


def large(size: int) -> Instance:
    [small] = slices(1)
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, size) + bytes(size)
    return replace(small, data_set=small.data_set.partition(b"\xe0\x7f\x10\0")[0] + pixels)


def test_every_file_of_pydicom_is_kept_byte_for_byte_or_refused(archive: Archive) -> None:
    outcomes: dict[str, int] = {}
    kept: dict[str, bytes] = {}
    for file in files.all_files():
        one = sent(file)
        context = [(one.sop_class_uid, one.transfer_syntax_uid)]
        with Sender(
            archive.address, called="SANGAM", calling="PYDICOM", contexts=context
        ) as sender:
            if not sender.contexts:
                outcomes[file.path.name] = NOT_STORAGE
                continue
            outcomes[file.path.name] = sender.store(one)
        if outcomes[file.path.name] == 0:
            # Some files share an instance UID: the first one is kept.
            kept.setdefault(file.sop_instance_uid, file.data_set)
    assert {uid: archive.stored(uid) == data for uid, data in kept.items()} == dict.fromkeys(
        kept, True
    )
    assert len(archive.rows("SELECT FROM dicom_instance")) == len(kept)
    refused = {name: status for name, status in outcomes.items() if status}
    assert refused == REFUSED
    assert len(kept) > 100


def test_success_means_a_row_a_blob_and_a_job(archive: Archive) -> None:
    [one] = slices(1)
    assert archive.send(one) == [0]
    assert archive.stored(one.sop_instance_uid) == one.data_set
    rows = archive.rows(
        "SELECT sop_class_uid, transfer_syntax_uid, size, calling_ae, peer, state, flags, "
        "attributes->'Modality' FROM dicom_instance"
    )
    assert rows == [
        (
            one.sop_class_uid,
            EXPLICIT,
            len(one.data_set),
            "MODALITY",
            "127.0.0.1",
            "live",
            [],
            ["CT"],
        )
    ]
    [(study,)] = archive.rows("SELECT study_instance_uid FROM dicom_instance")
    assert archive.rows("SELECT kind, dedupe_key, payload FROM job") == [
        ("dicom.fold", study, {"study": study})
    ]


def test_the_kept_file_is_a_dicom_file(
    archive: Archive, dcmtk: Callable[[str], str], tmp_path: Path
) -> None:
    [one] = slices(1)
    archive.send(one)
    [stored] = archive.files()
    path = tmp_path / "one.dcm"
    path.write_bytes(archive.blobs.get(stored.name))
    dump = subprocess.run(
        [
            dcmtk("dcmdump"),
            "+P",
            "MediaStorageSOPInstanceUID",
            "+P",
            "SourceApplicationEntityTitle",
            path,
        ],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert one.sop_instance_uid in dump
    assert "[MODALITY]" in dump


def test_one_study_is_one_job(archive: Archive) -> None:
    assert archive.send(*slices(20)) == [0] * 20
    assert archive.rows("SELECT count(*) FROM job") == [(1,)]


def test_the_same_instance_again_is_success_and_writes_nothing(archive: Archive) -> None:
    [one] = slices(1)
    assert archive.send(one, one) == [0, 0]
    assert archive.send(one, calling="ANOTHER") == [0]
    assert archive.rows("SELECT calling_ae FROM dicom_instance") == [("MODALITY",)]
    assert archive.rows("SELECT FROM dicom_conflict") == []
    assert len(archive.files()) == 1


def test_other_bytes_under_the_same_uid_are_kept_aside(archive: Archive) -> None:
    [one] = slices(1)
    other = replace(one, data_set=one.data_set[:-2] + b"\xab\xcd")
    assert archive.send(one, other, other) == [0, 0, 0]
    assert archive.stored(one.sop_instance_uid) == one.data_set
    [(kind, blob)] = archive.rows("SELECT kind, encode(blob, 'hex') FROM dicom_conflict")
    assert kind == "content"
    assert archive.blobs.get(blob).endswith(other.data_set)


def test_another_transfer_syntax_is_a_conflict_of_encoding(archive: Archive) -> None:
    [one] = slices(1)
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = deflater.compress(one.data_set) + deflater.flush()
    other = replace(one, transfer_syntax_uid=DEFLATED, data_set=packed)
    assert archive.send(one) == [0]
    assert archive.send(other) == [0]
    assert archive.rows("SELECT kind FROM dicom_conflict") == [("encoding",)]


def test_another_study_is_a_conflict_of_study(archive: Archive) -> None:
    [one] = slices(1)
    [(study, _)] = _studies(archive, one)
    moved = replace(
        one,
        data_set=one.data_set.replace(study.encode(), b"1.2".ljust(len(study), b"\0")),
    )
    assert archive.send(moved) == [0]
    assert archive.rows("SELECT kind, study_instance_uid FROM dicom_conflict") == [("study", "1.2")]
    assert _studies(archive, one) == [(study, one.sop_instance_uid)]


def _studies(archive: Archive, one: Instance) -> list[tuple[str, str]]:
    archive.send(one)
    return archive.rows("SELECT study_instance_uid, sop_instance_uid FROM dicom_instance")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"sop_instance_uid": "1.2.3.4"}, 0xA900),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.4"}, 0xA900),
        ({"sop_instance_uid": "../../etc/passwd"}, 0x0117),
        ({"sop_instance_uid": ""}, 0x0117),
        ({"sop_instance_uid": "1." + "2" * 63}, 0x0117),
        ({"data_set": b""}, 0xA900),
        ({"data_set": b"\xff" * 1000}, 0xC000),
        ({"data_set": b"{}"}, 0xC000),
    ],
)
def test_what_cannot_be_stored_is_refused(
    archive: Archive, change: dict[str, object], status: int
) -> None:
    [one] = slices(1)
    assert archive.send(replace(one, **change)) == [status]
    assert archive.files() == []
    assert archive.rows("SELECT FROM dicom_instance") == []
    assert archive.send(one) == [0]


def test_a_data_set_without_study_is_refused(archive: Archive) -> None:
    [one] = slices(1)
    at = one.data_set.index(b"\x20\0\x0d\0UI")
    length = int.from_bytes(one.data_set[at + 6 : at + 8], "little")
    assert archive.send(
        replace(one, data_set=one.data_set[:at] + one.data_set[at + 8 + length :])
    ) == [0xA900]


def test_a_truncated_data_set_is_refused(archive: Archive) -> None:
    [one] = slices(1)
    assert archive.send(replace(one, data_set=one.data_set[:700])) == [0xC000]


def test_a_denied_class_is_refused(start: Callable[..., Archive]) -> None:
    [one] = slices(1)
    archive = start(denied_sop_classes=(one.sop_class_uid,))
    assert archive.send(one) == [0x0122]
    assert archive.rows("SELECT FROM dicom_instance") == []


def test_a_context_that_is_not_for_storage_stores_nothing(archive: Archive) -> None:
    [one] = slices(1)
    with Sender(archive.address, called="SANGAM", calling="ODD") as sender:
        [context_id] = sender.contexts.values()
        sender.contexts[one.sop_class_uid, one.transfer_syntax_uid] = context_id
        assert sender.store(one) == 0x0122


def test_an_object_over_the_limit_is_refused(start: Callable[..., Archive]) -> None:
    archive = start(max_object_bytes=10_000)
    assert archive.send(large(20_000), *slices(1, seed=2)) == [0xA700, 0]
    assert len(archive.files()) == 1


def test_a_full_disk_is_refused_until_there_is_room(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    first, second = slices(2)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        assert archive.send(first) == [0xA700]
        assert archive.files() == []
    assert archive.send(first, second) == [0, 0]


def test_too_little_reserve_is_refused(start: Callable[..., Archive]) -> None:
    archive = start(reserve_bytes=1 << 60)
    assert archive.send(*slices(1)) == [0xA700]


def test_a_failed_sync_is_refused(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    [one] = slices(1)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        assert archive.send(one) == [0xA700]
    assert archive.rows("SELECT FROM dicom_instance") == []


def test_a_database_that_is_away_is_refused_and_comes_back(archive: Archive) -> None:
    first, second = slices(2)
    assert archive.send(first) == [0]
    with psycopg.connect(archive.conninfo, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    statuses = archive.send(second, second)
    assert statuses[-1] == 0
    assert statuses[0] in {0, 0xA700}


def test_the_memory_of_an_association_does_not_grow_with_the_object(archive: Archive) -> None:
    huge = large(200 << 20)
    process = psutil.Process()
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    context = [(huge.sop_class_uid, huge.transfer_syntax_uid)]
    with Sender(archive.address, called="SANGAM", calling="HUGE", contexts=context) as sender:
        command_and_data = _prepared(sender, huge)
        watcher = threading.Thread(target=watch)
        before = process.memory_info().rss
        watcher.start()
        sender._wire.send(command_and_data)  # noqa: SLF001
        assert sender._status() == 0  # noqa: SLF001
        done.set()
        watcher.join()
    assert peak - before < 8 << 20


def _prepared(sender: Sender, one: Instance) -> bytes:
    """Return the bytes of a C-STORE, made before memory is watched."""
    recorded: list[bytes] = []

    class Recorder:
        def send(self, data: bytes) -> None:
            recorded.append(data)

    wire, sender._wire = sender._wire, Recorder()  # type: ignore[assignment]  # noqa: SLF001
    with pytest.raises(AttributeError):
        sender.store(one)
    sender._wire = wire  # noqa: SLF001
    return recorded[0]


def test_associations_store_one_instance_once(archive: Archive) -> None:
    shared = slices(5)
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.extend(archive.send(*shared))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [0] * 30
    assert len(archive.rows("SELECT FROM dicom_instance")) == 5
    assert len(archive.files()) == 5
