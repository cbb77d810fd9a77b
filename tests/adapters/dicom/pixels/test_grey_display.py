"""The grey display chain: the formulas of PS3.3, and what pydicom makes of the same."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing
from pydicom.tag import Tag

from adapters.dicom.pixels import grey
from adapters.dicom.pixels.arrays import Pixels, Shown
from adapters.dicom.pixels.lut import Lut
from adapters.dicom.pixels.modality import RT_DOSE, Rescale, modality
from adapters.dicom.pixels.voi import Window, voi
from tests.adapters.dicom.pixels.images import attributes, frame, item, row

CT = Window(40, 400)


def displayed(stored: Pixels, window: Window | None = None, **more: Any) -> Shown:
    one = frame(stored, **more)
    return grey.shown(stored, grey.grey(one.of, stored), window)


def table(values: list[int], first: int, bits: int = 16, count: int | None = None) -> Dataset:
    found = Dataset()
    found.add_new("LUTDescriptor", "US", [len(values) if count is None else count, first, bits])
    found.add_new("LUTData", "US", values)
    return found


def linear(x: float, c: float, w: float) -> float:
    return ((x - (c - 0.5)) / (w - 1) + 0.5) * 255


def exact(x: float, c: float, w: float) -> float:
    return ((x - c) / w + 0.5) * 255


def sigmoid(x: float, c: float, w: float) -> float:
    return 255 / (1 + math.exp(min(700, -4 * (x - c) / w)))


@pytest.mark.parametrize(
    ("function", "formula"),
    [("LINEAR", linear), ("LINEAR_EXACT", exact), ("SIGMOID", sigmoid)],
)
@pytest.mark.parametrize(("center", "width"), [(2048, 4096), (0, 100), (-600.5, 1500), (3, 2)])
def test_window_is_the_formula_rounded(
    function: Any, formula: Callable[[float, float, float], float], center: float, width: float
) -> None:
    stored = np.arange(-1500, 3000, dtype="int16").reshape(90, 50)
    expected = [min(255, max(0, formula(float(x), center, width))) for x in stored.ravel()]
    found = displayed(stored, Window(center, width, function))
    assert np.array_equal(found.ravel(), np.rint(expected))


def test_width_of_one_is_a_step() -> None:
    assert displayed(row(9, 10, 11), Window(10, 1)).tolist() == [[0, 255, 255]]
    assert displayed(row(9, 10, 11), Window(10.5, 1)).tolist() == [[0, 0, 255]]


def test_request_window_goes_before_the_table_of_the_instance() -> None:
    lut = [table([0, 0, 65535], 0)]
    assert displayed(row(0, 1, 2), VOILUTSequence=lut).tolist() == [[0, 0, 255]]
    asked = Window(1, 2, "LINEAR_EXACT")
    assert displayed(row(0, 1, 2), asked, VOILUTSequence=lut).tolist() == [[0, 128, 255]]


def test_table_of_the_instance_goes_before_its_window() -> None:
    more = {"VOILUTSequence": [table([0, 0, 255], 0, 8)], "WindowCenter": 0, "WindowWidth": 1}
    assert displayed(row(0, 1, 2), **more).tolist() == [[0, 0, 255]]


def test_first_usable_window_of_several_is_taken() -> None:
    more = {"WindowCenter": [1, 1, 50], "WindowWidth": [0, 3, 100]}
    assert displayed(row(0, 1, 2), **more).tolist() == [[64, 191, 255]]


def test_without_a_window_least_to_greatest_without_padding_is_shown() -> None:
    more = {"PixelPaddingValue": 5000, "PixelPaddingRangeLimit": 6000}
    assert displayed(row(10, 20, 5500)).tolist() == [[0, 0, 255]]
    assert displayed(row(10, 20, 5500), **more).tolist() == [[0, 255, 255]]


def test_all_padding_is_shown_like_anything() -> None:
    assert displayed(row(7, 7), PixelPaddingValue=7).tolist() == [[128, 128]]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, [0, 128, 255]),
        ({"PhotometricInterpretation": "MONOCHROME1"}, [255, 128, 0]),
        ({"PresentationLUTShape": "INVERSE"}, [255, 128, 0]),
        (
            {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
            [255, 128, 0],
        ),
        ({"PresentationLUTShape": "IDENTITY"}, [0, 128, 255]),
    ],
    ids=["as it is", "MONOCHROME1", "INVERSE", "both say one inversion", "IDENTITY"],
)
def test_inversion(more: dict[str, Any], expected: list[int]) -> None:
    asked = Window(1, 2, "LINEAR_EXACT")
    assert displayed(row(0, 1, 2), asked, **more).tolist() == [expected]


def test_table_and_computation_agree() -> None:
    # Values far apart are computed, values close together are looked up.
    values = np.random.default_rng(7).integers(-2000, 3000, (80, 80)).astype("int16")
    looked_up = displayed(values, CT)
    computed = displayed(values.astype("float32"), CT)
    assert np.array_equal(looked_up, computed)


def test_not_a_number_is_black() -> None:
    stored = np.array([[0.0, np.nan, 1.0, np.inf]], "float32")
    found = displayed(stored, Window(0.5, 1, "LINEAR_EXACT"))
    assert found.tolist() == [[0, 0, 255, 255]]


def test_dose_is_scaled() -> None:
    stored = row(0, 500, 1000, dtype="uint32")
    of = frame(stored, SOPClassUID=RT_DOSE, DoseGridScaling="0.002").of
    assert modality(of).apply(stored).tolist() == [[0.0, 1.0, 2.0]]


@pytest.mark.parametrize("slope", ["", "0", "x"])
def test_slope_that_says_nothing_is_one(slope: str) -> None:
    of = frame(row(1)).of
    of.data_set[0x00281053] = RawDataElement(
        Tag(0x00281053), "DS", len(slope), slope.encode(), 0, False, True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert modality(of) == Rescale(1, 0)


def test_groups_of_the_frame_go_before_shared_ones_and_the_data_set() -> None:
    def transformation(slope: int) -> Dataset:
        inner = item(RescaleSlope=slope, RescaleIntercept=0)
        return item(PixelValueTransformationSequence=[inner])

    def window(center: int) -> Dataset:
        return item(FrameVOILUTSequence=[item(WindowCenter=center, WindowWidth=10)])

    more = {
        "PerFrameFunctionalGroupsSequence": [transformation(2), window(7)],
        "SharedFunctionalGroupsSequence": [
            item(
                PixelValueTransformationSequence=transformation(3).PixelValueTransformationSequence,
                FrameVOILUTSequence=window(8).FrameVOILUTSequence,
            )
        ],
        "RescaleSlope": 4,
        "WindowCenter": 9,
        "WindowWidth": 10,
    }
    first, second = frame(row(1), 0, **more).of, frame(row(1), 1, **more).of
    alone = frame(row(1), 0, RescaleSlope=4, WindowCenter=9, WindowWidth=10).of
    assert [modality(one) for one in (first, second, alone)] == [Rescale(2), Rescale(3), Rescale(4)]
    windows = [voi(one, signed=False) for one in (first, second, alone)]
    assert windows == [Window(8, 10), Window(7, 10), Window(9, 10)]


@pytest.mark.parametrize(
    ("descriptor", "expected"),
    [([3, 1, 16], [0, 0, 10, 20, 20]), ([0, 1, 16], [0, 0, 10, 20, 20])],
    ids=["ends repeat", "shorter than it says"],
)
def test_inputs_outside_of_a_table(descriptor: list[int], expected: list[int]) -> None:
    found = Lut(np.array([0, 10, 20]), descriptor[1], descriptor[2])
    assert found.apply(np.array([0, 1, 2, 3, 9])).tolist() == expected


def test_modality_table_with_signed_input() -> None:
    stored = row(-2, -1, 0, dtype="int16")
    lut = [table([100, 200, 300], 65534)]  # -2 where the input is signed
    found = modality(frame(stored, ModalityLUTSequence=lut).of)
    assert found.apply(stored).tolist() == [[100, 200, 300]]


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm"])
def test_pydicom_shows_the_same(name: str, function: str) -> None:
    path = get_testdata_file(name, read=True)
    assert isinstance(path, Dataset)
    path.VOILUTFunction, path.WindowCenter, path.WindowWidth = function, 300, 900
    stored = path.pixel_array
    theirs = apply_windowing(apply_modality_lut(stored, path), path)
    low, high = theirs_range(path, stored)
    expected = np.rint((theirs - low) / (high - low) * 255)
    ours = displayed(stored, **{one.keyword: one.value for one in path if one.tag.group == 0x28})
    assert np.abs(ours - expected).max() <= 1


def theirs_range(data_set: Dataset, stored: Pixels) -> tuple[float, float]:
    """Return the least and the greatest value that pydicom's windowing makes."""
    bits = int(data_set.BitsStored)
    signed = data_set.PixelRepresentation == 1
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if "RescaleSlope" in data_set:
        slope, more = float(data_set.RescaleSlope), float(data_set.RescaleIntercept)
        return low * slope + more, high * slope + more
    return low, high


def test_pydicom_applies_the_same_table() -> None:
    stored = row(0, 1, 2, 3, 4, 5)
    lut = [table([0, 1000, 30000, 65535], 1)]
    data_set = attributes(stored, VOILUTSequence=lut)
    expected = np.rint(apply_voi(stored, data_set) / 65535 * 255)
    assert np.array_equal(displayed(stored, VOILUTSequence=lut), expected)
