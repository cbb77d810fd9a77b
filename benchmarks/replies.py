"""Parsers that find the end of an answer and its status, and nothing else."""

from typing import Protocol


class Reply(Protocol):
    """A parser of one answer; `feed` returns its status once it is complete, else 0.

    `closing` says that the server ends the connection after this answer.
    """

    closing: bool

    def feed(self, data: bytes) -> int:
        """Take the next bytes of the answer."""
        ...


class HttpReply:
    """An HTTP/1.1 answer framed by Content-Length or by chunks.

    https://www.rfc-editor.org/rfc/rfc9112#section-6
    """

    __slots__ = ("closing", "head", "missing", "status", "tail")

    def __init__(self) -> None:
        self.closing = False
        self.head = b""
        self.status = 0
        self.missing = -1
        self.tail: bytes | None = None

    def feed(self, data: bytes) -> int:
        """Return the status code when the body is whole, else 0."""
        if self.status:
            return self.body(data)
        if self.head:
            data = self.head + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self.head = data
            return 0
        return self.body(self.begin(data, end))

    def begin(self, data: bytes, end: int) -> bytes:
        """Read status and framing from the head; return the beginning of the body."""
        head = data[:end].lower()
        self.status = int(head[9:12])
        self.closing = b"\r\nconnection: close" in head
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            stop = head.find(b"\r\n", at + 17)
            self.missing = int(head[at + 17 : stop if stop >= 0 else None])
        elif b"\r\ntransfer-encoding: chunked" in head:
            self.tail = b""
        else:
            self.missing = 0
        return data[end + 4 :]

    def body(self, data: bytes) -> int:
        """Count a piece of the body."""
        if self.tail is None:
            self.missing -= len(data)
            return self.status if self.missing <= 0 else 0
        self.tail = (self.tail + data)[-7:]
        # A chunk of JSON cannot end so: its last byte is a brace.
        return self.status if self.tail.endswith(b"\r\n0\r\n\r\n") else 0


class MllpReply:
    """An acknowledgement in an MLLP block: 200 for AA and CA, else 500.

    HL7 v2 chapter 2, MSA-1; transport specification, section MLLP.
    """

    __slots__ = ("closing", "data")

    def __init__(self) -> None:
        self.closing = False
        self.data = b""

    def feed(self, data: bytes) -> int:
        """Return 200 or 500 when the block has ended, else 0."""
        self.data += data
        if not self.data.endswith(b"\x1c\r"):
            return 0
        return 200 if b"\rMSA|AA" in self.data or b"\rMSA|CA" in self.data else 500
