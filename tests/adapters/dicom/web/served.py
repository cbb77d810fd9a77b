"""DICOMweb on a port, beside a DICOM listener."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from adapters.dicom.viewer import page
from adapters.dicom.web.routes import routes
from fhir_server.api.app import create_app
from fhir_server.config import Settings
from fhir_server.main import wiring
from tests.adapters.dicom.conftest import Archive, serving


@dataclass(frozen=True)
class Served:
    """What listens: for DICOM, and the port for HTTP."""

    archive: Archive
    port: int
    settings: Settings


@contextmanager
def served(data_dir: Path, conninfo: str) -> Iterator[Served]:
    """Run both over one archive until the block ends."""
    settings = Settings(demo=True, data_dir=data_dir)
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    running: list[uvicorn.Server] = []

    async def serve() -> None:
        base = f"http://127.0.0.1:{port}/fhir"
        async with wiring.running(settings, conninfo, base) as server:
            app = create_app(server, (), [*routes(server), *page.routes(server)])
            running.append(uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None)))
            await running[0].serve(sockets=[sock])

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        with serving(settings, conninfo) as archive:
            yield Served(archive, port, settings)
    finally:
        for one in running:
            one.should_exit = True
        thread.join(30)
        sock.close()
    assert not thread.is_alive()
