"""A sender: messages out over MLLP, acknowledgements back."""

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_START: Final = b"\x0b"
_END: Final = b"\x1c\r"
_COMMITTED: Final = b"\x06"
_NOT_COMMITTED: Final = b"\x15"
_LONGEST_ANSWER: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What came back: MSA-1 (`AA`, `AE`, `AR`, ...), the text of its first error, the bytes.

    Of a batch it is the first answer that is not positive, else the first.
    """

    code: str
    text: str
    raw: bytes


def client_context(
    *, ca: str = "", certificate: str = "", key: str = "", check_name: bool = True
) -> ssl.SSLContext:
    """Return the TLS of a sender; OSError where a file is missing or wrong.

    `ca` holds the authorities of the listener (empty: those of the system),
    `certificate` and `key` what the sender shows, if anything.
    """
    context = ssl.create_default_context(cafile=ca or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = check_name
    if certificate:
        context.load_cert_chain(certificate, key or None)
    return context


def send(
    host: str,
    port: int,
    messages: Sequence[bytes],
    *,
    seconds: float = 30,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Acknowledgement]:
    """Send each message after the answer to the one before; yield the answers.

    OSError when the listener cannot be reached, hangs up, says that it did not store a
    message (MLLP release 2), or does not answer one within `seconds`.
    """
    with socket.create_connection((host, port), timeout=seconds) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = tls.wrap_socket(plain, server_hostname=host) if tls else plain
        try:
            received = b""
            for message in messages:
                connection.settimeout(seconds)
                connection.sendall(_START + message + _END)
                answer, received = _answer(connection, received, time.monotonic() + seconds)
                yield _read(answer)
        finally:
            connection.close()


def _answer(connection: socket.socket, received: bytes, end: float) -> tuple[bytes, bytes]:
    """Return the next answer, however its bytes come, and what came after it."""
    while True:
        while _END not in received:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("The listener does not answer")
            connection.settimeout(left)
            piece = connection.recv(65536)
            if not piece or len(received) > _LONGEST_ANSWER:
                raise ConnectionError("The listener hung up without an acknowledgement")
            received += piece
        block, _, received = received.partition(_END)
        content = block[block.find(_START) + 1 :]
        if content == _NOT_COMMITTED:
            raise ConnectionError("The listener could not store the message")
        if content != _COMMITTED:
            return content, received


def _read(answer: bytes) -> Acknowledgement:
    first: Acknowledgement | None = None
    for single in _singles(answer):
        found = _read_one(single, answer)
        if found.code not in {"AA", "CA"}:
            return found
        first = first or found
    return first or Acknowledgement("", "", answer)


def _singles(answer: bytes) -> list[list[bytes]]:
    """Return the segments of each message of an answer, which may be a batch."""
    found: list[list[bytes]] = []
    for segment in answer.split(b"\r"):
        if segment.startswith(b"MSH") or not found:
            found.append([])
        found[-1].append(segment)
    return [some for some in found if some[0].startswith(b"MSH")]


def _read_one(lines: Sequence[bytes], answer: bytes) -> Acknowledgement:
    separator = lines[0][3:4] or b"|"
    segments = [segment.split(separator) for segment in lines]
    named = {fields[0]: fields for fields in reversed(segments)}
    msa = named.get(b"MSA", [])
    code = msa[1].decode("latin-1") if len(msa) > 1 else ""
    err = named.get(b"ERR", [])
    texts = [
        fields[place] for fields, place in ((err, 8), (err, 7), (msa, 3)) if len(fields) > place
    ]
    text = next((one.decode("utf-8", "replace") for one in texts if one), "")
    return Acknowledgement(code, text, answer)
