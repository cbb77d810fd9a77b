import pytest

from adapters.hl7.message.charsets import (
    Decoded,
    Undecodable,
    UnsupportedCharset,
    codec_of,
    declared,
    decode,
)
from adapters.hl7.message.tokenizer import BadHeader, parse


def message(charset: str, text: str, codec: str) -> bytes:
    return f"MSH|^~\\&|A|B|C|D|||ORU^R01|1|P|2.5||||||{charset}\rPID|1||7||{text}\r".encode(codec)


CHARSETS = [
    ("", "utf-8", "José"),
    ("ASCII", "utf-8", "Jose"),
    ("ISO IR6", "utf-8", "Jose"),
    ("8859/1", "iso8859-1", "José"),
    ("8859/2", "iso8859-2", "Łódź"),
    ("8859/5", "iso8859-5", "Иванов"),
    ("8859/7", "iso8859-7", "Ωμέγα"),
    ("8859/9", "iso8859-9", "Şükrü"),
    ("8859/15", "iso8859-15", "Žofie €"),
    ("UNICODE UTF-8", "utf-8", "रवि"),
    ("UTF-8", "utf-8", "रवि"),
    ("utf8", "utf-8", "रवि"),
    ("GB 18030-2000", "gb18030", "镕"),
    ("BIG-5", "big5", "許功蓋"),
    ("KS X 1001", "euc_kr", "홍길동"),
    ("ISO IR14", "shift_jis", "ソ表能"),
    ("ISO IR87", "iso2022_jp_ext", "山田"),
    ("ISO IR159", "iso2022_jp_ext", "山田"),
    ("JIS X 0202", "iso2022_jp_ext", "山田"),
]


@pytest.mark.parametrize(("charset", "codec", "name"), CHARSETS)
def test_each_row_of_table_0211_round_trips(charset: str, codec: str, name: str) -> None:
    decoded = decode(message(charset, name, codec), fallback="cp1252")
    assert decoded == Decoded(message(charset, name, "utf-8").decode(), codec, guessed=False)


@pytest.mark.parametrize(
    "charset", ["UNICODE", "UNICODE UTF-16", "UNICODE UTF-32", "CNS 11643-1992", "KLINGON"]
)
def test_charsets_that_cannot_come_over_mllp_are_refused(charset: str) -> None:
    with pytest.raises(UnsupportedCharset):
        decode(message(charset, "x", "ascii"), fallback="cp1252")


def test_latin_1_without_statement_is_guessed() -> None:
    decoded = decode(message("", "Müller", "latin-1"), fallback="cp1252")
    assert decoded == Decoded(message("", "Müller", "utf-8").decode(), "cp1252", guessed=True)


def test_bytes_that_break_a_promise_are_undecodable() -> None:
    with pytest.raises(Undecodable):
        decode(message("BIG-5", "", "ascii") + b"\xff\xff", fallback="cp1252")


def test_bytes_that_even_the_fallback_cannot_read_are_undecodable() -> None:
    with pytest.raises(Undecodable):
        decode(message("", "", "ascii") + b"\x81", fallback="cp1252")


def test_override_wins_over_what_the_sender_says() -> None:
    raw = message("UNICODE UTF-8", "Иванов", "iso8859-5")
    assert decode(raw, fallback="cp1252", override="8859/5").codec == "iso8859-5"


def test_first_repetition_of_msh_18_counts() -> None:
    said = declared(b"MSH|^~\\&|||||||||||||||| 8859/1 ~ISO IR87\rPID|")
    assert said == "8859/1~ISO IR87"
    assert codec_of(said, b"plain") == "iso8859-1"


@pytest.mark.parametrize("charset", ["~ISO IR87", "ASCII~ISO IR87", "ISO IR6~ISO IR14~ISO IR87"])
def test_bytes_that_switch_are_read_by_the_set_that_a_repetition_names(charset: str) -> None:
    raw = message(charset, "山田^太郎", "iso2022_jp")
    decoded = decode(raw, fallback="cp1252")
    assert (decoded.codec, parse(decoded.text).named("PID")[0].raw(5)) == (
        "iso2022_jp_ext",
        "山田^太郎",
    )


WIDE = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("codec", WIDE)
def test_wide_text_is_read_from_files(codec: str) -> None:
    raw = message("UNICODE", "Ωಖ", codec)
    assert decode(raw, fallback="cp1252").text == message("UNICODE", "Ωಖ", "utf-8").decode()


@pytest.mark.parametrize("codec", WIDE)
def test_wide_text_is_no_message_in_a_frame(codec: str) -> None:
    """What UTF-16 and UTF-32 have in a frame is read byte by byte, and is no MSH."""
    with pytest.raises((Undecodable, BadHeader)):
        parse(decode(message("UNICODE", "x", codec), fallback="cp1252", framed=True).text)


def test_shift_jis_with_escapes_is_iso_2022() -> None:
    assert codec_of("ISO IR14", b"\x1b$B") == "iso2022_jp_ext"


def test_byte_order_mark_is_no_content() -> None:
    raw = b"\xef\xbb\xbf" + message("UTF-8", "x", "utf-8")
    assert decode(raw, fallback="cp1252").text[0] == "M"


@pytest.mark.parametrize(
    ("charset", "codec", "text"),
    # The second byte of each character is one of \ ^ | ~.
    [
        ("ISO IR14", "shift_jis", "ソ表"),
        ("BIG-5", "big5", "許功"),
        ("GB 18030-2000", "gb18030", "\u4e0f"),
    ],
)
def test_delimiters_inside_characters_are_harmless(charset: str, codec: str, text: str) -> None:
    raw = message(charset, text, codec)
    decoded = decode(raw, fallback="cp1252")
    assert parse(decoded.text, decoded.codec).named("PID")[0].peek(5) == text


def test_delimiters_inside_characters_of_the_header_do_not_shift_msh_18() -> None:
    text = "MSH|^~\\&|ソ|표|C|D|||ORU^R01|1|P|2.5||||||ISO IR14\rPID|1\r".replace("표", "表")
    assert decode(text.encode("shift_jis"), fallback="cp1252").text == text
