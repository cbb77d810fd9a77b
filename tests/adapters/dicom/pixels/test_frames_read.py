"""Which bytes of a file are which frame."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate

from adapters.dicom.dataset.syntaxes import DEFLATED, ENCAPSULATED, EXPLICIT_BIG, EXPLICIT_LITTLE
from adapters.dicom.pixels import frame as frames
from adapters.dicom.pixels.frame import MOST_PIXELS, Frame, read
from adapters.dicom.pixels.refusals import NoFrame, NoPixels, NotShown
from adapters.dicom.pixels.render import shown
from tests.adapters.dicom.pixels.images import EXPLICIT, attributes, row, written
from tests.adapters.dicom.pixels.pydicom_files import BY_NAME


def reading(path: Path, index: int, syntax: str = EXPLICIT, offset: int = 0) -> Frame:
    with path.open("rb") as file:
        return read(file, offset, syntax, index)


def test_frames_of_one_bit_begin_inside_of_a_byte(tmp_path: Path) -> None:
    bits = np.random.default_rng(5).integers(0, 2, (3, 3, 5)).astype("uint8")
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    more = {"BitsAllocated": 1, "BitsStored": 1, "NumberOfFrames": 3}
    path = written(tmp_path / "one", attributes(bits[0], **more), packed + b"\0")
    found = [reading(path, index).stored for index in range(3)]
    assert np.array_equal(found, bits)
    assert np.array_equal(shown(reading(path, 1), None, overlays=False), bits[1] * 255)


def test_frames_lie_behind_one_another(tmp_path: Path) -> None:
    values = np.arange(24, dtype="<u2").reshape(4, 2, 3)
    path = written(tmp_path / "x", attributes(values[0], NumberOfFrames=4), values.tobytes())
    assert [reading(path, one).stored.tolist() for one in (3, 0)] == [
        values[3].tolist(),
        values[0].tolist(),
    ]


def test_pixels_of_unknown_vr_are_words(tmp_path: Path) -> None:
    values = row(1, 2, 300)
    path = written(tmp_path / "x", attributes(values), values.tobytes(), vr="UN")
    assert reading(path, 0).stored.tolist() == values.tolist()


@pytest.mark.parametrize("index", [-1, 2, 99])
def test_frame_that_is_not_there(tmp_path: Path, index: int) -> None:
    values = row(1, 2)
    more = {"NumberOfFrames": 2}
    path = written(tmp_path / "x", attributes(values, **more), values.tobytes() * 2)
    with pytest.raises(NoFrame):
        reading(path, index)


def test_what_is_missing_of_a_frame_is_black_and_a_whole_frame_refused(tmp_path: Path) -> None:
    values = row(1, 2, 3, 4)
    more = {"NumberOfFrames": 3, "PhotometricInterpretation": "MONOCHROME1"}
    path = written(tmp_path / "x", attributes(values, **more), values.tobytes() + b"\1\0\2\0")
    cut = reading(path, 1)
    assert (cut.stored.tolist(), cut.present) == ([[1, 2, 0, 0]], 2)
    assert shown(cut, None, overlays=False)[0, 2:].tolist() == [0, 0]
    with pytest.raises(NoFrame):
        reading(path, 2)


def test_without_pixel_data_there_are_no_pixels(tmp_path: Path) -> None:
    path = written(tmp_path / "x", attributes(row(1)), b"")
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(NoPixels):
        reading(path, 0)


def test_frame_of_too_many_pixels_is_refused_unread(tmp_path: Path) -> None:
    side = int(MOST_PIXELS**0.5) + 1
    path = written(tmp_path / "x", attributes(row(1), Rows=side, Columns=side), b"\1\0")
    with pytest.raises(NotShown):
        reading(path, 0)


def test_unused_bits_do_not_count(tmp_path: Path) -> None:
    values = row(0xF123, 0x0FFF)
    path = written(tmp_path / "x", attributes(values, BitsStored=12), values.tobytes())
    assert reading(path, 0).stored.tolist() == [[0x123, 0xFFF]]


def test_deflated_is_inflated_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = row(*range(100))
    path = written(tmp_path / "x", attributes(values), values.tobytes())
    machine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path.write_bytes(b"head" + machine.compress(path.read_bytes()) + machine.flush())
    assert reading(path, 0, DEFLATED, 4).stored.tolist() == values.tolist()
    monkeypatch.setattr(frames, "MOST_INFLATED", 100)
    with pytest.raises(NotShown):
        reading(path, 0, DEFLATED, 4)


def test_encapsulated_uncompressed(tmp_path: Path) -> None:
    values = np.arange(8, dtype="<u2").reshape(2, 2, 2)
    pixels = encapsulate([one.tobytes() for one in values])
    path = written(tmp_path / "x", attributes(values[0], NumberOfFrames=2), pixels, "OB")
    assert reading(path, 1, ENCAPSULATED).stored.tolist() == values[1].tolist()


@pytest.mark.parametrize("index", [0, 1])
def test_bytes_in_swapped_words(index: int) -> None:
    name = ("SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm")
    little, big = (BY_NAME[one] for one in name)
    assert (little.transfer_syntax_uid, big.transfer_syntax_uid) == (EXPLICIT_LITTLE, EXPLICIT_BIG)
    if index == 0:
        expected, found = (
            reading(one.path, 0, one.transfer_syntax_uid, one.offset).stored
            for one in (little, big)
        )
        assert np.array_equal(found, expected)
        return
    with pytest.raises(NoFrame):
        reading(big.path, 1, EXPLICIT_BIG, big.offset)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("NumberOfFrames", "0"), ("PlanarConfiguration", None), ("SamplesPerPixel", None)],
)
def test_attributes_that_say_nothing(tmp_path: Path, keyword: str, value: Any) -> None:
    values = row(1, 2)
    path = written(tmp_path / "x", attributes(values, **{keyword: value}), values.tobytes())
    assert reading(path, 0).stored.tolist() == [[1, 2]]
