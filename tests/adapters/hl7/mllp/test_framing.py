import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7.mllp.framing import JUNK_SHOWN, OVERSIZE_KEPT, Frame, Framer, Kind

MESSAGE = b"MSH|^~\\&|A|B\rPID|1\r"
LIMIT = 1 << 20


def framed(content: bytes) -> bytes:
    return b"\x0b" + content + b"\x1c\r"


def fed(stream: bytes, *, limit: int = LIMIT) -> list[Frame]:
    framer = Framer(limit)
    return framer.feed(stream) + framer.end()


WHOLE = Frame(Kind.WHOLE, MESSAGE)

STREAMS = [
    pytest.param(framed(MESSAGE), [WHOLE], id="1-normal"),
    pytest.param(framed(MESSAGE) * 3, [WHOLE] * 3, id="2-three-on-one-connection"),
    pytest.param(
        framed(b"MSH1") + framed(b"MSH2"),
        [Frame(Kind.WHOLE, b"MSH1"), Frame(Kind.WHOLE, b"MSH2")],
        id="3-in-order",
    ),
    pytest.param(
        b"\r\n\x00 \t" + framed(MESSAGE) + b"\r\n\x00" + framed(MESSAGE),
        [WHOLE] * 2,
        id="6-blanks-between-frames",
    ),
    pytest.param(b"\x0b" + MESSAGE + b"\x1c", [WHOLE], id="7-FS-without-CR-at-the-end"),
    pytest.param(
        b"\x0b" + MESSAGE + b"\x1c" + framed(MESSAGE),
        [WHOLE] * 2,
        id="7-FS-without-CR-before-the-next",
    ),
    pytest.param(MESSAGE + b"\x1c\r", [Frame(Kind.HEADLESS, MESSAGE)], id="8-VT-missing"),
    pytest.param(
        MESSAGE + b"\x1c\r" + framed(MESSAGE),
        [Frame(Kind.HEADLESS, MESSAGE), WHOLE],
        id="8-VT-missing-then-normal",
    ),
    pytest.param(
        framed(b"MSH|\r\rPID\r"), [Frame(Kind.WHOLE, b"MSH|\r\rPID\r")], id="11-empty-segment"
    ),
    pytest.param(framed(b"MSH|\nPID\n"), [Frame(Kind.WHOLE, b"MSH|\nPID\n")], id="12-LF"),
    pytest.param(
        framed(b"MSH|a\x1cb"),
        [Frame(Kind.WHOLE, b"MSH|a\x1cb", stray_fs=True)],
        id="FS-inside-is-data",
    ),
    pytest.param(framed(b"MSH|a\x0bb"), [Frame(Kind.WHOLE, b"MSH|a\x0bb")], id="VT-inside-is-data"),
    pytest.param(
        b"\x0bMSH|cut" + framed(MESSAGE),
        [Frame(Kind.TRUNCATED, b"MSH|cut"), WHOLE],
        id="cut-by-the-next-message",
    ),
    pytest.param(
        b"\x0bMSH|cut" + framed(b"FHS|^~\\&|\rFTS\r"),
        [Frame(Kind.TRUNCATED, b"MSH|cut"), Frame(Kind.WHOLE, b"FHS|^~\\&|\rFTS\r")],
        id="cut-by-a-batch",
    ),
    pytest.param(b"\x0b\x0b" + MESSAGE + b"\x1c\r", [WHOLE], id="two-VT"),
    pytest.param(b"\x0bMSH|cut", [Frame(Kind.TRUNCATED, b"MSH|cut")], id="cut-by-the-end"),
    pytest.param(
        b"GET / HTTP/1.1\r\n\r\n" + framed(MESSAGE),
        [Frame(Kind.JUNK, b"GET / HTTP/1.1\r\n\r\n"), WHOLE],
        id="junk-then-normal",
    ),
    pytest.param(b"MS", [Frame(Kind.TRUNCATED, b"MS")], id="cut-in-MSH"),
]


@pytest.mark.parametrize(("stream", "frames"), STREAMS)
def test_stream_is_cut_into_frames(stream: bytes, frames: list[Frame]) -> None:
    assert fed(stream) == frames


@given(st.sampled_from([case.values for case in STREAMS]), st.data())
def test_random_splits_change_nothing(case: tuple[bytes, list[Frame]], data: st.DataObject) -> None:
    stream, frames = case
    framer = Framer(LIMIT)
    found = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += framer.feed(stream[:size])
        stream = stream[size:]
    assert found + framer.end() == frames


@given(st.lists(st.sampled_from([b"\x0b", b"\x1c", b"\r", b"MSH", b"M", b"S", b"|x", b" "])))
def test_no_stream_breaks_the_framer_however_it_is_split(pieces: list[bytes]) -> None:
    whole, split = Framer(LIMIT), Framer(LIMIT)
    frames = whole.feed(b"".join(pieces)) + whole.end()
    assert [f for piece in pieces for f in split.feed(piece)] + split.end() == frames


def test_single_bytes_make_the_same_frame() -> None:
    framer = Framer(LIMIT)
    found = [f for byte in framed(MESSAGE) for f in framer.feed(bytes([byte]))]
    assert found == [WHOLE]


def test_silence_after_fs_ends_the_frame_and_a_late_cr_is_ignored() -> None:
    framer = Framer(LIMIT)
    assert framer.feed(b"\x0b" + MESSAGE + b"\x1c") == []
    assert framer.awaits_cr
    assert framer.silence() == [WHOLE]
    assert framer.feed(b"\r" + framed(MESSAGE)) == [WHOLE]


def test_silence_elsewhere_ends_nothing() -> None:
    framer = Framer(LIMIT)
    framer.feed(b"\x0bMSH|")
    assert framer.silence() == []
    assert framer.in_message


def test_message_over_the_limit_closes_and_keeps_its_beginning() -> None:
    framer = Framer(100_000)
    content = MESSAGE + b"x" * 200_000
    assert framer.feed(b"\x0b" + content) == [Frame(Kind.OVERSIZE, content[:OVERSIZE_KEPT])]
    assert framer.closed
    assert framer.feed(framed(MESSAGE)) == []
    assert framer.held == 0


def test_whole_frame_over_the_limit_in_one_read_is_too_large_as_well() -> None:
    framer = Framer(10)
    assert framer.feed(framed(MESSAGE)) == [Frame(Kind.OVERSIZE, MESSAGE)]


def test_message_of_exactly_the_limit_passes() -> None:
    assert Framer(len(MESSAGE)).feed(framed(MESSAGE)) == [WHOLE]


def test_junk_keeps_memory_flat_and_shows_its_beginning() -> None:
    framer = Framer(LIMIT)
    for _ in range(LIMIT // 65_536):
        assert framer.feed(b"j" * 65_536) == []
        assert framer.held == 0
    assert framer.feed(framed(MESSAGE)) == [Frame(Kind.JUNK, b"j" * JUNK_SHOWN), WHOLE]


def test_junk_over_the_limit_closes_and_shows_its_beginning() -> None:
    framer = Framer(100_000)
    assert framer.feed(b"j" * 100_000) == []
    assert framer.feed(b"j" + framed(MESSAGE)) == [Frame(Kind.JUNK, b"j" * JUNK_SHOWN)]
    assert framer.closed
    assert framer.feed(framed(MESSAGE)) == []
    assert framer.held == 0


def test_the_limit_is_that_of_junk_between_two_messages() -> None:
    framer = Framer(100_000)
    stream = (b"j" * 60_000 + framed(MESSAGE)) * 3
    assert framer.feed(stream) == [Frame(Kind.JUNK, b"j" * JUNK_SHOWN), WHOLE] * 3


def test_five_megabytes_in_small_reads_are_scanned_once() -> None:
    framer = Framer(64 << 20)
    content = b"MSH|" + b"x" * 5_000_000
    stream = framed(content)
    found = []
    for at in range(0, len(stream), 1_460):
        found += framer.feed(stream[at : at + 1_460])
    assert found == [Frame(Kind.WHOLE, content)]


def test_a_message_given_up_to_make_room_keeps_its_beginning_and_ends_the_stream() -> None:
    framer = Framer(LIMIT)
    assert framer.feed(framed(MESSAGE) + b"\x0b" + MESSAGE) == [Frame(Kind.WHOLE, MESSAGE)]
    assert framer.give_up(Kind.CROWDED) == [Frame(Kind.CROWDED, MESSAGE)]
    assert (framer.closed, framer.held) == (True, 0)
    assert framer.feed(b"\x1c\r" + framed(MESSAGE)) == []
    assert framer.end() == []


def test_there_is_nothing_to_give_up_between_messages() -> None:
    framer = Framer(LIMIT)
    framer.feed(framed(MESSAGE))
    assert framer.give_up(Kind.CROWDED) == []
    assert framer.closed
