"""The head of a request, of which a server takes so many bytes and waits so long, no more.

httptools has no bound of its own, and puts a long header together piece by piece.

https://www.rfc-editor.org/rfc/rfc6585#section-5
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BYTES: Final = 65_536
"""Of request line and headers; what came with its last piece is not counted."""

SECONDS: Final = 30.0
"""From the connection, or the first piece of a head, to its end."""

_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class Bounded(HttpToolsProtocol):
    """HTTP of uvicorn, with bounds for the head."""

    _size = 0
    _is_reading = True
    _began = False
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  (uvicorn's own type)
        """Wait for a first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a piece, and refuse a head that is too long."""
        super().data_received(data)
        if not self._is_reading:
            return
        # A piece may hold the end of the body before; from the next one on all is head.
        if not self._began:
            self._size += len(data)
        self._began = False
        if self._size > BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._waiting is None:
            self._wait()

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._size, self._is_reading, self._began = 0, True, True

    def on_headers_complete(self) -> None:
        """End a head."""
        self._is_reading = False
        self._stop()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(SECONDS, self._late)

    def _stop(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _late(self) -> None:
        self._waiting = None
        if self._is_reading and not self.transport.is_closing():
            self.transport.close()
