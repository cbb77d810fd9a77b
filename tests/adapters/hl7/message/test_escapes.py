from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7.message.escapes import unescape, without_controls

CHARACTERS = "|^&~\\#"


def unescaped(text: str, codec: str = "utf-8") -> tuple[str, Counter[str]]:
    counts: Counter[str] = Counter()
    return unescape(text, CHARACTERS, codec, counts), counts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"a\F\b", "a|b"),
        (r"a\S\b", "a^b"),
        (r"a\T\b", "a&b"),
        (r"a\R\b", "a~b"),
        (r"a\E\b", "a\\b"),
        (r"a\P\b", "a#b"),
        (r"\F\\S\\T\\R\\E\\P\ ", "|^&~\\# "),
        (r"\X41\\X4243\ ", "ABC "),
        (r"\Xc3a9\ ", "é "),
        (r"one\.br\two", "one\ntwo"),
        (r"one\.ce\two", "one\ntwo"),
        (r"one\.sp\two", "one\ntwo"),
        (r"one\.sp3\two", "one\n\n\ntwo"),
        (r"one\.sp+2\two", "one\n\ntwo"),
        (r"one\.sk4\two", "one    two"),
        (r"\E\F\E\ ", "\\F\\ "),
    ],
)
def test_sequences_are_resolved(text: str, expected: str) -> None:
    assert unescaped(text) == (expected, Counter())


@pytest.mark.parametrize(
    "text",
    [
        r"\Z12\ ",
        r"\Q\ ",
        r"a\b",
        r"trailing \ ",
        r"\X4\ ",
        r"\XZZ\ ",
        r"\Xff\ ",
        r"C:\temp",
        "\\",
        "\\\\",
        r"\.sp9999\ ",
    ],
)
def test_what_is_no_sequence_stays_as_it_is(text: str) -> None:
    assert unescaped(text) == (text, Counter())


def test_sequence_after_an_unknown_one_is_resolved() -> None:
    assert unescaped(r"C:\temp\F\x") == (r"C:\temp|x", Counter())


@pytest.mark.parametrize("body", [".in+4", ".in", ".ti-2", ".fi", ".nf", "H", "N"])
def test_layout_is_removed_and_counted(body: str) -> None:
    assert unescaped(f"a\\{body}\\b") == ("ab", Counter(formatting=1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"a\M2442\;3ED\C2842\ Taro", "a山田 Taro"),
        (r"\M2442\;3ED\C2842\\T\b", "山田&b"),
        (r"\M2442\;3ED", "山田"),
        (r"\C284A\a\T\b", "a&b"),
        (r"\C2849\\C2842\x", "x"),
        (r"\M242843\GQ\C2842\.", "한."),
        (r"\M2441\VZ\C2842\.", "众."),
    ],
    ids=["Japanese", "then-ASCII", "to-the-end", "Roman", "nothing-in-it", "Korean", "Chinese"],
)
def test_text_after_a_charset_switch_is_of_that_set(text: str, expected: str) -> None:
    assert unescaped(text) == (expected, Counter())


@pytest.mark.parametrize("text", [r"a\M244228\b", r"a\C2D41\b", r"\M2442\odd", r"\M2442\né"])
def test_charset_switch_that_cannot_be_read_stays_and_is_counted(text: str) -> None:
    assert unescaped(text) == (text, Counter(charset_switch=1))


def test_hexadecimal_bytes_are_in_the_charset_of_the_message() -> None:
    assert unescaped(r"\Xe9\ ", "iso8859-1") == ("é ", Counter())


def test_forbidden_characters_are_dropped_and_counted() -> None:
    counts: Counter[str] = Counter()
    assert without_controls("a\x00b\tc\nd\re\x1ff", counts) == "ab\tc\nd\ref"
    assert counts == Counter(control_characters=2)


@given(st.text(alphabet="ab|^&~\\#\r"))
def test_escaping_and_unescaping_are_inverse(text: str) -> None:
    names = dict(zip(CHARACTERS, "FSTREP", strict=True))
    escaped = "".join(f"\\{names[c]}\\" if c in names else c for c in text)
    assert unescaped(escaped) == (text, Counter())
