"""Damaged data sets: what shows them raises nothing but that they are broken."""

import random
import struct
import zlib

import msgspec

from adapters.dicom.dataset import tree
from adapters.dicom.dataset.elements import Broken
from adapters.dicom.dataset.head import is_deflated
from adapters.dicom.dataset.identifier import encoding_of
from adapters.dicom.web.layout import NoFrames, layout
from adapters.dicom.web.model import Links, data_set
from adapters.dicom.web.native import native
from tests.adapters.dicom import files
from tests.adapters.dicom.web.test_layout import EXPLICIT, head, pixels
from tests.adapters.dicom.web.test_layout import frames as fragments
from tests.adapters.dicom.web.test_layout import native as frame
from tests.adapters.dicom.web.test_model import element

LINKS = Links("http://x", 64)
LARGEST = 64 << 10


def damaged(raw: bytes, source: random.Random) -> bytes:
    """Return the bytes with some of them changed, taken away, or put in."""
    made = bytearray(raw)
    for _ in range(source.randint(1, 8)):
        place = source.randrange(len(made))
        kind = source.randrange(4)
        if kind == 0:
            made[place] ^= 1 << source.randrange(8)
        elif kind == 1:
            made[place : place + 4] = b"\xff\xff\xff\xff"
        elif kind == 2:
            del made[place : place + source.randint(1, 50)]
            made = made or bytearray(b"\0")
        else:
            made[place:place] = source.randbytes(source.randint(1, 12))
    return bytes(made)


def shown(raw: bytes, syntax: str) -> bool:
    view = memoryview(raw)
    try:
        made = data_set(view, tree.elements(view, encoding_of(syntax)), LINKS)
    except Broken:
        return False
    msgspec.json.encode(made)
    native(made)
    return True


def test_damaged_data_sets_are_shown_or_broken() -> None:
    source = random.Random(5)
    seen = {True: 0, False: 0}
    for one in files.all_files():
        raw = one.data_set
        if is_deflated(one.transfer_syntax_uid):
            raw = zlib.decompress(raw, -zlib.MAX_WBITS)
        for _ in range(5):
            bad = damaged(raw[:LARGEST], source)
            seen[shown(bad, one.transfer_syntax_uid)] += 1
            try:
                found = layout(
                    memoryview(bad),
                    encoding_of(one.transfer_syntax_uid),
                    lambda a, b, bad=bad: bad[a:b],
                    one.transfer_syntax_uid,
                )
            except (Broken, NoFrames):
                continue
            assert found
    assert min(seen.values()) > 50


def test_a_sequence_that_is_too_deep_is_broken() -> None:
    deep = b"".join(
        struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF)
        + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        for _ in range(10_000)
    )
    assert not shown(deep, EXPLICIT)


def test_frames_that_are_only_said_to_be_there_are_none() -> None:
    raw = head(1, 1, 8, "999999999999") + element(0x7FE00010, "OB", b"ab")
    assert [frame(raw, number) for number in (2, 3)] == [b"b", None]
    assert fragments(head(1, 1, 8, "1 ") + pixels(b"ab")) == [b"ab"]
