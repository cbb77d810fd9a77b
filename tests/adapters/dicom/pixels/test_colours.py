"""Palettes, YBR, and samples of more than 8 bits."""

import struct

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, convert_color_space

from adapters.dicom.pixels import colour
from adapters.dicom.pixels.profiles import NAMES, converted, profile
from adapters.dicom.pixels.refusals import NotShown
from adapters.dicom.pixels.render import shown
from adapters.dicom.pixels.segmented import expanded
from tests.adapters.dicom.pixels.images import attributes, frame, row


def palette_of(colours: dict[str, object], descriptor: list[int]) -> Dataset:
    found = attributes(row(0, dtype="uint8"), PhotometricInterpretation="PALETTE COLOR")
    for name, data in colours.items():
        found.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", descriptor)
        found.add_new(f"{name}PaletteColorLookupTableData", "OW", data)
    return found


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}H", *values)


def test_palette_is_that_of_pydicom() -> None:
    data_set = get_testdata_file("examples_palette.dcm", read=True)
    assert isinstance(data_set, Dataset)
    stored = data_set.pixel_array
    theirs = apply_color_lut(stored, data_set)
    of = frame(stored, **{one.keyword: one.value for one in data_set if one.keyword}).of
    assert np.array_equal(colour.palette(of, stored), theirs >> 8)


@pytest.mark.parametrize(
    ("bits", "data", "expected"),
    [
        (16, words(0, 0x8000, 0xFF00), [0, 0x80, 0xFF]),
        (8, words(0, 0x80, 0xFF), [0, 0x80, 0xFF]),
        (8, bytes((0, 0x80, 0xFF, 0)), [0, 0x80, 0xFF]),
        (16, words(0, 0x80, 0xFF), [0, 0x80, 0xFF]),
    ],
    ids=["16 bits", "8 bits in words", "8 bits packed", "16 said and 8 held"],
)
def test_entries_of_a_palette(bits: int, data: bytes, expected: list[int]) -> None:
    data_set = palette_of(dict.fromkeys(("Red", "Green", "Blue"), data), [3, 0, bits])
    stored = row(0, 1, 2, dtype="uint8")
    found = colour.palette(frame(stored, **plain(data_set)).of, stored)
    assert found[0, :, 0].tolist() == expected


def plain(data_set: Dataset) -> dict[str, object]:
    return {one.keyword: one.value for one in data_set}


def test_palette_that_is_not_there_is_refused() -> None:
    with pytest.raises(NotShown):
        colour.palette(frame(row(0, dtype="uint8")).of, row(0, dtype="uint8"))


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ((0, 3, 7, 8, 9), [7, 8, 9]),
        ((0, 1, 10, 1, 2, 30), [10, 20, 30]),
        ((0, 1, 10, 1, 2, 30, 2, 2, 0, 0), [10, 20, 30, 10, 20, 30]),
    ],
    ids=["discrete", "linear", "indirect"],
)
def test_segments(segments: tuple[int, ...], expected: list[int]) -> None:
    assert expanded(segments, 256).tolist() == expected


@pytest.mark.parametrize(
    "segments",
    [(0, 9, 1), (7, 1, 1), (0, 1, 5, 2, 1, 6, 0), (0, 1, 5, *(1, 65535, 9) * 3)],
    ids=["ends early", "unknown", "leads to itself", "too many"],
)
def test_broken_segments_are_refused(segments: tuple[int, ...]) -> None:
    with pytest.raises(NotShown):
        expanded(segments, 1000)


def test_ybr_is_that_of_pydicom() -> None:
    ybr = np.random.default_rng(3).integers(0, 256, (40, 50, 3)).astype("uint8")
    theirs = convert_color_space(ybr, "YBR_FULL", "RGB").astype(int)
    assert np.abs(colour.rgb_of_ybr(ybr) - theirs).max() <= 1


@pytest.mark.parametrize(
    ("bits", "dtype", "value", "expected"),
    [(16, "uint16", 0xABCD, 0xAB), (12, "uint16", 0xABC, 0xAB), (8, "uint8", 7, 7)],
)
def test_samples_become_8_bits(bits: int, dtype: str, value: int, expected: int) -> None:
    stored = np.full((2, 2, 3), value, dtype)
    assert shown(frame(stored, BitsStored=bits), None, overlays=False)[0, 0].tolist() == (
        [expected] * 3
    )


@pytest.mark.parametrize("name", NAMES)
def test_grey_stays_grey_in_each_space(name: str) -> None:
    grey = Image.new("RGB", (1, 1), (128, 128, 128))
    found = converted(grey, None, name).getpixel((0, 0))
    assert isinstance(found, tuple)
    assert max(found) - min(found) <= 1


def test_green_is_less_saturated_in_a_wider_space() -> None:
    green = Image.new("RGB", (1, 1), (0, 255, 0))
    assert converted(green, None, "adobergb").getpixel((0, 0)) == pytest.approx(
        (144, 255, 60), abs=2
    )


def test_profile_that_is_none_is_refused() -> None:
    with pytest.raises(NotShown):
        converted(Image.new("RGB", (1, 1)), b"no profile", "srgb")


def test_profiles_say_what_they_are() -> None:
    assert [profile(name)[36:40] for name in NAMES] == [b"acsp"] * len(NAMES)
