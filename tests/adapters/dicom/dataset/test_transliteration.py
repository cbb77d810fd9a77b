import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.dicom.dataset.charset import encode
from adapters.dicom.dataset.identifier import Key
from adapters.dicom.dataset.transliteration import devanagari, fitted, name_in, text_in


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("शर्मा", "sharma"),
        ("राम", "ram"),
        ("कुमार", "kumar"),
        ("गुप्ता", "gupta"),
        ("सिंह", "sinh"),
        ("लक्ष्मी", "lakshmi"),
        ("ज्ञान", "gyan"),
        ("फ़ातिमा", "fatima"),
        ("आरती", "arati"),
        ("१२", "12"),
    ],
)
def test_devanagari_is_written_as_it_is_spoken(word: str, expected: str) -> None:
    assert devanagari(word) == expected


@pytest.mark.parametrize(
    ("text", "terms", "expected"),
    [
        ("Łódź", ("ISO_IR 100",), "Lódz"),
        ("Łódź", ("ISO_IR 101",), "Łódź"),
        ("Ελένη", (), "Eleni"),
        ("CT 胸部", ("ISO_IR 100",), "CT XiongBu"),
        ("5 µg", (), "5 ug"),
        ("a\U000102b1b", (), "ab"),
        ("why\uff1f", (), "why?"),
    ],
)
def test_letters_that_a_set_lacks_lose_accents_or_become_latin(
    text: str, terms: tuple[str, ...], expected: str
) -> None:
    assert text_in(text, terms) == expected


def test_groups_of_other_letters_fall_away() -> None:
    assert name_in("Yamada^Tarou=山田^太郎=ﾔﾏﾀﾞ^ﾀﾛｳ", ("ISO_IR 13",)) == "Yamada^Tarou==ﾔﾏﾀﾞ^ﾀﾛｳ"


def test_items_of_sequences_are_fitted_too() -> None:
    inner = {0x00400007: Key(0x00400007, "LO", ("Schädel",))}
    [found] = fitted([Key(0x00400100, "SQ", (inner,))], ())
    assert found.values[0][0x00400007].values == ("Schadel",)


SETS = st.sampled_from([(), ("ISO_IR 100",), ("", "ISO 2022 IR 87")])


@given(st.text(max_size=40), SETS)
def test_what_is_fitted_can_be_carried(text: str, terms: tuple[str, ...]) -> None:
    for found in (text_in(text, terms), name_in(text, terms)):
        assert encode(found, terms) is not None


@given(st.text(st.characters(categories=("L", "M", "Nd")), max_size=40), SETS)
def test_no_letter_becomes_a_question_mark(text: str, terms: tuple[str, ...]) -> None:
    assert "?" not in text_in(text, terms)
