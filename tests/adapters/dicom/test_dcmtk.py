"""dcmtk's own programs as peers."""

import os
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from adapters.dicom.simulation.computed_tomography import Study, instances, write
from tests.adapters.dicom import files
from tests.adapters.dicom.conftest import Archive

# Files and how storescu proposes their transfer syntax. dcmtk re-encodes what it sends, so
# that equality is that of the elements.
SENT = {
    "CT_small.dcm": "-xe",
    "MR_small.dcm": "-xe",
    "rtplan.dcm": "-xi",
    "image_dfl.dcm": "-xd",
    "JPEG2000.dcm": "-xw",
    "MR_small_bigendian.dcm": "-xb",
    "MR_small_RLE.dcm": "-xr",
}


def run(program: str, archive: Archive, *arguments: object) -> subprocess.CompletedProcess[str]:
    host, port = archive.address
    command = [program, "-v", "-aet", "DCMTK", *map(str, arguments[:-1] or ()), host, str(port)]
    if arguments:
        command.append(str(arguments[-1]))
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TCP_NODELAY": "1"},
    )


def test_echoscu(archive: Archive, dcmtk: Callable[[str], str]) -> None:
    host, port = archive.address
    done = subprocess.run(
        [dcmtk("echoscu"), "-v", "-aec", "SANGAM", host, str(port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "Received Echo Response (Success)" in done.stdout + done.stderr


def test_an_unknown_called_title_is_told(archive: Archive, dcmtk: Callable[[str], str]) -> None:
    host, port = archive.address
    done = subprocess.run(
        [dcmtk("echoscu"), "-v", "-aec", "OTHER", host, str(port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "Called AE Title Not Recognized" in done.stdout + done.stderr


@pytest.mark.parametrize("name", SENT)
def test_storescu_sends_pydicoms_files(
    archive: Archive, dcmtk: Callable[[str], str], name: str
) -> None:
    file = files.one(name)
    done = run(dcmtk("storescu"), archive, "-R", SENT[name], "-aec", "SANGAM", file.path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Received Store Response (Success)" in done.stdout + done.stderr
    [(blob,)] = archive.rows("SELECT encode(blob, 'hex') FROM dicom_instance")
    kept = pydicom.dcmread(BytesIO(archive.blobs.get(blob)))
    original = pydicom.dcmread(file.path)
    assert kept.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
    assert kept.SOPInstanceUID == original.SOPInstanceUID
    assert kept.get("PixelData") == original.get("PixelData")


def test_storescu_sends_a_study_in_one_association(
    archive: Archive, dcmtk: Callable[[str], str], tmp_path: Path
) -> None:
    study = Study(5, 30, size=32)
    write(tmp_path / "ct", study)
    done = run(dcmtk("storescu"), archive, "-aec", "SANGAM", "+sd", tmp_path / "ct")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {
        one.sop_instance_uid: archive.stored(one.sop_instance_uid) == one.data_set
        for one in instances(study)
    } == {one.sop_instance_uid: True for one in instances(study)}
    assert archive.rows("SELECT DISTINCT calling_ae FROM dicom_instance") == [("DCMTK",)]


def test_storescu_is_told_of_a_refusal(archive: Archive, dcmtk: Callable[[str], str]) -> None:
    file = files.one("JPEGLSNearLossless_16.dcm")  # has no Study Instance UID
    done = run(dcmtk("storescu"), archive, "-d", "-R", "-xu", "-aec", "SANGAM", file.path)
    assert archive.rows("SELECT FROM dicom_instance") == []
    assert "StudyInstanceUID is absent" in done.stdout + done.stderr
