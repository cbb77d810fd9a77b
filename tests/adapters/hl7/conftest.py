"""A running MLLP listener, and what a sender does with it."""

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from adapters.hl7.mllp.listener import serve
from fhir_server.server import Server


@dataclasses.dataclass
class Sender:
    """One MLLP connection of a sender."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def put(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send(self, message: bytes) -> None:
        await self.put(b"\x0b" + message + b"\x1c\r")

    async def ack(self, seconds: float = 10) -> bytes:
        """Return the next acknowledgement without its block bytes."""
        async with asyncio.timeout(seconds):
            framed = await self.reader.readuntil(b"\x1c\r")
        assert framed[:1] == b"\x0b"
        return framed[1:-2]

    async def msa(self) -> list[str]:
        return (await self.ack()).decode("latin-1").split("\r")[1].split("|")

    async def is_silent(self, seconds: float = 0.3) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self.reader.read(1) == b"never"
        except TimeoutError:
            return True

    async def is_closed(self) -> bool:
        async with asyncio.timeout(10):
            return await self.reader.read() == b""


Connect = Callable[[], AbstractAsyncContextManager[Sender]]
Listening = Callable[..., AbstractAsyncContextManager[Connect]]


def with_hl7(server: Server, **said: Any) -> Server:
    """Return the server with other HL7 settings."""
    hl7 = server.settings.hl7.model_copy(update=said)
    return dataclasses.replace(server, settings=server.settings.model_copy(update={"hl7": hl7}))


def bound() -> socket.socket:
    """Return a socket that listens on a free port of this machine."""
    return socket.create_server(("127.0.0.1", 0))


@asynccontextmanager
async def listening(server: Server, **said: Any) -> AsyncIterator[Connect]:
    """Run a listener; what it gives connects to it."""
    sock = bound()
    address = sock.getsockname()
    stop = asyncio.Event()
    task = asyncio.create_task(serve(with_hl7(server, **said), sock, stop))

    @asynccontextmanager
    async def connect() -> AsyncIterator[Sender]:
        reader, writer = await asyncio.open_connection(*address, limit=1 << 20)
        try:
            yield Sender(reader, writer)
        finally:
            writer.close()

    try:
        yield connect
    finally:
        stop.set()
        await task


@pytest.fixture
async def connect(server: Server) -> AsyncIterator[Connect]:
    async with listening(server) as connecting:
        yield connecting
