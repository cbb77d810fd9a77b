"""The connection to a destination: one message at a time, and the answer to it.

HL7 v2 transport: Minimal Lower Layer Protocol.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from adapters.hl7.keep_alive import keep_alive
from adapters.hl7.mllp.client import client_context
from adapters.hl7.mllp.framing import Framer, Kind
from adapters.hl7.outbound.replies import Reply, read
from adapters.hl7.profiles.destination import Outbound
from fhir_server.networks import check_protected

_CONNECT_SECONDS: Final = 10.0
_LONGEST_ANSWER: Final = 1 << 20
_READ: Final = 64 << 10
# The blocks of MLLP release 2, which are no messages.
_BLOCKS: Final = (b"\x06", b"\x15")

Other = Callable[[Reply], Awaitable[None]]
"""What becomes of an answer to another message than the one that waits."""

_log = logging.getLogger(__name__)


class Unanswered(Exception):
    """A message was sent, and no answer came that can be read."""


class Line:
    """A connection that is opened when it is needed, and closed where an answer is missing.

    So a late answer cannot be taken for that of the next message.
    """

    def __init__(self, name: str, settings: Outbound, other: Other) -> None:
        self.settings = settings
        self._name = name
        self._other = other
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._framer = Framer(_LONGEST_ANSWER)
        self._frames: list[bytes] = []

    async def send(self, payload: bytes, control_id: str) -> Reply:
        """Send a message and return the answer to it.

        OSError where there is no connection, Unanswered where the answer is missing: the
        message may have arrived.
        """
        reader, writer = await self._opened()
        try:
            async with asyncio.timeout(self.settings.timeout_seconds):
                return await self._exchange(reader, writer, payload, control_id)
        except TimeoutError:
            await self.close()
            raise Unanswered("No answer came in time") from None
        except (ConnectionError, ssl.SSLError) as error:
            await self.close()
            raise Unanswered(f"The connection ended ({type(error).__name__})") from None
        except BaseException:
            await self.close()
            raise

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        payload: bytes,
        control_id: str,
    ) -> Reply:
        await self._hear_what_came(reader)
        writer.write(b"\x0b" + payload + b"\x1c\r")
        await writer.drain()
        while True:
            reply = read(await self._next(reader), control_id)
            if reply.verdict == "unreadable":
                raise Unanswered("The answer cannot be read")
            if reply.verdict != "foreign":
                return reply
            await self._other(reply)

    async def listen(self, seconds: float) -> None:
        """Hear answers that come late, for so long; a connection that ended is closed."""
        if self._streams is None:
            await asyncio.sleep(seconds)
            return
        end = asyncio.get_running_loop().time() + seconds
        try:
            while True:
                async with asyncio.timeout_at(end):
                    frame = await self._next(self._streams[0])
                await self._other(read(frame, ""))  # to its end: nobody sends it again
        except TimeoutError:
            return
        except (OSError, ssl.SSLError):
            await self.close()

    async def _hear_what_came(self, reader: asyncio.StreamReader) -> None:
        """Take what is there already, as it answers none that is sent from now on."""
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0):
                    frame = await self._next(reader)
                await self._other(read(frame, ""))

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        while True:
            while self._frames:
                frame = self._frames.pop(0)
                if frame not in _BLOCKS:
                    return frame
            data = await reader.read(_READ)
            if not data:
                raise ConnectionResetError
            self._frames += [
                one.content for one in self._framer.feed(data) if one.kind is not Kind.JUNK
            ]
            if self._framer.awaits_cr:
                self._frames += [one.content for one in self._framer.silence()]
            if self._framer.closed:
                raise ConnectionResetError

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and self._streams[0].at_eof():
            await self.close()
        if self._streams is None:
            host, _, port = self.settings.address.rpartition(":")
            host = host.strip("[]")
            check(self.settings)
            context = _context(self.settings)
            async with asyncio.timeout(min(_CONNECT_SECONDS, self.settings.timeout_seconds)):
                self._streams = await asyncio.open_connection(host, int(port), ssl=context)
            self._framer, self._frames = Framer(_LONGEST_ANSWER), []
            keep_alive(self._streams[1].get_extra_info("socket"))
            _log.info("Connected to destination %s", self._name)
        return self._streams

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            writer = self._streams[1]
            self._streams = None
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()


def check(settings: Outbound) -> None:
    """Raise Unprotected where messages would go to another machine in the clear unmeant."""
    check_protected(
        settings.address.rpartition(":")[0].strip("[]"),
        tls=settings.tls is not None,
        plain=settings.plain,
        mend="write [outbound.tls], or plain = true for a system that cannot do TLS",
    )


def _context(settings: Outbound) -> ssl.SSLContext | None:
    if settings.tls is None:
        return None
    tls = settings.tls
    return client_context(
        ca=tls.ca, certificate=tls.certificate, key=tls.key, check_name=tls.check_name
    )
