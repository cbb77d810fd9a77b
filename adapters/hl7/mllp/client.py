"""A sender: messages out over MLLP, acknowledgements back."""

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_START: Final = b"\x0b"
_END: Final = b"\x1c\r"
_LONGEST_ANSWER: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What came back: MSA-1 (`AA`, `AE`, `AR`, ...), the text of its first error, the bytes."""

    code: str
    text: str
    raw: bytes


def send(
    host: str, port: int, messages: Sequence[bytes], *, seconds: float = 30
) -> Iterator[Acknowledgement]:
    """Send each message after the answer to the one before; yield the answers.

    OSError when the listener cannot be reached, hangs up or is silent for `seconds`.
    """
    with socket.create_connection((host, port), timeout=seconds) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = b""
        for message in messages:
            connection.sendall(_START + message + _END)
            while _END not in received:
                piece = connection.recv(65536)
                if not piece or len(received) > _LONGEST_ANSWER:
                    raise ConnectionError("The listener hung up without an acknowledgement")
                received += piece
            answer, _, received = received.partition(_END)
            yield _read(answer.lstrip(_START))


def _read(answer: bytes) -> Acknowledgement:
    segments = [segment.split(b"|") for segment in answer.split(b"\r")]
    named = {fields[0]: fields for fields in reversed(segments)}
    msa = named.get(b"MSA", [])
    code = msa[1].decode("latin-1") if len(msa) > 1 else ""
    err = named.get(b"ERR", [])
    texts = [
        fields[place] for fields, place in ((err, 8), (err, 7), (msa, 3)) if len(fields) > place
    ]
    text = next((one.decode("utf-8", "replace") for one in texts if one), "")
    return Acknowledgement(code, text, answer)
