"""Each of pydicom's test files is shown, or there is a reason that was looked at."""

import warnings
from importlib.util import find_spec
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydicom.pixels.utils import pixel_array

from adapters.dicom.pixels.render import answer
from adapters.dicom.pixels.request import Order, Picture
from tests.adapters.dicom.pixels.pydicom_files import BY_NAME

NONE = "The instance has no pixels"
BROKEN = "No installed decoder reads this JPEG 2000 Image Compression"
EXTENDED = "No installed decoder reads this JPEG Extended (Process 2 and 4)"
LOSSLESS = (
    "No decoder for JPEG Lossless, Non-Hierarchical, First-Order Prediction "
    "(Process 14 [Selection Value 1]) is installed"
)

# Looked at one by one: what has no picture, and why.
REASONS = {
    "JPEG2000-embedded-sequence-delimiter.dcm": BROKEN,  # a codestream of a few made-up bytes
    # 12 bits: neither Pillow nor GDCM decodes them for pydicom.
    "JPEG-lossy.dcm": EXTENDED,
    "JPGExtended.dcm": EXTENDED,
}
# `sangam[gdcm]` decodes it.
WITHOUT_GDCM = {"SC_rgb_jpeg_gdcm.dcm": LOSSLESS}
# Directories, and the files they list: their pixels were taken out.
DIRECTORIES = ("DICOMDIR", "IM0")
NO_IMAGES = {
    "chrJapMulti.dcm",
    "chrJapMultiExplicitIR6.dcm",
    "chrKoreanMulti.dcm",
    "chrSQEncoding.dcm",
    "chrSQEncoding1.dcm",
    "UN_sequence.dcm",
    "empty_charset_LEI.dcm",
    "meta_missing_tsyntax.dcm",
    "nested_priv_SQ.dcm",
    "no_meta_group_length.dcm",
    "priv_SQ.dcm",
    "reportsi.dcm",
    "reportsi_with_empty_number_tags.dcm",
    "rtplan.dcm",
    "rtplan_truncated.dcm",
    "rtstruct.dcm",
    "test-SR.dcm",
    "waveform_ecg.dcm",
}


def expected(name: str) -> str:
    if name in NO_IMAGES or name.startswith(DIRECTORIES):
        return NONE
    if not find_spec("gdcm") and name in WITHOUT_GDCM:
        return WITHOUT_GDCM[name]
    return REASONS.get(name, "")


def drawn(name: str) -> tuple[str, tuple[int, ...]]:
    """Return the reason why there is no picture, or its shape."""
    one = BY_NAME[name]
    order = Order(
        path=str(one.path),
        offset=one.offset,
        syntax=one.transfer_syntax_uid,
        frame=0,
        picture=Picture(format="png"),
    )
    found = answer(order)
    if found.refusal:
        return found.text, ()
    return "", np.asarray(Image.open(BytesIO(found.content))).shape


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_file_is_shown_or_has_its_reason(name: str) -> None:
    assert drawn(name)[0] == expected(name)


@pytest.mark.parametrize("name", ["CT_small.dcm", "examples_ybr_color.dcm", "rtdose_rle.dcm"])
def test_picture_has_the_shape_of_the_frame(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert drawn(name) == ("", pixel_array(BY_NAME[name].path, index=0).shape)
