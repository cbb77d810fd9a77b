import struct
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

from adapters.dicom.dataset.charset import character_set, decode, encode
from adapters.dicom.dataset.elements import Broken
from adapters.dicom.dataset.identifier import Key, read, tag_of, write

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
PATIENT_NAME, ROWS = tag_of("PatientName"), tag_of("Rows")
REQUESTS, PROCEDURE = tag_of("RequestAttributesSequence"), tag_of("RequestedProcedureID")


def sample() -> Dataset:
    item = Dataset()
    item.RequestedProcedureID = "R1"
    found = Dataset()
    found.SpecificCharacterSet = "ISO_IR 100"
    found.ImageType = ["ORIGINAL", "PRIMARY"]
    found.PatientName = "Müller^Jörg"
    found.PatientSex = ""
    found.Rows = 512
    found.RequestAttributesSequence = [item]
    return found


def by_pydicom(found: Dataset, *, implicit: bool, little: bool) -> bytes:
    buffer = BytesIO()
    stream = DicomIO(buffer)
    stream.is_implicit_VR, stream.is_little_endian = implicit, little
    write_dataset(stream, found)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("syntax", "implicit", "little"),
    [(IMPLICIT, True, True), (EXPLICIT, False, True), (BIG, False, False)],
)
@pytest.mark.parametrize("undefined", [False, True])
def test_what_pydicom_writes_is_read(
    syntax: str, *, implicit: bool, little: bool, undefined: bool
) -> None:
    found = sample()
    found["RequestAttributesSequence"].is_undefined_length = undefined
    found.RequestAttributesSequence[0].is_undefined_length_sequence_item = undefined
    keys = read(by_pydicom(found, implicit=implicit, little=little), syntax)
    assert {key.tag: key.values for key in keys.values() if key.vr != "SQ"} == {
        0x00080005: ("ISO_IR 100",),
        tag_of("ImageType"): ("ORIGINAL", "PRIMARY"),
        PATIENT_NAME: ("Müller^Jörg",),
        tag_of("PatientSex"): (),
        ROWS: (512,),
    }
    assert keys[REQUESTS].values == ({PROCEDURE: Key(PROCEDURE, "SH", ("R1",))},)


@pytest.mark.parametrize(
    ("syntax", "implicit", "little"),
    [(IMPLICIT, True, True), (EXPLICIT, False, True), (BIG, False, False)],
)
def test_what_is_written_pydicom_reads(syntax: str, *, implicit: bool, little: bool) -> None:
    keys = read(by_pydicom(sample(), implicit=implicit, little=little), syntax)
    raw = write(keys.values(), syntax, ("ISO_IR 100",))
    assert raw == by_pydicom(sample(), implicit=implicit, little=little)


def test_text_that_the_set_cannot_carry_goes_as_utf_8() -> None:
    raw = write([Key(PATIENT_NAME, "PN", ("山田",))], EXPLICIT, ("ISO_IR 100",))
    found = dcmread(BytesIO(raw), force=True)
    assert (found.SpecificCharacterSet, str(found.PatientName)) == ("ISO_IR 192", "山田")


@pytest.mark.parametrize(
    "data",
    [
        b"\x10",
        struct.pack("<HH2sH", 0x10, 0x20, b"LO", 4) + b"ab",
        struct.pack("<HH2sHI", 0x40, 0x275, b"SQ", 0, 100),
        struct.pack("<HH2sHI", 0x40, 0x275, b"SQ", 0, 8) + struct.pack("<HHI", 8, 8, 0),
        struct.pack("<HH2sHIHHI", 0x40, 0x275, b"SQ", 0, 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
        * 40,
    ],
    ids=["cut off", "value beyond the end", "sequence beyond the end", "no item", "too deep"],
)
def test_what_is_no_data_set_is_broken(data: bytes) -> None:
    with pytest.raises(Broken):
        read(data, EXPLICIT)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Müller", ["ISO_IR 100"]),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]),
        ("ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎", ["ISO 2022 IR 13", "ISO 2022 IR 87"]),
        ("김희중", ["", "ISO 2022 IR 149"]),
        ("Ж^é", ["ISO 2022 IR 100", "ISO 2022 IR 144"]),
        ("राम^सीता", ["ISO_IR 192"]),
        ("王^小东", ["GB18030"]),
    ],
)
def test_encoded_text_is_read_as_the_same(text: str, terms: list[str]) -> None:
    raw = encode(text, terms)
    assert raw is not None
    assert decode(raw, character_set(terms), name=True) == (text, True)


@pytest.mark.parametrize(
    ("text", "terms"),
    [("é", []), ("Ж", ["ISO_IR 100"]), ("山", ["ISO_IR 13"]), ("राम", ["", "ISO 2022 IR 87"])],
)
def test_what_a_set_cannot_carry_is_not_encoded(text: str, terms: list[str]) -> None:
    assert encode(text, terms) is None
