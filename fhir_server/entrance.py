"""Connections to a port with TLS: each shakes hands for itself, and one that fails is told of.

asyncio's own servers say nothing of a handshake that fails.

https://www.rfc-editor.org/rfc/rfc9325
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

HANDSHAKE_SECONDS: Final = 10.0
AT_ONCE: Final = 512
"""So many shake hands at once; who comes then waits in the kernel's queue."""

OF_ONE: Final = 64
"""So many of one address: who opens connections and says nothing keeps no others out."""

_AGAIN_SECONDS: Final = 1.0

Failed = Callable[[str, str], Awaitable[None]]
"""Is told the address of who could not be let in, and why, in words of ours. Never raises."""

Stamp = tuple[tuple[int, int, int], ...]

_log = logging.getLogger(__name__)


class Entrance:
    """A listening socket that is accepted from until `close`; `context` has its TLS for each.

    `factory` makes the protocol of a connection whose handshake was well.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: Callable[[], ssl.SSLContext],
        factory: Callable[[], asyncio.BaseProtocol],
        failed: Failed,
    ) -> None:
        self._sock = sock
        self._context = context
        self._factory = factory
        self._failed = failed
        self._accepting: asyncio.Task[None] | None = None
        self._greeted: set[asyncio.Task[None]] = set()
        self._hosts: Counter[str] = Counter()

    def open(self) -> None:
        """Accept from now on."""
        self._sock.setblocking(False)
        self._accepting = asyncio.create_task(self._accept())
        # Not before the loop has let go of it.
        self._accepting.add_done_callback(lambda _: self._sock.close())

    def close(self) -> None:
        """Accept nobody any more, and close the socket; who shakes hands now is let go."""
        if self._accepting is None:
            self._sock.close()
            return
        for task in (self._accepting, *self._greeted):
            task.cancel()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if len(self._greeted) >= AT_ONCE:
                await asyncio.wait(self._greeted, return_when=asyncio.FIRST_COMPLETED)
            try:
                connection, address = await loop.sock_accept(self._sock)
            except OSError as error:
                # There are too many files, or the peer was gone at once.
                _log.warning("A connection could not be accepted: %s", type(error).__name__)
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            host = str(address[0])
            if self._hosts[host] >= OF_ONE:
                connection.close()
                continue
            self._hosts[host] += 1
            task = asyncio.create_task(self._greet(connection, host))
            self._greeted.add(task)
            task.add_done_callback(partial(self._done, host))

    def _done(self, host: str, task: asyncio.Task[None]) -> None:
        self._greeted.discard(task)
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]

    async def _greet(self, connection: socket.socket, host: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(
                self._factory,
                connection,
                ssl=self._context(),
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        except OSError as error:
            connection.close()
            if reason := why(error):
                _log.warning("A connection of %s failed: %s", host, reason)
                await self._failed(host, reason)
        except BaseException:
            connection.close()
            raise


def why(error: OSError) -> str:
    """Return why a handshake failed, "" where the other side was silent and went away.

    Those are who only looks whether the port is open.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The TLS handshake failed ({error.verify_message})"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return ""
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "protocol error").replace("_", " ").lower()
        return f"The TLS handshake failed ({reason})"
    return "The TLS handshake took too long" if isinstance(error, ConnectionAbortedError) else ""


class Following:
    """The TLS `context` of files, which `look` makes again when one of them was replaced."""

    def __init__(self, files: tuple[str, ...], make: Callable[[], ssl.SSLContext]) -> None:
        """Make it; OSError where a file is missing or wrong."""
        self._files = files
        self._make = make
        self._stamp = _stamp(files)
        self.context = make()

    def look(self) -> bool:
        """Return whether there is a new context; files that cannot be used leave the old one."""
        try:
            now = _stamp(self._files)
            if now == self._stamp:
                return False
            self.context, self._stamp = self._make(), now
        except OSError as error:
            # Half of a pair may have been written yet: it is looked at again.
            reason = error.strerror or type(error).__name__
            _log.warning("New files of TLS cannot be used (%s)", reason)
            return False
        return True


def _stamp(files: tuple[str, ...]) -> Stamp:
    """Return what tells that a file was replaced; OSError where one is missing."""
    found = [Path(one).stat() for one in files if one]
    return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)
