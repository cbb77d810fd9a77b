"""The header of pixel data: each way in which it is written."""

import pytest

from adapters.dicom.dataset.elements import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from adapters.dicom.dataset.pixel_data import PixelData, pixel_data

TAG = b"\xe0\x7f\x10\0"


@pytest.mark.parametrize(
    ("encoding", "head", "expected"),
    [
        (EXPLICIT_LITTLE, TAG + b"OW\0\0\x08\0\0\0", PixelData(0x7FE00010, "OW", 8, 12)),
        (EXPLICIT_LITTLE, TAG + b"UN\0\0\x08\0\0\0", PixelData(0x7FE00010, "UN", 8, 12)),
        (EXPLICIT_LITTLE, TAG + b"OB\0\0\xff\xff\xff\xff", PixelData(0x7FE00010, "OB", None, 12)),
        (EXPLICIT_BIG, b"\x7f\xe0\0\x10OW\0\0\0\0\0\x08", PixelData(0x7FE00010, "OW", 8, 12)),
        (IMPLICIT_LITTLE, TAG + b"\x08\0\0\0abcd", PixelData(0x7FE00010, "OW", 8, 8)),
        (IMPLICIT_LITTLE, b"\xe0\x7f\x08\0\x04\0\0\0", PixelData(0x7FE00008, "OW", 4, 8)),
        (IMPLICIT_LITTLE, TAG + b"OW\0\0\x08\0\0\0", PixelData(0x7FE00010, "OW", 8, 12)),
        (EXPLICIT_LITTLE, TAG + b"\x08\0\0\0abcd", PixelData(0x7FE00010, "OW", 8, 8)),
        (EXPLICIT_LITTLE, TAG + b"OW\0\0\x08", None),
        (EXPLICIT_LITTLE, TAG + b"OW", None),
        (EXPLICIT_LITTLE, b"\xe0\x7f\x01\0OV\0\0\x08\0\0\0", None),
    ],
    ids=[
        *("explicit", "of unknown VR", "encapsulated", "big endian", "implicit", "floats"),
        *("explicit though implicit is said", "implicit though explicit is said"),
        *("cut off", "cut off before its length", "another element"),
    ],
)
def test_the_header_of_pixel_data(
    encoding: Encoding, head: bytes, expected: PixelData | None
) -> None:
    assert pixel_data(head, encoding) == expected
