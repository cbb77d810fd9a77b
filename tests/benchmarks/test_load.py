"""The load generator tells the truth about what it sent and what came back."""

import socket
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest

from benchmarks.echo import echo_server
from benchmarks.load import Measured, Workload, generate, measure
from benchmarks.replies import HttpReply

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def workload(port: int, requests: int, connections: int = 1) -> Workload:
    return Workload(
        "127.0.0.1",
        port,
        partial(list, [REQUEST] * requests),
        HttpReply,
        connections,
        seconds=None,
        warmup=0,
    )


@contextmanager
def answering(answer: Callable[[int], bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """One connection after the other; `answer` of the request's number, b"" hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))
    got: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(65536):
                    got.append(data)
                    reply = answer(len(got))
                    if not reply:
                        break
                    connection.sendall(reply)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], got
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_every_request_is_sent_once_and_counted_once() -> None:
    with answering(lambda _: OK) as (port, got):
        done = generate(workload(port, 50))
    assert (len(got), done.statuses, len(done.durations)) == (50, {200: 50}, 50)


def test_requests_with_a_rate_are_sent_when_they_are_due() -> None:
    with answering(lambda _: OK) as (port, _):
        done = generate(replace(workload(port, 6), rate=100))
    assert (len(done.durations), done.elapsed > 0.05) == (6, True)


def test_what_is_sent_late_is_timed_from_when_it_was_due() -> None:
    def late(number: int) -> bytes:
        time.sleep(0.1 if number == 1 else 0)
        return OK

    with answering(late) as (port, _):
        done = generate(replace(workload(port, 2), rate=100))
    assert all(one > 0.08 for one in done.durations)


def test_failures_are_errors_and_do_not_raise_the_rate() -> None:
    refusal = OK.replace(b"200 OK", b"503 Busy")
    with answering(lambda number: refusal if number % 2 else OK) as (port, _):
        done = generate(workload(port, 10))
    assert done.errors == 5
    assert done.rate == pytest.approx(5 / done.elapsed)


def test_a_connection_that_breaks_is_an_error_and_is_opened_again() -> None:
    with answering(lambda number: b"" if number == 3 else OK) as (port, _):
        done = generate(workload(port, 10))
    assert (done.lost, done.statuses) == (1, {200: 9})


def test_a_connection_that_the_server_ends_in_order_is_no_error() -> None:
    last = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with answering(lambda number: b"" if number == 99 else last) as (port, got):
        done = generate(workload(port, 5))
    assert (len(got), done.lost, done.statuses) == (5, 0, {200: 5})


def test_a_slow_server_shows_its_slowness() -> None:
    def slowly(_: int) -> bytes:
        time.sleep(0.05)
        return OK

    with answering(slowly) as (port, _):
        done = generate(workload(port, 6))
    assert 50 <= done.percentile(0.5) < 100
    assert done.rate < 20


def test_percentiles_are_those_of_the_counted_answers() -> None:
    done = Measured(array("d", [n / 1000 for n in range(100, 0, -1)]), {200: 100}, 0, 1.0, 0.1)
    assert (done.percentile(0.5), done.percentile(0.95)) == (51, 96)
    assert done.percentile(1.0) == 100


def test_the_generator_is_far_cheaper_than_a_request_of_a_server() -> None:
    # Some 15 µs of processor time a request where measured; a Python server needs hundreds.
    with echo_server() as port:
        done = measure(workload(port, 20_000, connections=8))
    assert (done.errors, done.statuses) == (0, {200: 20_000})
    assert done.cpu / 20_000 < 100e-6
