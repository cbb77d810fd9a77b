import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from adapters.hl7.mllp.client import send
from tests.adapters.hl7.conftest import bound


@contextlib.contextmanager
def answering(*pieces: bytes, hang_up: bool = True) -> Iterator[int]:
    """Run a peer that answers what comes first by these pieces."""
    sock = bound()
    over = threading.Event()

    def run() -> None:
        connection, _ = sock.accept()
        with connection, contextlib.suppress(ConnectionError):  # the sender may leave first
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.recv(1 << 16)
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.01)
            if not hang_up:
                over.wait(10)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sock.getsockname()[1]
    finally:
        over.set()
        thread.join()
        sock.close()


ACK = b"MSH|^~\\&|A\rMSA|AE|C1|short\rERR||PID^1|101^x^HL70357|E||||no id\r"


def sent(port: int, seconds: float = 5) -> tuple[str, str]:
    (answer,) = send("127.0.0.1", port, [b"MSH|^~\\&\r"], seconds=seconds)
    return answer.code, answer.text


def test_answer_may_come_in_pieces() -> None:
    framed = b"\x0b" + ACK + b"\x1c\r"
    with answering(*(framed[at : at + 9] for at in range(0, len(framed), 9))) as port:
        assert sent(port) == ("AE", "no id")


def test_commit_acknowledgement_is_not_the_answer() -> None:
    with answering(b"\x0b\x06\x1c\r", b"\x0b" + ACK + b"\x1c\r") as port:
        assert sent(port) == ("AE", "no id")


def test_negative_commit_acknowledgement_is_an_error() -> None:
    with answering(b"\x0b\x15\x1c\r") as port, pytest.raises(ConnectionError, match="not store"):
        sent(port)


def test_answer_to_a_batch_is_its_first_that_is_not_positive() -> None:
    good = b"MSH$^~\\&\rMSA$AA$C0\r"
    batch = b"BHS|^~\\&\r" + good + ACK + b"BTS|2\r"
    with answering(b"\x0b" + batch + b"\x1c\r") as port:
        assert sent(port) == ("AE", "no id")
    with answering(b"\x0bBHS|^~\\&\r" + good * 2 + b"BTS|2\r\x1c\r") as port:
        assert sent(port) == ("AA", "")


def test_listener_that_hangs_up_is_an_error() -> None:
    with answering(b"\x0bMSH") as port, pytest.raises(ConnectionError, match="hung up"):
        sent(port)


def test_silence_is_an_error_however_slowly_bytes_come() -> None:
    with answering(*[b"x"] * 8, hang_up=False) as port, pytest.raises(TimeoutError):
        sent(port, seconds=0.05)
