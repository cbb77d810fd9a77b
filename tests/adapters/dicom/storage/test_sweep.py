import os
import time
from pathlib import Path

import psycopg

from adapters.dicom.simulation.computed_tomography import Study, instances
from adapters.dicom.storage.sweep import sweep
from tests.adapters.dicom.conftest import Archive


def aged(path: Path, seconds: float) -> Path:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))
    return path


def swept(archive: Archive) -> int:
    with psycopg.connect(archive.conninfo, autocommit=True) as connection:
        return sweep(connection, archive.blobs)


def test_only_old_files_without_a_row_are_removed(archive: Archive) -> None:
    first, second = instances(Study(1, 2, size=8))
    other = first.data_set[:-2] + b"\1\2"
    assert archive.send(first, second) == [0, 0]
    assert archive.send(type(first)(*(*_identity(first), other))) == [0]
    for path in archive.files():
        aged(path, 7200)
    kept = set(archive.files())
    orphan = aged(archive.blobs.path(archive.blobs.put(b"orphan")), 7200)
    young = archive.blobs.path(archive.blobs.put(b"arriving"))
    partial = archive.blobs.incoming / "partial"
    partial.write_bytes(b"x")
    aged(partial, 7200)
    arriving = archive.blobs.incoming / "arriving"
    arriving.write_bytes(b"x")
    assert swept(archive) == 2
    assert not orphan.exists()
    assert set(archive.files()) == kept | {young, arriving}
    assert len(kept) == 3  # two instances and the other content of one of them


def _identity(one: object) -> tuple[str, str, str]:
    return one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid  # type: ignore[attr-defined]


def test_nothing_to_sweep(archive: Archive) -> None:
    assert swept(archive) == 0
