import io
import struct
import warnings
import zlib

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import config

from adapters.dicom.dataset.elements import MAX_DEPTH, Broken, MoreNeeded
from adapters.dicom.dataset.head import (
    MOST,
    BadUid,
    Head,
    MissingUid,
    head,
    inflated,
    is_deflated,
    stepped_head,
)
from adapters.dicom.simulation.computed_tomography import Study, instances
from tests.adapters.dicom import files

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG = "1.2.840.10008.1.2.2"
COMPARED = (
    "PatientID",
    "StudyDate",
    "StudyTime",
    "Modality",
    "SeriesNumber",
    "InstanceNumber",
    "AccessionNumber",
    "StudyID",
)


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def sequence(tag: int, *items: bytes, undefined: bool = False) -> bytes:
    if undefined:
        body = b"".join(
            b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + i + b"\xfe\xff\x0d\xe0\0\0\0\0" for i in items
        )
        body += b"\xfe\xff\xdd\xe0\0\0\0\0"
        length = 0xFFFFFFFF
    else:
        body = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(i)) + i for i in items)
        length = len(body)
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, length) + body


UIDS = (
    element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
    element(0x00080018, b"UI", b"1.2.3\0"),
)
STUDY = element(0x0020000D, b"UI", b"1.2.4\0") + element(0x0020000E, b"UI", b"1.2.5\0")


def data_set(*between: bytes, after: bytes = b"") -> bytes:
    return b"".join((*UIDS, *between)) + STUDY + after


def read(raw: bytes, syntax: str = EXPLICIT) -> Head:
    return head(raw, len(raw), syntax)


def plain(file: files.DicomFile) -> bytes:
    if not is_deflated(file.transfer_syntax_uid):
        return file.data_set
    return inflated(io.BytesIO(file.data_set).read, len(file.data_set), 1 << 30)


@pytest.mark.parametrize("file", files.all_files(), ids=lambda file: file.name)
def test_what_is_indexed_of_pydicoms_files_is_what_pydicom_reads(file: files.DicomFile) -> None:
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        known = pydicom.dcmread(file.path, stop_before_pixels=True, force=True)
        raw = plain(file)
        try:
            found = head(raw, len(raw), file.transfer_syntax_uid)
        except MissingUid:
            uids = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
            assert not all(known.get(keyword) for keyword in uids)
            return
        except Broken:
            assert file.name == "rtplan_truncated.dcm"
            return
        assert found.study_instance_uid == known.StudyInstanceUID
        assert found.series_instance_uid == known.SeriesInstanceUID
        assert found.sop_instance_uid == known.SOPInstanceUID
        for keyword in COMPARED:
            expected = str(known.get(keyword) if known.get(keyword) is not None else "").strip()
            assert found.attributes.get(keyword, [""])[0] == expected
        assert found.attributes.get("Rows", [None])[0] == known.get("Rows")
        name = str(known.get("PatientName") or "")
        assert found.attributes.get("PatientName", [""])[0].rstrip("=^") == name.rstrip("=^")


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm"])
def test_a_head_cut_off_before_the_uids_is_broken(name: str) -> None:
    file = files.one(name)
    raw = plain(file)[:300]
    with pytest.raises((Broken, MissingUid)):
        head(raw, len(raw), file.transfer_syntax_uid)


def test_the_pixel_data_element_is_located() -> None:
    file = files.one("CT_small.dcm")
    found = read(file.data_set, file.transfer_syntax_uid)
    assert found.pixel_offset is not None
    assert file.data_set[found.pixel_offset :][:4] == b"\xe0\x7f\x10\0"


def test_pixel_data_may_be_shorter_than_it_says() -> None:
    [slice_] = instances(Study(1, 1, size=16))
    raw = slice_.data_set[:-100]
    assert read(raw).sop_instance_uid == slice_.sop_instance_uid


def test_items_of_both_lengths_are_read() -> None:
    code = element(0x00080100, b"SH", b"T-1 ") + element(0x00080104, b"LO", b"Chest ")
    for undefined in (False, True):
        raw = data_set(sequence(0x00081032, code, code, undefined=undefined))
        assert (
            read(raw).attributes["ProcedureCodeSequence"]
            == [{"CodeValue": ["T-1"], "CodeMeaning": ["Chest"]}] * 2
        )


def test_an_unwanted_sequence_is_passed_over_whatever_it_holds() -> None:
    broken_inside = sequence(0x00081140, b"\1\2\3")
    fragments = struct.pack("<HH2sHI", 0x0009, 0x1010, b"OB", 0, 0xFFFFFFFF)
    fragments += struct.pack("<HHI", 0xFFFE, 0xE000, 4) + b"\1\2\3\4"
    fragments += b"\xfe\xff\xdd\xe0\0\0\0\0"
    raw = data_set(broken_inside, fragments)
    assert read(raw).series_instance_uid == "1.2.5"


def test_a_wanted_sequence_of_known_length_that_is_broken_is_left_out() -> None:
    found = read(data_set(sequence(0x00081032, b"\1\2\3")))
    assert "ProcedureCodeSequence" not in found.attributes
    assert "sequence" in found.flags


def test_sequences_nested_too_deep_are_broken() -> None:
    inner = b""
    for _ in range(MAX_DEPTH + 1):
        inner = sequence(0x00081140, inner, undefined=True)
    with pytest.raises(Broken):
        read(data_set(inner))


def test_sequences_nested_to_the_limit_are_read() -> None:
    inner = b""
    for _ in range(MAX_DEPTH - 1):
        inner = sequence(0x00081140, inner, undefined=True)
    assert read(data_set(inner)).series_instance_uid == "1.2.5"


def test_an_element_longer_than_the_data_set_is_broken() -> None:
    raw = data_set(after=struct.pack("<HH2sHI", 0x0040, 0xA730, b"UN", 0, 0xFFFFFFF0))
    with pytest.raises(Broken):
        read(raw)


def test_a_sequence_without_end_is_broken() -> None:
    with pytest.raises(Broken):
        read(data_set(sequence(0x00081140, b"", undefined=True)[:-8]))


def test_a_head_that_ends_early_asks_for_more() -> None:
    raw = data_set(struct.pack("<HH2sHI", 0x0009, 0x1010, b"OB", 0, 5000) + bytes(5000))
    with pytest.raises(MoreNeeded):
        head(raw[:300], len(raw), EXPLICIT)


def test_what_lies_behind_the_last_wanted_element_may_be_missing_from_the_head() -> None:
    raw = data_set(after=struct.pack("<HH2sHI", 0x5200, 0x9230, b"OB", 0, 5000) + bytes(5000))
    found = head(raw[:300], len(raw), EXPLICIT)
    assert (found.series_instance_uid, found.pixel_offset) == ("1.2.5", None)


def test_no_more_is_read_for_a_head_than_memory_is_for_it() -> None:
    document = struct.pack("<HH2sHI", 0x0042, 0x0011, b"OB", 0, 3 << 30)
    raw, asked = data_set(after=document), list[int]()

    def read(length: int) -> bytes:
        asked.append(length)
        return raw[:length]

    found = stepped_head(read, len(raw) + (3 << 30) + 100, EXPLICIT)
    assert (found.series_instance_uid, found.pixel_offset) == ("1.2.5", None)
    assert asked == [1 << 20, 4 << 20, 16 << 20, MOST]
    with pytest.raises(MissingUid):
        stepped_head(lambda length: document[:length], 4 << 30, EXPLICIT)


def test_trailing_nuls_are_flagged_only() -> None:
    assert read(data_set(after=bytes(6))).flags == {"trailing"}


def test_the_first_of_two_equal_elements_wins() -> None:
    found = read(data_set(STUDY, after=element(0x0020000D, b"UI", b"9.9.9\0")))
    assert found.study_instance_uid == "1.2.4"
    assert found.flags == {"order"}


def test_implicit_elements_under_an_explicit_label_are_read_and_flagged() -> None:
    file = files.one("rtdose.dcm")
    assert file.transfer_syntax_uid == IMPLICIT
    honest = read(file.data_set, IMPLICIT)
    mislabelled = read(file.data_set, EXPLICIT)
    assert mislabelled.study_instance_uid == honest.study_instance_uid
    assert mislabelled.flags - honest.flags == {"encoding"}


def test_explicit_elements_under_an_implicit_label_are_read_and_flagged() -> None:
    found = read(data_set(), IMPLICIT)
    assert (found.study_instance_uid, found.flags) == ("1.2.4", {"encoding"})


@pytest.mark.parametrize("uid", [b"1.2.x\0", b"1." + b"2" * 64, b"../../etc "])
def test_what_is_no_uid_is_refused(uid: bytes) -> None:
    raw = data_set().replace(
        element(0x0020000D, b"UI", b"1.2.4\0"), element(0x0020000D, b"UI", uid)
    )
    with pytest.raises(BadUid):
        read(raw)


@pytest.mark.parametrize("padded", [b"1.2.4 ", b" 1.2.4", b"1.2.4\0\0\0"])
def test_the_padding_of_uids_does_not_count(padded: bytes) -> None:
    raw = data_set().replace(
        element(0x0020000D, b"UI", b"1.2.4\0"), element(0x0020000D, b"UI", padded)
    )
    assert read(raw).study_instance_uid == "1.2.4"


@pytest.mark.parametrize("keyword", ["1.2.3", "1.2.4", "1.2.5"])
def test_a_missing_uid_is_refused(keyword: str) -> None:
    raw = data_set().replace(keyword.encode(), bytes(5))
    with pytest.raises(MissingUid):
        read(raw)


def test_a_damaged_deflated_stream_is_broken() -> None:
    raw = files.one("image_dfl.dcm").data_set
    with pytest.raises(Broken):
        inflated(io.BytesIO(b"\xff" + raw).read, len(raw), 1 << 30)


@pytest.mark.parametrize("limit", [1 << 20, 1 << 40])
def test_a_deflate_bomb_is_broken(limit: int) -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = bomb.compress(bytes(64 << 20)) + bomb.flush()
    with pytest.raises(Broken):
        inflated(io.BytesIO(raw).read, len(raw), limit)


@given(data=st.data())
def test_damaged_heads_never_raise_anything_else(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(("CT_small.dcm", "rtdose.dcm", "MR_small_bigendian.dcm")))
    file = files.one(name)
    raw = bytearray(file.data_set[: data.draw(st.integers(0, 4000))])
    for _ in range(data.draw(st.integers(0, 20))):
        if raw:
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    syntax = data.draw(st.sampled_from((EXPLICIT, IMPLICIT, BIG)))
    try:
        found = head(raw, len(raw) + data.draw(st.integers(0, 1)), syntax)
    except (Broken, MoreNeeded, MissingUid, BadUid):
        return
    assert found.study_instance_uid
