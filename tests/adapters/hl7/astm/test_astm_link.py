"""One line as a state machine, driven by tables of what comes and what must go."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7.astm.frames import checksum, split, written
from adapters.hl7.astm.link import Action, Close, Fault, Keep, Line, Sent, State, Write

ACK, NAK, ENQ, EOT = b"\x06", b"\x15", b"\x05", b"\x04"
RECORDS = [b"H|\\^&|||A^B\r", b"P|1||17\r", b"R|1|^^^K|4.1\r", b"L|1|N\r"]


class Driver:
    """A line whose frames are kept at once, unless `storing` is off."""

    def __init__(self, role: str = "computer", longest: int = 1 << 20) -> None:
        self.line = Line(role, longest)  # type: ignore[arg-type]
        self.now = 100.0
        self.storing = True
        self.out = b""
        self.texts: list[bytes] = []
        self.ends: list[Close] = []
        self.sent: list[Sent] = []
        self.faults: list[str] = []

    def do(self, actions: Iterable[Action]) -> None:
        follows: Iterable[Action] = actions
        while follows:
            todo, follows = follows, ()
            for action in todo:
                match action:
                    case Write(content):
                        self.out += content
                    case Keep(frame):
                        if self.storing:
                            self.texts.append(frame.text)
                        follows = self.line.kept(ok=self.storing, now=self.now)
                    case Close():
                        self.ends.append(action)
                    case Sent():
                        self.sent.append(action)
                    case Fault(kind):
                        self.faults.append(kind)

    def feed(self, content: bytes) -> bytes:
        """Return what the line answers."""
        before = len(self.out)
        self.do(self.line.feed(content, self.now))
        return self.out[before:]

    def wait(self, seconds: float) -> bytes:
        before = len(self.out)
        self.now += seconds
        self.do(self.line.tick(self.now))
        return self.out[before:]

    def send(self, frames: list[bytes]) -> bytes:
        before = len(self.out)
        self.do(self.line.send(frames, self.now))
        return self.out[before:]


def frame(number: int, text: bytes, *, final: bool = True) -> bytes:
    return written(number, text, final=final)


def test_checksum_is_that_of_the_standard() -> None:
    # 1H|\^&<CR><ETX>, summed by hand.
    assert checksum(b"1H|\\^&\r\x03") == b"E5"


def test_checksum_of_lower_case_is_accepted() -> None:
    one = Driver()
    made = frame(1, b"H|\\^&\r")
    assert one.feed(ENQ + made[:-4] + made[-4:].lower()) == ACK + ACK


def test_a_session_is_acknowledged_frame_by_frame_and_ends_with_eot() -> None:
    one = Driver()
    assert one.feed(ENQ) == ACK
    for made in split(RECORDS, 240):
        assert one.feed(made) == ACK
    assert one.feed(EOT) == b""
    assert (one.texts, one.ends) == (RECORDS, [Close(complete=True)])


def test_frame_numbers_go_on_with_0_after_7() -> None:
    one = Driver()
    frames = split([b"%d\r" % n for n in range(20)], 240)
    assert [made[1:2] for made in frames[5:9]] == [b"6", b"7", b"0", b"1"]
    assert one.feed(ENQ + b"".join(frames) + EOT) == ACK * 21
    assert b"".join(one.texts) == b"".join(b"%d\r" % n for n in range(20))


@pytest.mark.parametrize("longest", [240, 63_993])
def test_long_records_go_in_pieces_of_the_dialect(longest: int) -> None:
    record = b"R|1|^^^K|" + b"4" * 70_000 + b"\r"
    frames = split([record], longest)
    assert max(len(made) for made in frames) == longest + 7
    assert [made[-5:-4] for made in frames] == [b"\x17"] * (len(frames) - 1) + [b"\x03"]
    one = Driver()
    one.feed(ENQ + b"".join(frames) + EOT)
    assert (b"".join(one.texts), one.ends) == (record, [Close(complete=True)])


BAD = {
    "checksum": (b"\x021H\r\x0300\r\n", "checksum"),
    "no digits": (b"\x021H\r\x03zz\r\n", "checksum"),
    "number 8": (b"\x028H\r\x03" + checksum(b"8H\r\x03") + b"\r\n", "number"),
    "a number that is not next": (frame(2, b"H\r"), "sequence"),
    "control character": (b"\x021H\x00\r\x03" + checksum(b"1H\x00\r\x03") + b"\r\n", "control"),
    "no CR after the checksum": (b"\x021H\r\x03" + checksum(b"1H\r\x03") + b"xx", "short"),
    "too long": (frame(1, b"x" * 63_994), "long"),
}


@pytest.mark.parametrize(("content", "fault"), BAD.values(), ids=BAD)
def test_a_bad_frame_is_refused_and_the_right_one_taken_after(content: bytes, fault: str) -> None:
    one = Driver()
    one.feed(ENQ)
    assert one.feed(content) == NAK
    assert one.faults[0] == fault
    assert one.feed(frame(1, b"H\r")) == ACK
    assert one.texts == [b"H\r"]


def test_a_repeated_frame_is_acknowledged_and_counts_once() -> None:
    one = Driver()
    assert one.feed(ENQ + frame(1, b"H\r") + frame(1, b"H\r")) == ACK * 3
    assert (one.texts, one.faults) == ([b"H\r"], ["repeated"])


def test_another_text_under_the_last_number_is_no_repetition() -> None:
    one = Driver()
    assert one.feed(ENQ + frame(1, b"H\r") + frame(1, b"X\r")) == ACK + ACK + NAK


def test_a_frame_that_is_not_durable_is_refused_and_may_come_again() -> None:
    one = Driver()
    one.feed(ENQ + frame(1, b"H\r"))
    one.storing = False
    assert one.feed(frame(2, b"P\r")) == NAK
    one.storing = True
    assert one.feed(frame(2, b"P\r") + EOT) == ACK
    assert one.texts == [b"H\r", b"P\r"]


def test_the_repetition_of_the_frame_before_an_unstored_one_is_harmless() -> None:
    one = Driver()
    one.feed(ENQ + frame(1, b"H\r"))
    one.storing = False
    one.feed(frame(2, b"P\r"))
    assert one.feed(frame(1, b"H\r")) == ACK
    assert one.texts == [b"H\r"]


def test_eot_after_enq_is_a_keep_alive() -> None:
    one = Driver()
    assert one.feed(ENQ + EOT) == ACK
    assert (one.ends, one.line.state) == ([], State.NEUTRAL)


CUTS = {
    "EOT inside a message": (frame(1, b"H", final=False) + EOT, "EOT came inside a message"),
    "ENQ before EOT": (frame(1, b"H\r") + ENQ, "ENQ came before EOT"),
}


@pytest.mark.parametrize(("content", "reason"), CUTS.values(), ids=CUTS)
def test_a_session_that_does_not_end_well_is_incomplete(content: bytes, reason: str) -> None:
    one = Driver()
    one.feed(ENQ + content)
    assert one.ends == [Close(complete=False, reason=reason)]


def test_eot_inside_a_frame_ends_the_session() -> None:
    one = Driver()
    one.feed(ENQ + frame(1, b"H\r") + b"\x022P|1" + EOT)
    assert (one.texts, one.ends) == ([b"H\r"], [Close(complete=True)])


def test_thirty_seconds_of_silence_end_a_session() -> None:
    one = Driver()
    one.feed(ENQ + frame(1, b"H\r"))
    one.wait(29)
    assert one.ends == []
    one.wait(1)
    assert one.ends == [Close(complete=False, reason="No frame came in time")]
    assert one.feed(frame(2, b"P\r")) == b""


def test_a_lost_connection_ends_a_session_as_incomplete() -> None:
    one = Driver()
    one.feed(ENQ + frame(1, b"H\r"))
    one.do(one.line.lost())
    assert one.ends == [Close(complete=False, reason="The connection ended")]


def test_a_busy_line_refuses_a_session() -> None:
    one = Driver()
    one.line.busy = True
    assert one.feed(ENQ) == NAK


def test_bytes_between_sessions_are_ignored() -> None:
    one = Driver()
    assert one.feed(b"\r\nxyz" + frame(1, b"H\r") + EOT) == b""
    assert one.line.state is State.NEUTRAL


def test_a_session_over_the_limit_is_not_taken() -> None:
    one = Driver(longest=4)
    assert one.feed(ENQ + frame(1, b"H\r") + frame(2, b"PPP\r")) == ACK + ACK + NAK


@given(st.data())
def test_how_bytes_are_split_changes_nothing(data: st.DataObject) -> None:
    stream = (
        b"\r\n" + ENQ + b"".join(split(RECORDS, 7)) + frame(0, b"bad")[:-3] + b"0\r\n" + EOT + ENQ
    )
    whole, pieces = Driver(), Driver()
    whole.feed(stream)
    rest = stream
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        pieces.feed(rest[:size])
        rest = rest[size:]
    assert (pieces.out, pieces.texts, pieces.ends, pieces.faults) == (
        whole.out,
        whole.texts,
        whole.ends,
        whole.faults,
    )


STREAM = ENQ + b"".join(split(RECORDS, 240)) + EOT


@pytest.mark.parametrize("byte", [b"", b"\x02", b"\x03", b"\x04", b"\x05", b"\x17", b"0", b"\xff"])
def test_one_damaged_byte_costs_frames_and_makes_up_none(byte: bytes) -> None:
    """Wherever a byte is lost, doubled or becomes another."""
    for at in range(len(STREAM)):
        for rest in (STREAM[at + 1 :], STREAM[at:], STREAM[at:][:1] + STREAM[at:]):
            one = Driver()
            one.feed(STREAM[:at] + byte + rest)
            one.wait(30)
            assert b"".join(RECORDS).startswith(b"".join(one.texts))


@given(st.binary(max_size=300))
def test_whatever_comes_a_line_stays_usable(content: bytes) -> None:
    one = Driver()
    one.feed(content)
    one.wait(30)
    one.feed(EOT)
    one.texts.clear()
    one.feed(STREAM)
    assert one.texts == RECORDS


def test_a_message_is_sent_frame_by_frame() -> None:
    one = Driver()
    frames = split(RECORDS, 240)
    assert one.send(frames) == ENQ
    for made in frames:
        assert one.feed(ACK) == made
    assert one.feed(ACK) == EOT
    assert one.sent == [Sent(ok=True)]


def test_a_refused_frame_is_sent_six_times() -> None:
    one = Driver()
    frames = split(RECORDS, 240)
    one.send(frames)
    assert one.feed(ACK + NAK * 5) == frames[0] * 6
    assert one.feed(NAK) == EOT
    assert one.sent == [Sent(ok=False, reason="A frame was refused too often")]


@pytest.mark.parametrize("answers", [b"", ACK], ids=["to ENQ", "to a frame"])
def test_fifteen_seconds_without_an_answer_give_up(answers: bytes) -> None:
    one = Driver()
    one.send(split(RECORDS, 240))
    one.feed(answers)
    assert one.wait(14.9) == b""
    assert one.wait(0.1) == EOT
    assert one.sent == [Sent(ok=False, reason="No answer came in time")]


def test_a_busy_receiver_is_asked_again_after_ten_seconds() -> None:
    one = Driver()
    one.send(split(RECORDS, 240))
    one.feed(NAK)
    assert one.wait(9.9) == b""
    assert one.wait(0.1) == ENQ


@pytest.mark.parametrize(("role", "seconds"), [("computer", 20), ("instrument", 1)])
def test_after_contention_the_instrument_goes_first(role: str, seconds: int) -> None:
    one = Driver(role)
    one.send(split(RECORDS, 240))
    assert one.feed(ENQ) == b""
    assert one.wait(seconds - 0.1) == b""
    assert one.wait(0.1) == ENQ


def test_what_waits_is_sent_after_the_session_that_came_meanwhile() -> None:
    one = Driver()
    one.send(split(RECORDS, 240))
    one.feed(ENQ)
    assert one.feed(ENQ + frame(1, b"H\r")) == ACK + ACK
    assert one.wait(20) == b""
    one.feed(EOT)
    assert one.wait(0) == ENQ


def test_eot_for_ack_takes_the_frame_and_asks_for_the_line() -> None:
    one = Driver()
    frames = split(RECORDS, 240)
    one.send(frames)
    one.feed(ACK)
    assert one.feed(EOT) == EOT
    assert one.sent == [Sent(ok=False, reason="The receiver asked for the line")]
    assert one.send(frames) == b""
    assert one.wait(15) == ENQ


def test_eot_for_the_last_ack_is_a_message_that_was_taken() -> None:
    one = Driver()
    frames = split(RECORDS, 240)
    one.send(frames)
    one.feed(ACK * len(frames) + EOT)
    assert one.sent == [Sent(ok=True)]


def test_a_line_that_is_never_free_is_given_up() -> None:
    one = Driver()
    one.send(split(RECORDS, 240))
    for _ in range(6):
        one.feed(NAK)
        one.wait(10)
    assert one.sent == [Sent(ok=False, reason="The line was never free")]
