"""Running lines to analyzers, and an analyzer that speaks over one."""

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.hl7.astm.frames import split
from adapters.hl7.astm.listener import serve
from adapters.hl7.inbox import process
from adapters.hl7.records.files import records
from fhir_server.r4 import json
from fhir_server.server import Server

ACK, NAK, ENQ, EOT = b"\x06", b"\x15", b"\x05", b"\x04"


@dataclasses.dataclass
class Analyzer:
    """One line of an analyzer, which sends byte by byte what the test says."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, content: bytes) -> bytes:
        """Send bytes and return the one byte of the answer."""
        self.writer.write(content)
        return await self.hear(1)

    async def hear(self, size: int) -> bytes:
        async with asyncio.timeout(20):
            return await self.reader.readexactly(size)

    async def put(self, message: bytes) -> None:
        """Send the frames of a message, each acknowledged, without EOT."""
        assert await self.say(ENQ) == ACK
        for frame in split(records(message), 240):
            assert await self.say(frame) == ACK

    async def send(self, message: bytes) -> None:
        await self.put(message)
        self.writer.write(EOT)

    async def take(self) -> bytes:
        """Return the message that the other side sends, each frame acknowledged."""
        assert await self.hear(1) == ENQ
        self.writer.write(ACK)
        texts = b""
        while (start := await self.hear(1)) == b"\x02":
            async with asyncio.timeout(20):
                frame = await self.reader.readuntil(b"\r\n")
            texts += frame[1:-5]
            self.writer.write(ACK)
        assert start == EOT
        return texts


Connect = Callable[[], AbstractAsyncContextManager[Analyzer]]


def with_settings(
    server: Server, astm: dict[str, Any] | None = None, hl7: dict[str, Any] | None = None
) -> Server:
    """Return the server with other settings."""
    settings = server.settings
    changed = {
        "astm": settings.astm.model_copy(update=astm or {}),
        "hl7": settings.hl7.model_copy(update=hl7 or {}),
    }
    return dataclasses.replace(server, settings=settings.model_copy(update=changed))


@asynccontextmanager
async def lines(server: Server) -> AsyncIterator[Connect]:
    """Run the listener; what it gives connects to it."""
    sock = socket.create_server(("127.0.0.1", 0))
    address = sock.getsockname()
    stop = asyncio.Event()
    task = asyncio.create_task(serve(server, sock, stop))

    @asynccontextmanager
    async def connect() -> AsyncIterator[Analyzer]:
        reader, writer = await asyncio.open_connection(*address)
        try:
            yield Analyzer(reader, writer)
        finally:
            writer.close()

    try:
        yield connect
    finally:
        stop.set()
        await task


@pytest.fixture
async def connect(server: Server) -> AsyncIterator[Connect]:
    async with lines(server) as connecting:
        yield connecting


async def inbox(server: Server, count: int) -> list[tuple[Any, ...]]:
    """Return state, reason, event and text of the inbox when it holds `count` messages."""
    query = "SELECT state, reason, event, raw, sender FROM hl7_message ORDER BY id"
    async with asyncio.timeout(20):
        while True:
            async with server.database.connection() as connection:
                rows = await (await connection.execute(query)).fetchall()
            if len(rows) >= count:
                return [(s, r, e, bytes(raw), who) for s, r, e, raw, who in rows]
            await asyncio.sleep(0.005)


async def frames(server: Server) -> list[bytes]:
    """Return the frames that are durable and of no message yet."""
    query = "SELECT text FROM hl7_astm_frame ORDER BY session, number"
    async with server.database.connection() as connection:
        rows = await (await connection.execute(query)).fetchall()
    return [bytes(text) for (text,) in rows]


async def applied(server: Server) -> list[tuple[str, str | None, str | None]]:
    """Process the inbox; return state, reason and detail of each message."""
    await process.run(server, {})
    query = "SELECT state, reason, detail FROM hl7_message ORDER BY id"
    async with server.database.connection() as connection:
        return await (await connection.execute(query)).fetchall()  # type: ignore[return-value]


async def found(client: Any, query: str) -> list[dict[str, Any]]:
    """Return what a search finds."""
    answer = await client.get(query)
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in json.decode(answer.content).get("entry", ())]


@pytest.fixture(scope="session")
def analyzers(shared: Path) -> Path:
    return shared / "data/hl7v2/analyzers"
