"""PDUs read from a socket into one reusable buffer.

https://dicom.nema.org/medical/dicom/current/output/html/part08.html#sect_9.1
"""

import select
import socket
import ssl
import struct
import time

from adapters.dicom.network.pdu import HEADER, Fault
from adapters.dicom.network.tls import Certificate, certificate
from fhir_server.entrance import why

# What a TLS socket says when the kernel's time limit of a call is over.
_WANTING = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
_TIMEVAL = struct.Struct("@ll")
_FIRST_BUFFER = 16 << 10
# Several fragments of 128 KiB arrive by one system call, and memory stays under 1 MiB.
BUFFER = 512 << 10


class Closed(Exception):
    """The peer closed the connection, or it broke; where TLS did, the text says why."""


class TimedOut(Exception):
    """The peer was silent for longer than it may be."""


class Wire:
    """A connected socket on which whole PDUs are received and sent.

    `limit` is the longest PDU body that is accepted; `deadline` is the monotonic
    time by which the next PDU must be complete, None where only silence counts.
    """

    def __init__(self, connection: socket.socket, *, limit: int) -> None:
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.limit = limit
        self.deadline: float | None = None
        self._socket = connection
        self._patience = 0.0
        self._buffer = bytearray(_FIRST_BUFFER)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0

    def widen(self, limit: int) -> None:
        """Take PDUs of up to `limit` bytes from now on, many by one system call."""
        self.limit = limit
        self._resize(max(BUFFER, limit + HEADER.size))

    def patience(self, seconds: float) -> None:
        """Let the peer be silent, or slow to take what is sent, for this long."""
        seconds = max(seconds, 0.001)  # Zero would mean for ever.
        if seconds != self._patience:
            self._patience = seconds
            value = _TIMEVAL.pack(int(seconds), int(seconds % 1 * 1e6))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    def certificate(self) -> Certificate | None:
        """Return the peer's certificate, None without TLS or without one."""
        return certificate(self._socket) if isinstance(self._socket, ssl.SSLSocket) else None

    def ready(self, seconds: float = 0) -> bool:
        """Return whether something has come that was not read, or comes within `seconds`."""
        if self._end > self._start:
            return True
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        # Unlike select, poll knows descriptors above 1,023.
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))

    def read(self) -> tuple[int, memoryview]:
        """Return the type and body of the next PDU; the view lasts until the next call."""
        self._need(HEADER.size)
        kind, length = HEADER.unpack_from(self._buffer, self._start)
        if length > self.limit:
            raise Fault(Fault.INVALID_PARAMETER, "A PDU is longer than was announced")
        self._need(HEADER.size + length)
        begin = self._start + HEADER.size
        self._start = begin + length
        return kind, self._view[begin : self._start]

    def send(self, data: bytes) -> None:
        """Send with one call, as a response in two pieces waits for a delayed ACK.

        What the peer does not take at once it may take for as long as it may be silent.
        """
        view = memoryview(data)
        begun = 0.0
        try:
            while sent := self._socket.send(view):
                if sent == len(view):
                    return
                view = view[sent:]
                now = time.monotonic()
                begun = begun or now
                if self._patience and now - begun > self._patience:
                    raise TimedOut
        except (BlockingIOError, *_WANTING):
            raise TimedOut from None
        except OSError:
            raise Closed from None

    def interrupt(self) -> None:
        """Wake a reader in another thread: it finds the connection closed."""
        try:
            # Not SSLSocket's own, which would take TLS away under the reader.
            socket.socket.shutdown(self._socket, socket.SHUT_RD)
        except OSError:
            return  # It is closed already.

    def close(self, linger: float = 0) -> None:
        """Close; with `linger`, let the peer read what was sent before it sees the end.

        Closing with unread bytes would reset the connection and destroy our last PDU.
        """
        try:
            if linger:
                self._drain(linger)
        except OSError:
            pass
        finally:
            self._socket.close()

    def _drain(self, seconds: float) -> None:
        self._socket.shutdown(socket.SHUT_WR)
        self._socket.settimeout(seconds)
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._socket.recv_into(self._buffer):
            pass

    def _need(self, size: int) -> None:
        """Have `size` bytes from the start of the PDU in the buffer.

        Who sends a byte now and then is silent too: a PDU takes as long as silence may.
        """
        if self._start == self._end:
            self._start = self._end = 0
        if self._start + size > len(self._buffer):
            self._make_room(size)
        begun = 0.0
        while self._end - self._start < size:
            if self._end > self._start:
                now = time.monotonic()
                begun = begun or now
                if now - begun > self._patience:
                    raise TimedOut
                # A peer with Nagle's algorithm holds the rest of a PDU back until the first
                # piece is acknowledged, for which the kernel would take 40 ms.
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            self._receive()

    def _make_room(self, size: int) -> None:
        if size > len(self._buffer):
            self._resize(size)
        else:
            pending = self._end - self._start
            self._view[:pending] = self._view[self._start : self._end]
            self._start, self._end = 0, pending

    def _resize(self, size: int) -> None:
        pending = self._end - self._start
        buffer = bytearray(max(size, pending))
        buffer[:pending] = self._view[self._start : self._end]
        self._buffer, self._view = buffer, memoryview(buffer)
        self._start, self._end = 0, pending

    def _receive(self) -> None:
        if self.deadline is not None:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimedOut
            self.patience(left)
        try:
            count = self._socket.recv_into(self._view[self._end :])
        except (BlockingIOError, *_WANTING):
            raise TimedOut from None
        except ssl.SSLError as error:
            raise Closed(why(error)) from None
        except OSError:
            raise Closed from None
        if not count:
            raise Closed
        self._end += count
