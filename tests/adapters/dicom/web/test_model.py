"""The DICOM JSON and XML models; pydicom reads the same values."""

import struct
import zlib
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pydicom
import pytest

from adapters.dicom.dataset import tree
from adapters.dicom.dataset.elements import EXPLICIT_BIG, EXPLICIT_LITTLE, Broken
from adapters.dicom.dataset.head import is_deflated
from adapters.dicom.dataset.identifier import encoding_of
from adapters.dicom.web.model import Links, data_set, valued
from adapters.dicom.web.native import native
from tests.adapters.dicom import files

LINKS = Links("http://x/i", 8)


def element(tag: int, vr: str, value: bytes, order: str = "<") -> bytes:
    long = vr in {"OB", "OW", "OF", "OD", "OL", "OV", "UN", "UT", "SQ", "SV", "UV", "UC", "UR"}
    head = struct.pack(f"{order}HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    length = f"{order}HI" if long else f"{order}H"
    return head + struct.pack(length, *((0,) if long else ()), len(value)) + value


def shown(raw: bytes, encoding: Any = EXPLICIT_LITTLE) -> dict[str, Any]:
    view = memoryview(raw)
    made = data_set(view, tree.elements(view, encoding), LINKS)
    return msgspec.json.decode(msgspec.json.encode(made))


VALUES = [
    ("DS", ["1.5", "", " 20 ", "1,5", "1e+400", "1E2"], [1.5, None, 20, "1,5", "1e+400", 100.0]),
    ("IS", ["07", "1.0", "12345678901", "9" * 17], [7, "1.0", 12345678901, "9" * 17]),
    ("UV", [2**53 - 1, 2**53], [2**53 - 1, str(2**53)]),
    ("SV", [-(2**60)], [str(-(2**60))]),
    ("FD", [1.5, float("nan"), float("-inf")], [1.5, "NaN", "-Infinity"]),
    ("CS", ["A ", "", "B"], ["A", None, "B"]),
    ("LT", ["  kept "], ["  kept"]),
    (
        "PN",
        ["Doe^J=山田=やまだ", "==x", ""],
        [
            {"Alphabetic": "Doe^J", "Ideographic": "山田", "Phonetic": "やまだ"},
            {"Phonetic": "x"},
            None,
        ],
    ),
]


@pytest.mark.parametrize(("vr", "values", "expected"), VALUES, ids=[vr for vr, _, _ in VALUES])
def test_values_by_their_vr(vr: str, values: list[Any], expected: list[Any]) -> None:
    assert valued(vr, values) == {"vr": vr, "Value": expected}


def test_an_element_without_a_value_has_only_its_vr() -> None:
    assert valued("LO", [""]) == {"vr": "LO"}
    empty = element(0x00081030, "LO", b"") + element(0x00081140, "SQ", b"")
    found = shown(empty)
    assert (found["00081030"], found["00081140"]) == ({"vr": "LO"}, {"vr": "SQ"})


def test_binary_values_are_inline_or_linked_and_pixels_always_linked() -> None:
    found = shown(
        element(0x00091001, "OB", b"\1\2")
        + element(0x00091002, "OW", b"123456789a")
        + element(0x7FE00010, "OW", b"\0\0")
    )
    assert found["00091001"] == {"vr": "OB", "InlineBinary": "AQI="}
    assert found["00091002"] == {"vr": "OW", "BulkDataURI": "http://x/i/bulkdata/00091002"}
    assert found["7FE00010"] == {"vr": "OW", "BulkDataURI": "http://x/i/frames"}


def test_items_are_nested_and_their_long_values_have_a_path() -> None:
    inner = element(0x00091002, "OB", bytes(10))
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    empty = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    found = shown(element(0x00081140, "SQ", empty + item))
    assert found["00081140"]["Value"] == [
        {},
        {"00091002": {"vr": "OB", "BulkDataURI": "http://x/i/bulkdata/00081140/2/00091002"}},
    ]


def test_big_endian_is_turned_and_group_lengths_are_left_out() -> None:
    raw = element(0x00080000, "UL", struct.pack(">I", 4), ">")
    raw += element(0x00091001, "OW", b"\1\2\3\4", ">")
    raw += element(0x00091002, "OD", bytes(range(8)), ">")
    raw += element(0x00280010, "US", struct.pack(">H", 513), ">")
    raw += element(0x00281101, "AT", struct.pack(">HH", 0x0028, 0x1201), ">")
    found = shown(raw, EXPLICIT_BIG)
    assert "00080000" not in found
    assert found["00091001"]["InlineBinary"] == "AgEEAw=="
    assert found["00091002"]["InlineBinary"] == "BwYFBAMCAQA="
    assert found["00280010"]["Value"] == [513]
    assert found["00281101"]["Value"] == ["00281201"]


def test_text_is_unicode_also_where_an_item_has_its_own_character_set() -> None:
    name = element(0x00080005, "CS", b"ISO_IR 144") + element(0x00100010, "PN", b"\xbb\xee\xda^ ")
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(name)) + name
    raw = element(0x00080005, "CS", b"ISO_IR 100") + element(0x00081140, "SQ", item)
    found = shown(raw + element(0x00100010, "PN", b"M\xfcller"))
    unicode = {"vr": "CS", "Value": ["ISO_IR 192"]}
    assert found["00080005"] == unicode
    assert found["00100010"]["Value"] == [{"Alphabetic": "Müller"}]
    [inner] = found["00081140"]["Value"]
    assert inner["00080005"] == unicode
    assert inner["00100010"]["Value"] == [{"Alphabetic": "Люк^"}]


def test_what_is_cut_off_ends_where_the_data_end() -> None:
    whole = element(0x00100020, "LO", b"12345678")
    assert shown(whole[:-4])["00100020"]["Value"] == ["1234"]
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 100) + whole
    assert shown(element(0x00081140, "SQ", item))["00081140"]["vr"] == "UN"
    endless = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + struct.pack("<HHI", 0xFFFE, 0xE000, 100)
    with pytest.raises(Broken):
        shown(endless + whole)


# Where pydicom differs and we do not want to: it converts UN values of private elements that it
# knows, keeps a trailing space inside of a value, writes "" for null, shows padding.
KNOWN = frozenset(("FFFCFFFC", "7FE00010"))


def differences(ours: Any, theirs: Any) -> list[str]:
    found = []
    for tag in sorted(set(ours) | set(theirs)):
        private = int(tag[:4], 16) % 2
        if tag in KNOWN or tag == "00080005" or tag[4:] == "0000" or private:
            continue
        if tag not in ours or tag not in theirs:
            found.append(tag)
            continue
        one, other = ours[tag], theirs[tag]
        if one["vr"] == other["vr"] == "SQ":
            items = zip(one.get("Value", ()), other.get("Value", ()), strict=True)
            found += [f"{tag}/{each}" for pair in items for each in differences(*pair)]
        elif "BulkDataURI" not in one and _cleaned(one) != _cleaned(other):
            found.append(tag)
    return found


def _cleaned(one: dict[str, Any]) -> dict[str, Any]:
    values = [(v.strip() or None) if isinstance(v, str) else v for v in one.get("Value", ())]
    return {**one, "vr": str(one["vr"]), "Value": values}


# Their values are no numbers, or their VR is none, which pydicom leaves out.
ODD = {"badVR.dcm", "rtplan_truncated.dcm", "MR_truncated.dcm", "DICOMDIR-nooffset"}


@pytest.mark.filterwarnings("ignore")
def test_every_file_of_pydicom_reads_as_pydicom_reads_it() -> None:
    compared = 0
    for one in files.all_files():
        raw = one.data_set
        if is_deflated(one.transfer_syntax_uid):
            raw = zlib.decompress(raw, -zlib.MAX_WBITS)
        ours = shown(raw, encoding_of(one.transfer_syntax_uid))
        if one.name in ODD or one.name.startswith("rtdose"):
            continue
        theirs = pydicom.dcmread(one.path, force=True).to_json_dict(
            bulk_data_threshold=LINKS.threshold, bulk_data_element_handler=lambda _: "x"
        )
        assert (one.name, differences(ours, theirs)) == (one.name, [])
        compared += 1
    assert compared > 150


def test_xml_says_the_same_as_json() -> None:
    found = {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "<X>\x01"]},
        "00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]},
        "00090010": {"vr": "LO", "Value": ["ACME"]},
        "00091001": {"vr": "OB", "InlineBinary": "AQI="},
        "00091002": {"vr": "OB", "BulkDataURI": "http://x?a&b"},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A&B^C", "Ideographic": "山"}]},
    }
    root = ET.fromstring(native(found))
    space = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
    assert root.tag == f"{space}NativeDicomModel"
    by_tag = {one.get("tag"): one for one in root}
    values = [(v.get("number"), v.text) for v in by_tag["00080008"]]
    assert values == [("1", "ORIGINAL"), ("3", "<X>\ufffd")]
    assert by_tag["00091001"].get("privateCreator") == "ACME"
    assert by_tag["00091002"][0].get("uri") == "http://x?a&b"
    assert by_tag["00081140"].find(f"{space}Item/{space}DicomAttribute/{space}Value").text == "1.2"
    name = by_tag["00100010"].find(f"{space}PersonName")
    assert name.find(f"{space}Alphabetic/{space}FamilyName").text == "A&B"
    assert name.find(f"{space}Ideographic/{space}FamilyName").text == "山"
