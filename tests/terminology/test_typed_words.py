"""Typing ahead in scripts with marks: what is typed is the beginning of a word as it is spelt."""

import pytest

from terminology.postgres.texts import index_text, query_text
from terminology.words import fold, relevance, words


@pytest.mark.parametrize(
    ("typed", "text", "found"),
    [
        ("कु", "कुत्ता", True),
        ("कुत्", "कुत्ता", True),
        ("क", "कुत्ता", True),
        ("कि", "कुत्ता", False),
        ("त्त", "कुत्ता", False),
        ("सड़क", "सडक", True),
        ("क्\u200dष", "क्ष", True),
        ("கா", "காய்ச்சல்", True),
        ("கி", "காய்ச்சல்", False),
        ("ecl", "Éclair", True),
        ("محم", "مُحَمَّد", True),
    ],
)
def test_what_is_typed_begins_a_word(typed: str, text: str, *, found: bool) -> None:
    assert (relevance(typed, [text]) is not None) is found


def test_the_index_holds_the_words_that_are_compared() -> None:
    folded, indexed = index_text("बड़ा कुत्ता")
    assert words(folded) == [fold("बडा"), fold("कुत्ता")]
    assert set(words(folded)) < set(indexed.split())
    assert query_text("कुत्") == f"'{fold('कुत्')}':*"
