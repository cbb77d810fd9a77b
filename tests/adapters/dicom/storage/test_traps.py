"""Broken and hostile data sets: kept byte for byte or refused, never a crash.

One row of the table for each trap that the archive must live with.
"""

import os
import random
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from adapters.dicom.dataset.part10 import opened
from adapters.dicom.network.peer import Peer
from adapters.dicom.storage.again import Verdict
from adapters.dicom.storage.index import Row
from adapters.dicom.storage.quota import Account, Quota, Reserve
from adapters.dicom.storage.store import Archive
from adapters.dicom.web.stow_parts import Outcome, Part, Rules
from fhir_server.blobs import Blobs
from tests.adapters.dicom import files

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
CT = b"1.2.840.10008.5.1.4.1.1.2\0"
MIB = 1 << 20


class Rows:
    """An index in memory that takes everything."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, row: Row) -> tuple[Verdict, bool]:
        self.rows.append(row)
        return Verdict.STORED, True


class Unmetered:
    def settle(self, _charges: object) -> list[Account]:
        return []


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    return archive_in(tmp_path)


def archive_in(place: Path, most: int = 64 * MIB) -> Rules:
    archive = Archive(Blobs(place), Rows(), most, Reserve(0), Quota(Unmetered()))
    return Rules(archive, Peer("127.0.0.1", "TEST", ""), None, True, frozenset())


def rows(rules: Rules) -> list[Row]:
    index = rules.archive.index
    assert isinstance(index, Rows)
    return index.rows


def store(rules: Rules, raw: bytes, syntax: str = EXPLICIT, piece: int = 1 << 16) -> Outcome:
    part = Part(rules, syntax)
    for at in range(0, len(raw), piece):
        part.write(raw[at : at + piece])
    return part.finish()


def element(tag: int, vr: bytes, value: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def long(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, size) + value


def implicit(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


ITEM = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def nested(depth: int) -> bytes:
    opening = b"".join(long(0x00081140, b"SQ", ITEM, 0xFFFFFFFF) for _ in range(depth))
    return opening + (ITEM_END + END) * depth


def data_set(
    *,
    before: bytes = b"",
    uid: bytes = b"1.2.3\0",
    middle: bytes = b"",
    study: bytes = b"1.2.4\0",
    number: bytes = b"7 ",
    after: bytes = b"",
) -> bytes:
    return (
        before
        + element(0x00080016, b"UI", CT)
        + element(0x00080018, b"UI", uid)
        + middle
        + element(0x0020000D, b"UI", study)
        + element(0x0020000E, b"UI", b"1.2.5\0")
        + element(0x00200013, b"IS", number)
        + after
    )


PIXELS = long(0x7FE00010, b"OW", b"\1\2" * 50)

# Trap, data set, what is indexed and flagged of it.
KEPT = {
    "odd value length": (data_set(middle=element(0x00100020, b"LO", b"abc")), "PatientID", "abc"),
    "UI padded with spaces": (data_set(study=b"1.2.4   "), "StudyInstanceUID", "1.2.4"),
    "text padded with NULs": (
        data_set(middle=element(0x00100020, b"LO", b"abc\0\0\0")),
        "PatientID",
        "abc",
    ),
    "spaces in front": (
        data_set(middle=element(0x00100020, b"LO", b"  abc ")),
        "PatientID",
        "abc",
    ),
    "DS with a comma": (
        data_set(middle=element(0x00101030, b"DS", b"1,5 ")),
        "PatientWeight",
        "1,5",
    ),
    "DS beyond all bounds": (
        data_set(middle=element(0x00101030, b"DS", b"1e+400")),
        "PatientWeight",
        "1e+400",
    ),
    "DS too long": (
        data_set(middle=element(0x00101030, b"DS", b"1.23456789012345678")),
        "PatientWeight",
        "1.23456789012345678",
    ),
    "IS with a fraction": (data_set(number=b"1.0 "), "InstanceNumber", "1.0"),
    "IS out of range": (data_set(number=b"99999999999999999999"), "InstanceNumber", "9" * 20),
    "UID components with zeros in front": (data_set(uid=b"1.02.3"), "", ""),
    "private without creator": (
        data_set(middle=element(0x00091001, b"LO", b"secret")),
        "PrivateTag",
        None,
    ),
    "group lengths": (
        data_set(before=element(0x00080000, b"UL", b"\xff\xff\xff\xff")),
        "InstanceNumber",
        "7",
    ),
    "unknown VR with reserved bytes": (
        data_set(middle=struct.pack("<HH2sHI", 0x0009, 0x1001, b"ZZ", 0, 0)),
        "InstanceNumber",
        "7",
    ),
    "undefined lengths to the limit": (data_set(middle=nested(60)), "InstanceNumber", "7"),
    "pixel data longer than the file": (
        data_set(after=long(0x7FE00010, b"OW", b"\1\2", 1 << 30)),
        "InstanceNumber",
        "7",
    ),
    "8-bit name without a set": (
        data_set(middle=element(0x00100010, b"PN", "Müller".encode("latin_1"))),
        "PatientName",
        "Müller",
    ),
    "UTF-8 name without a set": (
        data_set(middle=element(0x00100010, b"PN", "Müller ".encode())),
        "PatientName",
        "Müller",
    ),
    "a name in no set at all": (
        data_set(
            middle=element(0x00080005, b"CS", b"ISO_IR 192")
            + element(0x00100010, b"PN", b"M\xfcller")
        ),
        "PatientName",
        "M�ller",
    ),
    "out of order": (
        data_set(middle=element(0x00200011, b"IS", b"5 ") + element(0x00100020, b"LO", b"ab")),
        "PatientID",
        "ab",
    ),
    "twice": (
        data_set(
            middle=element(0x00100020, b"LO", b"ab") + element(0x00100020, b"LO", b"cd"),
        ),
        "PatientID",
        "ab",
    ),
    "an empty sequence": (
        data_set(middle=long(0x00101002, b"SQ", b"")),
        "OtherPatientIDsSequence",
        None,
    ),
    "trailing NULs": (data_set(after=bytes(5)), "InstanceNumber", "7"),
    "UN of undefined length": (
        data_set(
            middle=long(0x00101002, b"UN", ITEM + implicit(0x00100020, b"ab"), 0xFFFFFFFF)
            + ITEM_END
            + END
        ),
        "OtherPatientIDsSequence",
        [{"PatientID": ["ab"]}],
    ),
}


@pytest.mark.parametrize("trap", KEPT)
@pytest.mark.parametrize("piece", [7, 1 << 16], ids=["in small pieces", "at once"])
def test_a_trap_is_kept_byte_for_byte(rules: Rules, trap: str, piece: int) -> None:
    raw, keyword, expected = KEPT[trap]
    raw += b"" if "pixel" in trap or "trailing" in trap else PIXELS
    assert store(rules, raw, piece=piece).status == 0
    [row] = rows(rules)
    assert rules.archive.blobs.get(row.blob.hex())[row.data_set_offset :] == raw
    known = {**row.attributes, "StudyInstanceUID": [row.study_instance_uid], "": [""]}
    found = known.get(keyword)
    assert (found if isinstance(expected, list) else (found or [None])[0]) == expected


@pytest.mark.parametrize(
    ("raw", "syntax", "flag"),
    [
        (
            b"".join(
                implicit(tag, value)
                for tag, value in (
                    (0x00080016, CT),
                    (0x00080018, b"1.2.3\0"),
                    (0x0020000D, b"1.2.4\0"),
                    (0x0020000E, b"1.2.5\0"),
                )
            ),
            EXPLICIT,
            "encoding",
        ),
        (data_set(), IMPLICIT, "encoding"),
        (KEPT["twice"][0], EXPLICIT, "order"),
        (KEPT["out of order"][0], EXPLICIT, "order"),
        (KEPT["a name in no set at all"][0], EXPLICIT, "charset"),
        (KEPT["trailing NULs"][0], EXPLICIT, "trailing"),
    ],
    ids=["implicit", "explicit", "twice", "order", "charset", "trailing"],
)
def test_what_was_irregular_is_flagged(rules: Rules, raw: bytes, syntax: str, flag: str) -> None:
    assert store(rules, raw, syntax).status == 0
    assert flag in rows(rules)[0].flags


def test_big_endian_is_indexed_and_kept(rules: Rules) -> None:
    raw = b"".join(
        element(tag, vr, value, ">")
        for tag, vr, value in (
            (0x00080016, b"UI", CT),
            (0x00080018, b"UI", b"1.2.3\0"),
            (0x0020000D, b"UI", b"1.2.4\0"),
            (0x0020000E, b"UI", b"1.2.5\0"),
            (0x00280010, b"US", b"\x02\x00"),
        )
    )
    assert store(rules, raw, BIG).status == 0
    assert rows(rules)[0].attributes["Rows"] == [512]
    assert store(rules, raw, "").status == 0
    assert rows(rules)[1].transfer_syntax_uid == BIG


def deflated(raw: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(raw) + packer.flush()


REFUSED = {
    "a UID of 65 characters": (data_set(uid=b"1." + b"2" * 63), EXPLICIT, 0x0117),
    "letters in a UID": (data_set(uid=b"1.2.x\0"), EXPLICIT, 0x0117),
    "a path as a UID": (data_set(uid=b"../../etc/passwd"), EXPLICIT, 0x0117),
    "no instance UID": (data_set(uid=b""), EXPLICIT, 0xA900),
    "no study UID": (data_set(study=b""), EXPLICIT, 0xA900),
    "a study UID that is none": (data_set(study=b"ward 5"), EXPLICIT, 0x0117),
    "nested too deep": (data_set(middle=nested(65)), EXPLICIT, 0xC000),
    "nested without end": (data_set(middle=nested(1)[:-16]), EXPLICIT, 0xC000),
    "an undefined length that is no sequence": (
        data_set(middle=long(0x00081140, b"OB", b"abcd", 0xFFFFFFFF)),
        EXPLICIT,
        0xC000,
    ),
    "a length beyond the end": (
        data_set(middle=long(0x00091010, b"OB", b"ab", 0xFFFFFFF0)),
        EXPLICIT,
        0xC000,
    ),
    "a deflate bomb": (
        deflated(data_set(after=long(0x00091010, b"OB", bytes(60 * MIB)))),
        DEFLATED,
        0xC000,
    ),
    "a damaged deflate stream": (deflated(data_set())[:-9] + b"\xff" * 9, DEFLATED, 0xC000),
    "nothing": (b"", EXPLICIT, 0xA900),
    "noise": (b"\xff" * 999, EXPLICIT, 0xC000),
}


@pytest.mark.parametrize("trap", REFUSED)
def test_a_trap_is_refused_and_leaves_nothing(rules: Rules, trap: str) -> None:
    raw, syntax, status = REFUSED[trap]
    assert store(rules, raw, syntax).status == status
    assert [path for path in rules.archive.blobs.root.rglob("*") if path.is_file()] == []


META = element(0x00020010, b"UI", b"1.2.840.10008.1.2\0")


@pytest.mark.parametrize(
    "meta",
    [
        META,
        element(0x00020000, b"UL", struct.pack("<I", 3)) + META,
        element(0x00020000, b"UL", struct.pack("<I", 1 << 30)) + META,
        implicit(0x00020010, b"1.2.840.10008.1.2\0"),
        long(0x00020001, b"OB", b"\0\1") + META,
    ],
    ids=["no length", "too small", "too large", "implicit", "version"],
)
@pytest.mark.parametrize(
    "front", [bytes(128) + b"DICM", b"MZ" + bytes(126) + b"DICM", b"DICM", b""]
)
def test_file_meta_ends_where_its_group_does(meta: bytes, front: bytes) -> None:
    found = opened(front + meta + implicit(0x00080016, CT))
    assert (found.offset, found.transfer_syntax) == (len(front) + len(meta), IMPLICIT)


def damaged(raw: bytes, source: random.Random) -> bytes:
    """Return the bytes with flips, cuts, lengths of all ones or doubled pieces."""
    changed = bytearray(raw)
    for _ in range(source.randint(1, 8)):
        at = source.randrange(len(changed))
        kind = source.randrange(5)
        if kind == 0:
            changed[at] ^= 1 << source.randrange(8)
        elif kind == 1:
            changed[at : at + 4] = b"\xff\xff\xff\xff"
        elif kind == 2:
            changed[at : at + 2] = source.randbytes(2)
        elif kind == 3:
            changed[at:at] = changed[at : at + source.randrange(64)]
        else:
            del changed[at : at + source.randrange(64)]
    if source.random() < 0.3:
        del changed[source.randrange(len(changed)) :]
    return bytes(changed)


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "rtplan.dcm",
        "image_dfl.dcm",
        "ExplVR_BigEnd.dcm",
        "test-SR.dcm",
        "JPEG2000.dcm",
    ],
)
def test_damaged_files_are_kept_or_refused_and_cost_little(
    rules: Rules, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    file = files.one(name)
    # Damage is done where the elements are; pixels are opaque.
    raw = file.data_set[:20_000]
    source = random.Random(name)
    before = psutil.Process(os.getpid()).memory_info().rss
    outcomes = set()
    for _ in range(120):
        sent = damaged(raw, source)
        outcome = store(rules, sent, file.transfer_syntax_uid)
        outcomes.add(outcome.status)
        if outcome.status == 0:
            row = rows(rules)[-1]
            assert rules.archive.blobs.get(row.blob.hex())[row.data_set_offset :] == sent
    assert outcomes <= {0, 0x0117, 0x0122, 0xA900, 0xC000}
    assert len(outcomes) > 1
    assert len(list(rules.archive.blobs.incoming.iterdir())) == 0
    assert psutil.Process(os.getpid()).memory_info().rss - before < 64 * MIB


def test_a_denied_class_is_refused_over_http_too(rules: Rules) -> None:
    denied = frozenset((CT.decode().rstrip("\0"),))
    asked = replace(rules, archive=replace(rules.archive, denied=denied))
    assert store(asked, data_set()).status == 0x0122
    assert store(rules, data_set()).status == 0
