"""Where frames lie: native, one bit a pixel, and encapsulated in every way."""

import struct

import pytest

from adapters.dicom.dataset.elements import EXPLICIT_BIG, EXPLICIT_LITTLE
from adapters.dicom.web.frames import packed, unpacked
from adapters.dicom.web.layout import Encapsulated, Native, NoFrames, layout
from tests.adapters.dicom.web.test_model import element

JPEG = "1.2.840.10008.1.2.4.50"
EXPLICIT = "1.2.840.10008.1.2.1"
END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def us(tag: int, value: int, order: str = "<") -> bytes:
    return element(tag, "US", struct.pack(f"{order}H", value), order)


def head(rows: int, columns: int, bits: int, frames: str = "", order: str = "<") -> bytes:
    count = element(0x00280008, "IS", frames.encode(), order) if frames else b""
    size = us(0x00280010, rows, order) + us(0x00280011, columns, order)
    return us(0x00280002, 1, order) + count + size + us(0x00280100, bits, order)


def item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def pixels(*fragments: bytes, table: bytes = b"") -> bytes:
    start = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    return start + b"".join(map(item, (table, *fragments))) + END


def frames(raw: bytes, syntax: str = JPEG) -> list[bytes]:
    found = layout(memoryview(raw), EXPLICIT_LITTLE, lambda a, b: raw[a:b], syntax)
    assert isinstance(found, Encapsulated)
    assert unpacked(packed(found)) == found
    return [b"".join(raw[a:b] for a, b in spans) for spans in found.frames]


def native(raw: bytes, number: int) -> bytes | None:
    found = layout(memoryview(raw), EXPLICIT_LITTLE, lambda a, b: raw[a:b], EXPLICIT)
    assert isinstance(found, Native)
    span = found.span(number)
    return None if span is None else found.frame(raw[slice(*span[0])], span[1])


def test_native_frames_are_slices_and_a_cut_one_is_none() -> None:
    raw = head(1, 2, 16, "3 ") + element(0x7FE00000, "UL", bytes(4))
    raw += element(0x7FE00010, "OW", b"aabbccddee")
    assert [native(raw, n) for n in (0, 1, 2, 3, 4)] == [None, b"aabb", b"ccdd", None, None]


def test_a_one_bit_frame_that_begins_inside_of_a_byte_is_shifted() -> None:
    # Three frames of five pixels: 10101 01010 11111, the first pixel in the lowest bit.
    raw = head(1, 5, 1, "3 ") + element(0x7FE00010, "OB", struct.pack("<H", 0b0_11111_01010_10101))
    assert [native(raw, n) for n in (1, 2, 3)] == [bytes([0b10101]), bytes([0b01010]), bytes([31])]


def test_subsampled_colours_have_two_samples() -> None:
    raw = us(0x00280002, 3) + element(0x00280004, "CS", b"YBR_FULL_422")
    raw += us(0x00280010, 1) + us(0x00280011, 2) + us(0x00280100, 8)
    assert native(raw + element(0x7FE00010, "OB", b"YYBR"), 1) == b"YYBR"


def test_words_of_big_endian_are_known() -> None:
    raw = head(1, 1, 16, order=">") + element(0x7FE00010, "OW", b"\1\2", ">")
    found = layout(memoryview(raw), EXPLICIT_BIG, lambda a, b: raw[a:b], "")
    assert isinstance(found, Native)
    assert (found.word, found.little, found.count) == (2, False, 1)


A, B, C = b"\xff\xd8one.", b"rest", b"\xff\xd8two."


def u32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def u64(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


ENCAPSULATED = {
    "a basic offset table": (pixels(A, B, C, table=u32(0, 8 + 6 + 8 + 4)), [A + B, C]),
    "one fragment for each": (pixels(A, C), [A, C]),
    "codestreams": (pixels(A, B, C), [A + B, C]),
    "a wrong offset table": (pixels(A, B, C, table=u32(0, 3)), [A + B, C]),
    "an extended offset table": (
        element(0x7FE00001, "OV", u64(0, 14)) + element(0x7FE00002, "OV", u64(5, 6)) + pixels(A, C),
        [A[:5], C],
    ),
    "no delimiter at the end": (pixels(A, C)[:-8], [A, C]),
}


@pytest.mark.parametrize(("raw", "expected"), ENCAPSULATED.values(), ids=ENCAPSULATED)
def test_encapsulated_frames(raw: bytes, expected: list[bytes]) -> None:
    assert frames(head(1, 1, 8, "2 ") + raw) == expected


def test_one_frame_and_a_video_are_all_fragments() -> None:
    assert frames(head(1, 1, 8) + pixels(A, B)) == [A + B]
    assert frames(head(1, 1, 8, "9 ") + pixels(A, B), "1.2.840.10008.1.2.4.102") == [A + B]


def test_what_has_no_frames_says_why() -> None:
    for raw in (
        head(1, 1, 8),
        head(1, 1, 8) + pixels(),
        head(0, 0, 0) + element(0x7FE00010, "OW", b""),
    ):
        with pytest.raises(NoFrames):
            frames(raw)
    with pytest.raises(NoFrames, match="told apart"):
        frames(head(1, 1, 8, "2 ") + pixels(A, B, B))
