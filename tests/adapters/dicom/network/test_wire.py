"""PDUs on a socket whose peer is slow, and in a process with many files."""

import fcntl
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from adapters.dicom.network.wire import TimedOut, Wire

ABOVE_SELECT = 1100


@pytest.fixture
def pair() -> Iterator[tuple[Wire, socket.socket]]:
    """A wire and its peer's end of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    wire = Wire(ours, limit=1 << 20)
    yield wire, theirs
    theirs.close()
    wire.close()


def test_what_is_sent_in_pieces_arrives_whole(pair: tuple[Wire, socket.socket]) -> None:
    wire, theirs = pair
    wire.patience(30)
    data = os.urandom(8 << 20)
    thread = threading.Thread(target=wire.send, args=(data,))
    thread.start()
    with theirs.makefile("rb") as stream:
        assert stream.read(len(data)) == data
    thread.join()


def test_a_peer_that_takes_a_little_now_and_then_is_given_up(
    pair: tuple[Wire, socket.socket],
) -> None:
    wire, theirs = pair
    wire.patience(0.3)
    done = threading.Event()

    def sip() -> None:
        while not done.wait(0.05):
            theirs.recv(256 << 10)

    thread = threading.Thread(target=sip)
    thread.start()
    try:
        with pytest.raises(TimedOut):
            wire.send(bytes(64 << 20))
    finally:
        done.set()
        thread.join()


def test_a_descriptor_above_those_of_select_is_waited_for(
    pair: tuple[Wire, socket.socket],
) -> None:
    _, theirs = pair
    high = socket.socket(fileno=fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, ABOVE_SELECT))
    wire = Wire(high, limit=1 << 20)
    assert not wire.ready()
    pair[0].send(b"\5\0\0\0\0\4\0\0\0\0")
    assert wire.ready(5)
    wire.close()
