import warnings

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_charset_files

from adapters.dicom.dataset.charset import CharacterSet, character_set, decode
from adapters.dicom.dataset.head import head
from tests.adapters.dicom import files

# Names of PS3.5, Annexes H to K, with the escapes as printed there.
NAMES = [
    (
        ["", "ISO 2022 IR 87"],
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    (
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        (
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J"
            b"=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J"
        ),
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    (
        ["", "ISO 2022 IR 149"],
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    (
        ["ISO_IR 192"],
        "Wang^XiaoDong=王^小东=".encode(),
        "Wang^XiaoDong=王^小东=",
    ),
    (["GB18030"], "Wang^XiaoDong=王^小东".encode("gb18030"), "Wang^XiaoDong=王^小东"),
    (["ISO_IR 100"], b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
    (["ISO_IR 144"], "Люксембург".encode("iso8859_5"), "Люксембург"),
]


@pytest.mark.parametrize(("terms", "raw", "text"), NAMES)
def test_names_of_the_standard(terms: list[str], raw: bytes, text: str) -> None:
    assert decode(raw, character_set(terms), name=True) == (text, True)


@pytest.mark.parametrize(
    "term",
    ["ISO_IR 100", "ISO IR 100", "ISO-IR 100", "ISO_IR_100", "ISO 2022 IR 100", "iso_ir 100"],
)
def test_spellings_of_a_term(term: str) -> None:
    assert character_set([term]).initial == "iso8859_1"


@pytest.mark.parametrize(
    ("term", "codec"),
    [
        ("ISO 2022 58", "gb2312"),
        ("ISO 2022 GBK", "gbk"),
        ("UTF8", "utf_8"),
        ("UTF-8", "utf_8"),
        ("ISO_IR 203", "iso8859_15"),
        ("", "ascii"),
        ("NOT A SET", "ascii"),
        ("ISO 2022 IR 87", "ascii"),
    ],
)
def test_misspelled_and_unknown_terms(term: str, codec: str) -> None:
    assert character_set([term]).initial == codec


@pytest.mark.parametrize(
    ("raw", "text"), [("Jérôme".encode(), "Jérôme"), (b"J\xe9r\xf4me", "Jérôme")]
)
def test_eight_bit_text_without_a_set_is_read_and_flagged(raw: bytes, text: str) -> None:
    assert decode(raw, character_set([])) == (text, False)


def test_a_backslash_returns_to_the_initial_set() -> None:
    used = CharacterSet("iso8859_1", escapes=True)
    assert decode(b"\x1b-F\xe1\xe2\\\xe9", used) == ("αβ\\é", True)


def test_a_trail_byte_is_no_separator() -> None:
    raw = "許功蓋".encode("gb18030") + b"\\x"
    assert decode(raw, character_set(["GB18030"])) == ("許功蓋\\x", True)


@given(
    raw=st.binary(max_size=60),
    terms=st.lists(
        st.sampled_from(
            ["", "ISO_IR 100", "ISO_IR 13", "ISO 2022 IR 87", "ISO 2022 IR 149", "ISO_IR 192"]
        ),
        max_size=3,
    ),
    name=st.booleans(),
)
def test_decoding_never_raises(raw: bytes, terms: list[str], name: bool) -> None:  # noqa: FBT001
    text, _ = decode(raw, character_set(terms), name=name)
    assert isinstance(text, str)


@pytest.mark.parametrize(
    "path",
    [p for p in get_charset_files() if p.endswith(".dcm") and "SQ" not in p],
    ids=lambda p: p[-12:],
)
def test_names_of_pydicoms_files(path: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = pydicom.dcmread(path)
        known.decode()
        expected = str(known.PatientName)
    file = files.one(path.rsplit("/", 1)[1])
    found = head(file.data_set, len(file.data_set), file.transfer_syntax_uid)
    assert [name.rstrip("=") for name in found.attributes["PatientName"]] == [expected]
