import random
import struct
import zlib

import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from adapters.dicom.dataset.attributes import items, text
from adapters.dicom.dataset.elements import Broken
from adapters.dicom.documents import reading
from adapters.dicom.documents.reading import Span
from adapters.dicom.documents.tree import parse
from tests.adapters.dicom import files
from tests.adapters.dicom.documents import sr_samples as samples

EXPLICIT = str(ExplicitVRLittleEndian)
IMPLICIT = str(ImplicitVRLittleEndian)
SEQUENCE = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)


@pytest.mark.parametrize("name", samples.MADE)
def test_explicit_and_implicit_vr_say_the_same(name: str) -> None:
    made = samples.MADE[name]()
    explicit = reading.read(samples.encoded(made, EXPLICIT), EXPLICIT)
    assert reading.read(samples.encoded(made, IMPLICIT), IMPLICIT) == explicit
    assert text(explicit, "SOPInstanceUID") == str(made.SOPInstanceUID)


def test_a_syntax_that_is_wrongly_stated_is_seen_by_the_first_element() -> None:
    data = samples.encoded(samples.ct_dose(), IMPLICIT)
    assert reading.read(data, EXPLICIT) == reading.read(data, IMPLICIT)


def test_undefined_lengths_say_the_same_as_defined_ones() -> None:
    made = samples.measurement_report()
    defined = samples.encoded(made)
    ahead = [made]
    while ahead:
        one = ahead.pop()
        for element in one:
            if element.VR == "SQ":
                element.is_undefined_length = True
                ahead += element.value
                for item in element.value:
                    item.is_undefined_length_sequence_item = True
    undefined = samples.encoded(made)
    assert len(undefined) > len(defined)
    assert reading.read(undefined, EXPLICIT) == reading.read(defined, EXPLICIT)


def test_a_character_set_of_an_item_is_its_own() -> None:
    made = samples.basic_report()
    made.SpecificCharacterSet = "ISO_IR 192"
    finding = made.ContentSequence[12].ContentSequence[0]
    finding.SpecificCharacterSet = "ISO_IR 144"
    finding.TextValue = "Опухоль"
    root = parse(reading.read(samples.encoded(made), EXPLICIT))
    found = [text(one.attributes, "TextValue") for one in root.walk() if one.value_type == "TEXT"]
    assert "Опухоль" in found


def test_bytes_are_found_where_they_lie() -> None:
    made = samples.basic_report()
    made.EncapsulatedDocument = b"%PDF"
    data = samples.encoded(made)
    found = reading.read(data, EXPLICIT)["EncapsulatedDocument"]
    assert found == [Span(data.index(b"%PDF"), 4)]


def test_deflated_data_sets_are_inflated_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = samples.encoded(samples.ct_dose())
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(plain) + deflater.flush()
    syntax = str(DeflatedExplicitVRLittleEndian)
    assert reading.plain(deflated, syntax) == plain
    monkeypatch.setattr(reading, "MAX_INFLATED", 1000)
    with pytest.raises(Broken, match="inflates beyond"):
        reading.plain(deflated, syntax)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param((SEQUENCE + ITEM) * 500, "nested too deep", id="depth"),
        pytest.param(SEQUENCE + ITEM, "cut off", id="no end"),
        pytest.param(
            struct.pack("<HH2sHI", 0x0040, 0xA160, b"UT", 0, 0xFFFF0000), "longer", id="length"
        ),
        pytest.param(
            struct.pack("<HH2sHI", 0x0040, 0xA160, b"UT", 0, 0xFFFFFFFF), "longer", id="undefined"
        ),
        pytest.param(SEQUENCE + b"\x08\0\x05\0\0\0\0\0", "not an item", id="no item"),
        pytest.param(b"\x08\0\x05\0CS", "cut off", id="header"),
    ],
)
def test_what_cannot_be_parsed_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(Broken, match=reason):
        reading.read(data, EXPLICIT)


def test_a_damaged_document_is_read_or_refused() -> None:
    """No flipped bit or cut ends in anything else, nor in a document of another shape."""
    source = random.Random(20)
    data = samples.encoded(samples.measurement_report())
    outcomes = set()
    for _ in range(400):
        damaged = bytearray(data[: source.randrange(len(data))] if source.random() < 0.3 else data)
        for _ in range(source.randrange(1, 4)):
            if damaged:
                damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
        try:
            found = reading.read(damaged, EXPLICIT)
            outcomes.add(len(list(parse(found).walk())) > 0)
        except Broken:
            outcomes.add("broken")
    assert outcomes == {True, "broken"}


def test_a_document_of_a_foreign_hand_is_read_whole() -> None:
    found = files.one("test-SR.dcm")
    root = parse(reading.read(found.data_set, found.transfer_syntax_uid))
    assert len(list(root.walk())) == 29
    references = [(one.place, one.reference) for one in root.walk() if one.reference]
    assert references == [("1.3.3.1", (1, 3, 2)), ("1.5.1.1.1", (1, 2, 2, 1))]


def test_too_many_items_are_refused() -> None:
    many = {"ContentSequence": [{"ValueType": ["TEXT"]}] * 100_000}
    with pytest.raises(Broken, match="too many content items"):
        parse(many)
    assert len(items({"ContentSequence": many["ContentSequence"]}, "ContentSequence")) == 100_000


@pytest.mark.parametrize(("levels", "good"), [(64, True), (65, False)])
def test_content_is_64_levels_deep_at_most(levels: int, good: bool) -> None:  # noqa: FBT001
    node = samples.text(samples.dcm("121071", "Finding"), "deep")
    for _ in range(levels - 2):
        node = samples.container(samples.dcm("121070", "Findings"), node)
    root = samples.container(samples.dcm("121070", "Findings"), node, relationship="")
    read = reading.read(samples.encoded(samples.document(root)), EXPLICIT)
    if good:
        assert max(len(one.position) for one in parse(read).walk()) == levels
    else:
        with pytest.raises(Broken, match="nested too deep"):
            parse(read)
