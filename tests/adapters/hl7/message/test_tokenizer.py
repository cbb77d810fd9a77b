import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7.message.accounting import unmapped, valued
from adapters.hl7.message.tokenizer import (
    MOST_PARTS,
    BadHeader,
    Delimiters,
    Message,
    TooManyParts,
    leaves,
    parse,
)

MSH = "MSH|^~\\&|A|B|C|D|20260101||ORU^R01|1|P|2.5"


def names(message: Message) -> list[str]:
    return [segment.name for segment in message.segments]


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_cr_and_crlf_and_lf_alone_end_segments(end: str) -> None:
    message = parse(end.join([MSH, "PID|1", "OBX|1|ST|X||a"]) + end)
    assert names(message) == ["MSH", "PID", "OBX"]
    assert message.segments[2].peek(5) == "a"


def test_lone_lf_before_a_segment_name_is_an_end_and_else_data() -> None:
    message = parse(f"{MSH}\rOBX|1|TX|X||one\ntwo\nNTE|1||note\r")
    assert names(message) == ["MSH", "OBX", "NTE"]
    assert message.segments[1].peek(5) == "one\ntwo"


@pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\x85", "\u2028", "\x1e"])
def test_line_characters_of_other_worlds_do_not_split(odd: str) -> None:
    message = parse(f"{MSH}\rOBX|1|TX|X||one{odd}two|u\r")
    assert names(message) == ["MSH", "OBX"]
    assert message.segments[1].peek(6) == "u"


def test_empty_segments_blanks_and_byte_order_mark_are_skipped() -> None:
    assert names(parse(f"\ufeff \r\n{MSH}\r\r  \rPID|1\r\r")) == ["MSH", "PID"]


def test_unknown_lower_case_and_z_segments_are_kept() -> None:
    assert names(parse(f"{MSH}\rpid|1\rZAB|x\rQQQ|y")) == ["MSH", "pid", "ZAB", "QQQ"]


def test_msh_1_is_a_field_and_msh_2_is_never_split() -> None:
    header = parse(MSH).header
    assert (header.raw(1), header.raw(2), header.peek(3)) == ("|", "^~\\&", "A")
    assert [a for n in (1, 2) for a in leaves(header, n)] == [(0, 1, 1, 1, 1), (0, 2, 1, 1, 1)]


@pytest.mark.parametrize(
    ("start", "delimiters"),
    [
        ("MSH|^~\\&|", Delimiters("|", "^", "~", "\\", "&")),
        ("MSH|^~\\&#|", Delimiters("|", "^", "~", "\\", "&", "#")),
        ("MSH|^|", Delimiters("|", "^", "~", "\\", "&")),
        ("MSH||", Delimiters("|", "^", "~", "\\", "&")),
        ("MSH$%*!@$", Delimiters("$", "%", "*", "!", "@")),
    ],
)
def test_delimiters_come_from_the_header(start: str, delimiters: Delimiters) -> None:
    assert parse(start).delimiters == delimiters


@pytest.mark.parametrize(
    "start", ["", "MSH", "PID|1", "MSH|^^\\&|", "MSH|ab\\&|", "MSHx", "BHS|^~"]
)
def test_unusable_header_is_refused(start: str) -> None:
    with pytest.raises(BadHeader):
        parse(start)


@pytest.mark.parametrize("part", ["|", "^", "~", "&", "\r"])
def test_message_of_too_many_parts_is_refused(part: str) -> None:
    with pytest.raises(TooManyParts):
        parse(f"MSH|^~\\&\rPID|{part * (MOST_PARTS + 1)}")


def test_long_text_is_no_matter_of_parts() -> None:
    text = "x" * (2 * MOST_PARTS)
    assert parse(f"MSH|^~\\&\rNTE|1||{text}").segments[1].peek(3) == text


def test_text_fields_keep_component_marks() -> None:
    message = parse(f"{MSH}\rOBX|1|ST|X||a^b&c~d\rNTE|1||x^y&z\rOBX|2|CE|X||a^b&c")
    text, note, coded = message.segments[1:]
    assert [rep.peek() for rep in text.repetitions(5)] == ["a^b&c", "d"]
    assert note.peek(3) == "x^y&z"
    assert [coded.repetitions(5)[0].peek(2, sub) for sub in (1, 2)] == ["b", "c"]


def test_null_and_absent_and_empty_say_nothing() -> None:
    pid = parse(f'{MSH}\rPID|1||""|""^b^""').named("PID")[0]
    assert [pid.valued(n) for n in (2, 3, 4, 9)] == [False, False, True, False]
    assert [pid.peek(n) for n in (2, 3, 4, 9)] == ["", "", "", ""]
    assert pid.repetitions(4)[0].peek(2) == "b"


def test_occurrence_counts_segments_of_a_name() -> None:
    message = parse(f"{MSH}\rOBX|1\rNTE|1\rOBX|9")
    assert [s.occurrence for s in message.segments] == [1, 1, 1, 2]


def test_leaf_is_unescaped_after_splitting() -> None:
    pid = parse(f"{MSH}\rPID|1||a\\S\\b^c\\T\\d").named("PID")[0]
    assert [pid.repetitions(3)[0].peek(n) for n in (1, 2)] == ["a^b", "c&d"]


def test_every_leaf_without_a_word_has_no_target() -> None:
    message = parse(f'{MSH}\rPID|1||7^^^H&1\rZPI|x^y\rNTE|1||""\rXXX|~b')
    assert (
        unmapped(message)[-8:]
        == [
            ("PID[1]-1[1].1.1", "control"),
            ("PID[1]-3[1].1.1", "no_target"),
            ("PID[1]-3[1].4.1", "no_target"),
            ("PID[1]-3[1].4.2", "no_target"),
            ("ZPI[1]-1[1].1.1", "z_segment"),
            ("ZPI[1]-1[1].2.1", "z_segment"),
            ("NTE[1]-1[1].1.1", "control"),
            ("NTE[1]-3[1].1.1", "null"),
            ("XXX[1]-1[2].1.1", "no_target"),
        ][-8:]
    )


@given(st.text(alphabet='ab1|^~\\&\r\n" '))
def test_any_text_after_a_header_is_read_and_accounted_for(text: str) -> None:
    message = parse(f"{MSH}\r{text}")
    assert len(unmapped(message)) == len(list(valued(message)))
