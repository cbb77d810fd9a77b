"""Shapes of pictures, overlays and what is written into them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adapters.dicom.pixels.annotate import annotated
from adapters.dicom.pixels.arrays import Shown
from adapters.dicom.pixels.geometry import Viewport, fitted, square, tallness
from adapters.dicom.pixels.overlays import drawn
from adapters.dicom.pixels.render import MOST_FRAMES, answer
from adapters.dicom.pixels.request import Order, Picture
from fhir_server.errors import BadRequest
from tests.adapters.dicom.pixels.images import EXPLICIT, attributes, frame, item, row, written

MOST = 4096 * 4096


@pytest.mark.parametrize(
    ("tall", "most", "size"),
    [
        (1, MOST, (40, 20)),
        (2, MOST, (40, 40)),
        (0.5, MOST, (80, 20)),
        (2, 800, (20, 20)),
        (0.5, 800, (40, 10)),
        (1000, MOST, (40, 20)),
    ],
    ids=["square", "tall", "wide", "tall and no room", "wide and no room", "impossible"],
)
def test_pixels_become_square(tall: float, most: int, size: tuple[int, int]) -> None:
    assert square(Image.new("L", (40, 20)), tall, most).size == size


def test_said_ratio_goes_before_spacing_and_groups_before_the_data_set() -> None:
    measures = item(PixelMeasuresSequence=[item(PixelSpacing=[3, 1])])
    more = {"SharedFunctionalGroupsSequence": [measures], "ImagerPixelSpacing": [4, 1]}
    ratio = frame(row(1), PixelAspectRatio=[2, 1], **more).of
    found = [tallness(one) for one in (ratio, frame(row(1), **more).of, frame(row(1)).of)]
    assert found == [2, 3, 1]


def test_part_that_is_not_inside_is_refused() -> None:
    with pytest.raises(BadRequest):
        fitted(Image.new("L", (10, 10)), Viewport(5, 5, 10, 0))


def test_part_without_its_size_goes_to_the_end() -> None:
    values = np.zeros((4, 4), "uint8")
    values[2:, 2:] = 200
    found = fitted(Image.fromarray(values), Viewport(2, 2, 2, 2))
    assert np.asarray(found).tolist() == [[200, 200], [200, 200]]


def test_overlay_of_a_frame_is_drawn_and_what_lies_outside_is_not() -> None:
    data_set = attributes(row(1, 2))
    packed = np.packbits([0, 0, 0, 0, 1, 1, 1, 1], bitorder="little").tobytes()
    for element, vr, value in (
        (0x10, "US", 2),
        (0x11, "US", 2),
        (0x15, "IS", 2),
        (0x50, "SS", [2, 2]),
        (0x51, "US", 3),
        (0x3000, "OW", packed + b"\0"),
    ):
        data_set.add_new(0x60000000 | element, vr, value)
    plain: Shown = np.zeros((3, 3), np.uint8)
    assert drawn(plain, data_set, 1).tolist() == plain.tolist()
    assert drawn(plain, data_set, 2).tolist() == plain.tolist()
    assert np.argwhere(drawn(plain, data_set, 3)).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert drawn(plain[:2, :2], data_set, 3).tolist() == [[0, 0], [0, 255]]


def test_annotation_has_the_patient_at_the_top_in_the_font_that_is_set(tmp_path: Path) -> None:
    data_set = attributes(row(1), PatientName="Rao^Asha", PatientID="P1")
    blank = Image.new("L", (300, 300))
    built_in = annotated(blank, data_set, ["patient"], "")
    rows = np.argwhere(np.asarray(built_in))[:, 0]
    assert (rows.min() > 0, rows.max() < 60) == (True, True)
    assert not np.asarray(annotated(blank, attributes(row(1)), ["patient"], "")).any()
    with pytest.raises(OSError, match="cannot open resource"):
        annotated(blank, data_set, ["patient"], str(tmp_path / "none.ttf"))


def test_moving_picture_of_very_many_frames_leaves_some_out(tmp_path: Path) -> None:
    count = MOST_FRAMES * 2 - 1
    pixels = bytes(range(256)) * 2
    more = {"NumberOfFrames": count, "FrameTime": 20, "WindowCenter": 128, "WindowWidth": 256}
    path = written(tmp_path / "x", attributes(row(0, dtype="uint8"), **more), pixels, "OB")
    order = Order(
        path=str(path), offset=0, syntax=EXPLICIT, frame=None, picture=Picture(format="gif")
    )
    (tmp_path / "gif").write_bytes(answer(order).content)
    with Image.open(tmp_path / "gif") as found:
        assert (getattr(found, "n_frames", 1), found.info["duration"]) == (MOST_FRAMES, 40)


def test_representative_frame_stands_for_the_instance(tmp_path: Path) -> None:
    more = {
        "NumberOfFrames": 3,
        "RepresentativeFrameNumber": 2,
        "WindowCenter": 1,
        "WindowWidth": 2,
    }
    data_set = attributes(row(0, 0, dtype="uint8"), **more)
    path = written(tmp_path / "x", data_set, bytes((0, 0, 0, 5, 0, 0)), "OB")
    order = Order(
        path=str(path), offset=0, syntax=EXPLICIT, frame=None, picture=Picture(format="png")
    )
    (tmp_path / "png").write_bytes(answer(order).content)
    assert np.asarray(Image.open(tmp_path / "png")).tolist() == [[0, 255]]
