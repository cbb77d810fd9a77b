"""A listener and a worker as processes of their own, which tests kill."""

import asyncio
import multiprocessing
import socket
import threading
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from multiprocessing.context import ForkServerProcess as Process
from pathlib import Path

from adapters.dicom.listener import listen
from adapters.dicom.studies import fold
from fhir_server.bases import DEFAULT
from fhir_server.blobs import blobs_of
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings
from fhir_server.main.wiring import running
from fhir_server.worker.runner import work

QUIET_SECONDS = 0.2


@dataclass(frozen=True)
class Given:
    """Where the processes find the database and the archive."""

    conninfo: str
    data: Path
    base: str

    @property
    def settings(self) -> Settings:
        quick = DicomSettings(quiet_seconds=QUIET_SECONDS)
        return Settings(demo=True, data_dir=self.data, dicom=quick)


def serve(given: Given, sock: socket.socket) -> None:
    """Take associations until killed."""
    listen(
        given.settings,
        given.conninfo,
        blobs_of(given.settings, given.conninfo, DEFAULT),
        sock,
        threading.Event(),
    )


def carry_out(given: Given) -> None:
    """Fold studies until killed."""

    async def main() -> None:
        async with running(given.settings, given.conninfo, given.base) as server:
            await work(server, {"dicom.fold": fold.run}, "memory://", asyncio.Event())

    asyncio.run(main())


def started(given: Given, sock: socket.socket) -> list[Process]:
    """Start a listener and a worker, forked from a process that has imported all they need."""
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    both = [
        context.Process(target=serve, args=(given, sock), daemon=True),
        context.Process(target=carry_out, args=(given,), daemon=True),
    ]
    for one in both:
        one.start()
    return both
