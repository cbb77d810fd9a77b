"""The end of an answer is found wherever the network cuts it."""

import pytest

from benchmarks.replies import HttpReply, MllpReply

LENGTH = b'HTTP/1.1 201 Created\r\nDate: x\r\nContent-Length: 5\r\nETag: W/"1"\r\n\r\n12345'
LENGTH_LAST = b"HTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\n12345"
CHUNKED = (
    b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n'
)
EMPTY = b"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n"


@pytest.mark.parametrize("cut", range(1, len(CHUNKED)))
@pytest.mark.parametrize(
    ("answer", "status"),
    [(LENGTH, 201), (LENGTH_LAST, 200), (CHUNKED, 404), (EMPTY, 204)],
    ids=["length", "length-last", "chunked", "empty"],
)
def test_http_answer_is_complete_at_its_last_byte_only(
    answer: bytes, status: int, cut: int
) -> None:
    cut = min(cut, len(answer) - 1)
    reply = HttpReply()
    assert reply.feed(answer[:cut]) == 0
    assert reply.feed(answer[cut:]) == status


@pytest.mark.parametrize(("code", "status"), [("AA", 200), ("CA", 200), ("AE", 500), ("AR", 500)])
def test_only_accepting_acknowledgements_count_as_success(code: str, status: int) -> None:
    block = f"\x0bMSH|^~\\&|A\rMSA|{code}|1\r\x1c\r".encode()
    reply = MllpReply()
    assert reply.feed(block[:12]) == 0
    assert reply.feed(block[12:]) == status
