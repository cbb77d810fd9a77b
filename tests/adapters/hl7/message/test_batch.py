import pytest

from adapters.hl7.message.batch import Batch, BatchHeader, is_batch, split

ONE, TWO = b"MSH|^~\\&|A\rPID|1\r", b"MSH|^~\\&|B\rPID|2\r"
FHS, FTS = b"FHS|^~\\&|LIS|LAB|EHR|H|2026||||F7\r", b"FTS|1\r"
BHS, BTS = b"BHS|^~\\&|LIS|LAB|EHR|H|2026||||B7\r", b"BTS|2\r"
FROM_BHS = BatchHeader("|", "^~\\&", ("LIS", "LAB"), ("EHR", "H"), "B7")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        ONE,
        ONE.replace(b"\r", b"\n"),
        b"\r\n" + ONE,
        b"MSH|^~\\&|A\rNTE|1||MSH\rNTE|2||the MSH| in a text\r",
        b"MSH|^~\\&|A\rMSH^other\r",
        b"PID|1\r" + ONE,
    ],
)
def test_single_message_is_no_batch(content: bytes) -> None:
    assert split(content) is None
    assert not is_batch(content)


def test_file_with_a_batch_is_split_at_its_messages() -> None:
    found = split(FHS + BHS + ONE + TWO + BTS + FTS)
    assert found == Batch((ONE, TWO), FHS + BHS + BTS + FTS, FROM_BHS)


@pytest.mark.parametrize(
    ("content", "messages", "finding"),
    [
        pytest.param(BHS + ONE + TWO + BTS, (ONE, TWO), "", id="without-file"),
        pytest.param(FHS + ONE + TWO + FTS, (ONE, TWO), "", id="without-BHS"),
        pytest.param(FHS + ONE + TWO + BTS + FTS, (ONE, TWO), "", id="without-BHS-with-BTS"),
        pytest.param(ONE + TWO, (ONE, TWO), "", id="without-envelope"),
        pytest.param(BHS + ONE + b"BTS\r", (ONE,), "", id="count-not-said"),
        pytest.param(BHS + b"BTS|0\r", (), "", id="nothing-in-it"),
        pytest.param(FHS + BHS + ONE + b"BTS|1\r" + BHS + TWO + b"BTS|1\rFTS|2\r",
                     (ONE, TWO), "", id="two-batches"),
        pytest.param(BHS + ONE + BTS, (ONE,), "BATCH_COUNT_MISMATCH", id="BTS-says-more"),
        pytest.param(BHS + ONE + b"BTS|x\r", (ONE,), "BATCH_COUNT_MISMATCH", id="BTS-no-number"),
        pytest.param(FHS + BHS + ONE + TWO + BTS + b"FTS|2\r", (ONE, TWO),
                     "BATCH_COUNT_MISMATCH", id="FTS-says-more"),
        pytest.param(BHS + ONE + TWO, (ONE, TWO), "BATCH_INCOMPLETE", id="without-BTS"),
        pytest.param(FHS + BHS + ONE + TWO + BTS, (ONE, TWO), "BATCH_INCOMPLETE",
                     id="without-FTS"),
        pytest.param(FHS + BHS + ONE + FTS, (ONE,), "BATCH_INCOMPLETE", id="FTS-before-BTS"),
        pytest.param(FHS + BHS + ONE + BHS + TWO + BTS + FTS, (ONE, TWO), "BATCH_INCOMPLETE",
                     id="BHS-before-BTS"),
    ],
)  # fmt: skip
def test_headers_trailers_and_counts_are_checked(
    content: bytes, messages: tuple[bytes, ...], finding: str
) -> None:
    found = split(content)
    assert found is not None
    assert is_batch(content)
    assert (found.messages, found.finding) == (messages, finding)


def test_lines_may_end_in_lf() -> None:
    found = split((BHS + ONE + TWO + BTS).replace(b"\r", b"\n"))
    assert found is not None
    assert found.messages == (ONE.replace(b"\r", b"\n"), TWO.replace(b"\r", b"\n"))
    assert (found.envelope, found.finding) == (BHS + BTS, "")


def test_header_is_that_of_the_file_where_the_batch_has_none() -> None:
    found = split(FHS.replace(b"|", b"$") + ONE.replace(b"|", b"$") + b"FTS$1\r")
    assert found is not None
    assert found.header == BatchHeader("$", "^~\\&", ("LIS", "LAB"), ("EHR", "H"), "F7")
    assert split(ONE + TWO) == Batch((ONE, TWO))
