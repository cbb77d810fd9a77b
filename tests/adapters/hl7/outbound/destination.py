"""A destination on a real socket, which answers as a test wants, and a server that tells it."""

import asyncio
import dataclasses
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from httpx import AsyncClient

from adapters.hl7.outbound.serve import serve
from fhir_server.r4 import json
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7
from tests.connections import listening

Answer = Callable[[str], bytes | None]
"""What is sent back for a control id, block bytes and all; None hangs up."""

PROFILE = """
version = "1"
[match]
applications = ["{name}"]
[outbound]
address = "127.0.0.1:{port}"
triggers = {triggers}
timeout_seconds = {timeout}
{more}
"""


def ack(code: str, control_id: str) -> bytes:
    text = f"MSH|^~\\&|LIS||SANGAM||20260110||ACK|A{control_id}|P|2.5.1\rMSA|{code}|{control_id}\r"
    return b"\x0b" + text.encode() + b"\x1c\r"


def positive(control_id: str) -> bytes:
    return ack("AA", control_id)


@dataclasses.dataclass
class Destination:
    """What came, by connection; `answer` says what goes back."""

    answer: Answer = positive
    came: list[bytes] = dataclasses.field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def texts(self) -> list[str]:
        return [one.decode() for one in self.came]

    async def until(self, count: int) -> list[str]:
        """Return all that came once it is so many."""
        async with asyncio.timeout(15):
            while True:
                if len(self.came) >= count:
                    return self.texts
                await asyncio.sleep(0.01)

    async def accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                framed = await reader.readuntil(b"\x1c\r")
                content = framed.strip(b"\x0b")[:-2]
                self.came.append(content)
                answer = self.answer(content.decode("latin-1").split("|")[9])
                if answer is None:
                    break
                for piece in answer.split(b"<piece>"):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def destination(
    answer: Answer = positive, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Destination]:
    """Run a destination."""
    there = Destination(answer)
    async with listening(there.accepted, tls) as there.port:
        yield there


def agree(
    place: Path,
    port: int,
    *triggers: str,
    name: str = "LIS",
    timeout: float = 5,
    more: str = "",
) -> None:
    """Write the profile of a destination."""
    place.mkdir(exist_ok=True)
    listed = "[" + ", ".join(f'"{one}"' for one in triggers) + "]"
    said = PROFILE.format(name=name, port=port, triggers=listed, timeout=timeout, more=more)
    (place / f"{name}.toml").write_text(said)


def told(server: Server, place: Path, **said: Any) -> Server:
    """Return the server with these profiles, looking often."""
    return with_hl7(server, profiles_dir=str(place), outbound_poll_seconds=0.02, **said)


@asynccontextmanager
async def telling(server: Server, place: Path) -> AsyncIterator[Server]:
    """Run what tells other systems, of what changes from now on; it waits for nothing."""
    there = told(server, place)
    stop = asyncio.Event()
    task = asyncio.create_task(serve(there, stop))
    hurry = asyncio.create_task(_hurry(there))
    try:
        await _watching(there)
        yield there
    finally:
        hurry.cancel()
        stop.set()
        await task


async def _hurry(server: Server) -> None:
    while True:
        async with server.database.statement() as connection:
            await connection.execute("UPDATE hl7_outbound SET next_attempt = now()")
        await asyncio.sleep(0.02)


async def _watching(server: Server) -> None:
    async with asyncio.timeout(15):
        while True:
            async with server.database.connection() as connection:
                cursor = await connection.execute(
                    "SELECT 1 FROM feed_reader WHERE name = 'hl7.outbound'"
                )
                if await cursor.fetchone():
                    return
            await asyncio.sleep(0.01)


async def rows(server: Server, columns: str = "event, state, attempts") -> list[tuple[Any, ...]]:
    """Return the queue."""
    async with server.database.connection() as connection:
        cursor = await connection.execute(f"SELECT {columns} FROM hl7_outbound ORDER BY id")  # type: ignore[arg-type]
        return await cursor.fetchall()


async def settled(server: Server, expected: list[tuple[Any, ...]], columns: str) -> None:
    """Wait until the queue is as expected."""
    found: list[tuple[Any, ...]] = []
    try:
        async with asyncio.timeout(15):
            while True:
                found = await rows(server, columns)
                if found == expected:
                    return
                await asyncio.sleep(0.01)
    except TimeoutError:
        assert found == expected


async def put(client: AsyncClient, resource: dict[str, Any]) -> None:
    answer = await client.put(
        f"{resource['resourceType']}/{resource['id']}",
        content=json.encode(resource),
        headers={"Content-Type": "application/fhir+json"},
    )
    assert answer.status_code in {200, 201}, answer.text


def patient(id_: str = "p", **said: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": id_,
        "identifier": [{"system": "urn:oid:1.2.3", "value": f"N-{id_}"}],
        "name": [{"family": "Rao", "given": ["Asha"]}],
        "gender": "female",
        "birthDate": "1980-01-15",
        **said,
    }


def fields(message: str, name: str) -> list[list[str]]:
    """Return the fields of the segments of a name; field n is at n (of MSH at n - 1)."""
    return [one.split("|") for one in message.split("\r") if one.startswith(f"{name}|")]
