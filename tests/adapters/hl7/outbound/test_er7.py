"""Segments as bytes: nothing that is said can be taken for a mark, and nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7.message.tokenizer import parse
from adapters.hl7.outbound.er7 import Encoding, Segment, escape, message

HOSTILE = "|^~\\&#$\r\n\t\x0b\x1cé漢😀 aZ09.X"


@pytest.mark.parametrize(
    ("text", "codec", "expected"),
    [
        pytest.param("a|b", "utf-8", "a\\F\\b", id="field"),
        pytest.param("a^b", "utf-8", "a\\S\\b", id="component"),
        pytest.param("a&b", "utf-8", "a\\T\\b", id="subcomponent"),
        pytest.param("a~b", "utf-8", "a\\R\\b", id="repetition"),
        pytest.param("a\\b", "utf-8", "a\\E\\b", id="escape"),
        pytest.param("a\rb", "utf-8", "a\\X0D\\b", id="carriage_return"),
        pytest.param("a\nb", "utf-8", "a\\X0A\\b", id="line_feed"),
        pytest.param("a\x1cb", "utf-8", "a\\X1C\\b", id="block_byte"),
        pytest.param("é", "ascii", "\\XC3A9\\", id="not_in_the_character_set"),
        pytest.param("é", "iso8859-1", "é", id="in_the_character_set"),
        pytest.param("漢", "iso8859-1", "\\XE6BCA2\\", id="never_a_question_mark"),
    ],
)
def test_what_is_a_mark_or_foreign_is_escaped(text: str, codec: str, expected: str) -> None:
    assert escape(text, Encoding(codec=codec)) == expected


def test_the_truncation_mark_is_escaped_where_there_is_one() -> None:
    assert escape("a#b", Encoding("|^~\\&#")) == "a\\P\\b"


def test_lines_of_a_text_are_told_by_the_command() -> None:
    segment = Segment("OBX", {2: "FT", 5: ["a\r\nb"]})
    assert message([segment], Encoding()) == b"OBX||FT|||a\\.br\\b\r"


@given(
    st.lists(st.text(HOSTILE, min_size=1, max_size=8), min_size=1, max_size=4),
    st.sampled_from(["|^~\\&", "|^~\\&#", "$^~\\&"]),
)
def test_every_leaf_is_read_again_as_it_was_written(parts: list[str], marks: str) -> None:
    encoding = Encoding(marks)
    header = Segment("MSH", {9: ("ORU", "R01"), 10: "1", 12: "2.5.1"})
    written = message([header, Segment("ZZZ", {1: tuple(parts)})], encoding)
    assert written.count(b"\r") == 2
    (segment,) = parse(written.decode()).named("ZZZ")
    rep = segment.first(1)
    # Control characters that FHIR does not have are dropped when they come in.
    kept = [part.translate({0x0B: None, 0x1C: None}).strip() for part in parts]
    found = [rep.peek(number) if rep else "" for number in range(1, len(parts) + 1)]
    assert found == kept
