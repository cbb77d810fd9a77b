"""Another server, with TLS, that answers what it is told to."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhir_server.security_settings import OutboundSettings
from tests.adapters.hl7.certificates import authority
from tests.connections import listening

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Peer:
    """What it answers by path, and the requests it saw: method, path, headers, body."""

    port: int = 0
    settings: OutboundSettings = field(default_factory=OutboundSettings)
    answers: dict[str, Answer] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}{path}"

    def says(self, path: str, value: Any, **headers: str) -> None:
        self.answers[path] = (200, headers, json.dumps(value).encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.seen.append((method, path, headers, body))
            status, given, content = self.answers.get(path, (200, {}, b"{}"))
            lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(content)}"]
            lines += [*(f"{name}: {value}" for name, value in given.items()), "Connection: close"]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def peer(place: Path) -> AsyncIterator[Peer]:
    """Lend a peer on this machine, which its settings allow to be asked."""
    signer = authority(place, "authority")
    shown = signer.sign("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.certificate, shown.key)
    found = Peer()
    async with listening(found.serve, context) as found.port:
        found.settings = OutboundSettings(
            inside=(f"localhost:{found.port}",), ca_file=str(signer.file), answer_bytes=10_000
        )
        yield found
