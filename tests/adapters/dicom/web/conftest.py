"""DICOMweb beside a DICOM listener, over one database and one disk."""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import httpx
import psycopg
import pytest

from adapters.dicom.network.scu import Instance
from adapters.dicom.web.routes import routes
from fhir_server.api.app import create_app
from fhir_server.server import Server
from tests.adapters.dicom.conftest import Archive, serving

ROOT = "http://testserver/dicom-web"
STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@dataclass(frozen=True)
class Site:
    """A server with DICOMweb, and a listener that stores for it."""

    server: Server
    start: Callable[[], Archive]
    http: httpx.AsyncClient

    def keep(self, *instances: Instance) -> Archive:
        """Store instances by C-STORE."""
        archive = self.start()
        assert set(archive.send(*instances)) <= {0}
        return archive

    def execute(self, sql: str, *values: object) -> None:
        with psycopg.connect(self.server.database.conninfo, autocommit=True) as connection:
            connection.execute(sql, values)

    async def get(self, path: str, accept: str | None = None, **headers: str) -> httpx.Response:
        given = {"Accept": accept} if accept is not None else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.get(path, headers={**given, **named})


@pytest.fixture
async def site(server: Server, database_url: str) -> AsyncIterator[Site]:
    """A server with DICOMweb; requests do not leave the process."""
    app = create_app(server, (), routes(server))
    transport = httpx.ASGITransport(app=app)
    with ExitStack() as stack:
        start = partial(_started, stack, server, database_url, [])
        async with httpx.AsyncClient(transport=transport, base_url=ROOT) as http:
            yield Site(server, start, http)


def _started(stack: ExitStack, server: Server, conninfo: str, running: list[Archive]) -> Archive:
    if not running:
        running.append(stack.enter_context(serving(server.settings, conninfo)))
    return running[0]


def parts(response: httpx.Response) -> list[tuple[dict[str, str], bytes]]:
    """Return headers and content of each part, split as RFC 2046 says."""
    kind, _, rest = response.headers["content-type"].partition(";")
    assert kind == "multipart/related"
    boundary = rest.rpartition('boundary="')[2].removesuffix('"')
    pieces = (b"\r\n" + response.content).split(b"\r\n--" + boundary.encode())
    assert pieces[0] == b""
    assert pieces[-1] == b"--\r\n"
    found = []
    for piece in pieces[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        lines = head.decode().strip().split("\r\n")
        found.append((dict(line.split(": ", 1) for line in lines), content))
    return found
