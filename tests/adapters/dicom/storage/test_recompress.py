import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from adapters.dicom.query.backfill import stored_head
from adapters.dicom.simulation.computed_tomography import Study, instances
from adapters.dicom.storage import recompress
from adapters.dicom.storage.recompress import SYNTAXES, Stored, packed
from adapters.dicom.storage.store import archive_root
from fhir_server.blobs import Blobs
from fhir_server.server import Server
from tests.adapters.dicom import files
from tests.adapters.dicom.conftest import Archive

LS, J2K = SYNTAXES["jpeg-ls"], SYNTAXES["jpeg-2000"]


def stored(file: files.DicomFile) -> Stored:
    size = len(file.data_set)
    offset = len(file.path.read_bytes()) - size
    pixel_offset = stored_head(file.path, offset, size, file.transfer_syntax_uid).pixel_offset
    assert pixel_offset is not None
    uid, sop_class = file.sop_instance_uid, file.sop_class_uid
    return Stored(uid, sop_class, "", "CT1", size, offset, pixel_offset)


@pytest.mark.parametrize("syntax", [LS, J2K])
@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "examples_overlay.dcm"])
def test_pixels_and_every_other_byte_stay(name: str, syntax: str, tmp_path: Path) -> None:
    file = files.one(name)
    one = stored(file)
    done = packed(file.path.read_bytes(), one, syntax)
    assert done is not None
    data_set = done.content[done.data_set_offset :]
    assert len(data_set) < one.size
    assert data_set[: one.pixel_offset] == file.data_set[: one.pixel_offset]
    path = tmp_path / "packed.dcm"
    path.write_bytes(done.content)
    after = pydicom.dcmread(path)
    assert after.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(after.pixel_array, pydicom.dcmread(file.path).pixel_array)


def test_each_frame_is_packed(tmp_path: Path) -> None:
    found = pydicom.dcmread(files.one("CT_small.dcm").path)
    found.PixelData = found.PixelData + found.PixelData[::-1]
    found.NumberOfFrames = 2
    path = tmp_path / "frames.dcm"
    found.save_as(path)
    both = files.read(path)
    assert both is not None
    done = packed(path.read_bytes(), stored(both), J2K)
    assert done is not None
    (tmp_path / "packed.dcm").write_bytes(done.content)
    after = pydicom.dcmread(tmp_path / "packed.dcm").pixel_array
    assert after.tobytes() == found.PixelData


@pytest.mark.parametrize(
    "name", ["SC_rgb_small_odd.dcm", "liver_1frame.dcm", "examples_palette.dcm"]
)
def test_colour_and_single_bits_stay_as_they_are(name: str) -> None:
    file = files.one(name)
    assert packed(file.path.read_bytes(), stored(file), LS) is None


def test_pixels_that_are_not_all_there_stay_as_they_are(tmp_path: Path) -> None:
    file = files.one("CT_small.dcm")
    path = tmp_path / "cut.dcm"
    path.write_bytes(file.path.read_bytes()[:-1000])
    assert packed(path.read_bytes(), stored(file), LS) is None


def test_what_comes_out_otherwise_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    file = files.one("CT_small.dcm")
    monkeypatch.setattr(recompress, "_equal", lambda *_: False)
    assert packed(file.path.read_bytes(), stored(file), LS) is None


def test_noise_that_would_grow_stays_as_it_is(tmp_path: Path) -> None:
    file = files.one("CT_small.dcm")
    found = pydicom.dcmread(file.path)
    found.PixelData = os.urandom(len(found.PixelData))
    found.BitsStored, found.HighBit = 16, 15
    path = tmp_path / "noise.dcm"
    found.save_as(path)
    noise = files.read(path)
    assert noise is not None
    assert packed(path.read_bytes(), stored(noise), J2K) is None


async def test_the_job_packs_what_is_old_and_keeps_what_it_was(
    server: Server, archive: Archive
) -> None:
    sent = list(instances(Study(1, 3, size=64)))
    archive.send(*sent)
    before = archive.rows(
        "SELECT sop_instance_uid, data_set_hash, size FROM dicom_instance ORDER BY 1"
    )
    newest = sent[2].sop_instance_uid
    archive.rows(
        "UPDATE dicom_instance SET received_at = received_at - interval '8 days' "
        "WHERE sop_instance_uid <> %s RETURNING 1",
        newest,
    )
    packing = _with(server, recompress="jpeg-ls")
    await recompress.run(_with(server, recompress=""), {})
    assert archive.rows("SELECT FROM dicom_recompressed") == []
    _share(archive, server)
    await recompress.run(packing, {})
    await recompress.run(packing, {})
    kept = archive.rows(
        "SELECT sop_instance_uid, data_set_hash, size FROM dicom_recompressed ORDER BY 1"
    )
    assert kept == [row for row in before if row[0] != newest]
    after = archive.rows(
        "SELECT sop_instance_uid, transfer_syntax_uid, size FROM dicom_instance ORDER BY 1"
    )
    assert [row[1] == LS for row in after] == [row[0] != newest for row in after]
    for (uid, _, size), (_, _, packed_size) in zip(before, after, strict=True):
        assert (packed_size < size) == (uid != newest)
    blobs = Blobs(archive_root(server.blobs.root), server.data_keys)
    for one in sent[:2]:
        sql = "SELECT encode(blob, 'hex') FROM dicom_instance WHERE sop_instance_uid = %s"
        [(blob,)] = archive.rows(sql, one.sop_instance_uid)
        pixels = pydicom.dcmread(BytesIO(blobs.get(blob))).pixel_array.tobytes()
        assert one.data_set.endswith(pixels)
    assert archive.send(*sent) == [0, 0, 0]
    assert archive.rows("SELECT FROM dicom_conflict") == []
    assert archive.rows("SELECT count(*) FROM dicom_instance") == [(3,)]


def _with(server: Server, **changes: Any) -> Server:
    dicom = server.settings.dicom.model_copy(update=changes)
    settings = server.settings.model_copy(update={"dicom": dicom})
    parts = {name: getattr(server, name) for name in Server.__slots__}
    return Server(**parts | {"settings": settings})


def _share(archive: Archive, server: Server) -> None:
    """The listener and the server have one archive."""
    assert archive.blobs.root == archive_root(server.blobs.root)
