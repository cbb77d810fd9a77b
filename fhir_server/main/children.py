"""The processes of a running server: HTTP, MLLP, DICOM, worker.

Each has one entry function here, which the supervisor starts in a fresh
interpreter with a listening socket that it inherits.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe

import uvicorn
import uvloop

from adapters.dicom import listener as dicom
from adapters.dicom.studies import serve as studies
from adapters.dicom.worklist import serve as worklist
from adapters.hl7.astm import listener as astm
from adapters.hl7.inbox.assist import assist
from adapters.hl7.law import serve as law
from adapters.hl7.mllp import channels as mllp
from adapters.hl7.outbound import serve as outbound
from adapters.hl7.queries.dialogue import dialogue
from fhir_server.api.app import create_app
from fhir_server.config import Settings
from fhir_server.main.log import configure
from fhir_server.main.wiring import BESIDE, FIGURES, JOBS, running
from fhir_server.server import Server
from fhir_server.worker.runner import work

log = logging.getLogger(__name__)

NICE = 5
# So many containers are made before cycles are looked for: what answers, or groups, consist of.
_GARBAGE, _GROUP_GARBAGE = 50_000, 500_000


@dataclass(frozen=True, slots=True)
class Context:
    """What every child is told. `alive` closes when the supervisor is gone."""

    settings: Settings
    conninfo: str
    base: str
    alive: Pipe


def web(context: Context, listening: socket.socket | None) -> None:
    """Answer HTTP until SIGTERM."""
    _begin(context, "web")

    async def main() -> None:
        async with running(context.settings, context.conninfo, context.base) as server:
            server.validator.warm()
            gc.freeze()
            config = uvicorn.Config(
                create_app(server, FIGURES, [one for make in BESIDE for one in make(server)]),
                http="httptools",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=False,  # each answer has its own
                timeout_graceful_shutdown=5,
            )
            sockets = [listening] if listening else None
            await uvicorn.Server(config).serve(sockets=sockets)

    uvloop.run(main())


def messages(context: Context, listening: socket.socket | None) -> None:
    """Take, answer and send HL7 v2 messages over MLLP until SIGTERM."""

    async def serve(server: Server, stop: asyncio.Event) -> None:
        await asyncio.gather(
            mllp.serve(server, listening, stop, dialogue(server)),
            outbound.serve(server, stop),
            law.serve(server, stop),
        )

    _until_stopped(context, "mllp", serve)


def analyzers(context: Context, listening: socket.socket | None) -> None:
    """Speak with ASTM analyzers until SIGTERM."""
    _until_stopped(context, "astm", lambda server, stop: astm.serve(server, listening, stop))


def worker(context: Context, _: socket.socket | None) -> None:
    """Carry out jobs until SIGTERM; acknowledgements and answers go first."""
    os.nice(NICE)
    broker = context.settings.broker_url

    async def serve(server: Server, stop: asyncio.Event) -> None:
        beside = (worklist.serve(server, stop), studies.serve(server, stop))
        await asyncio.gather(work(server, JOBS, broker, stop), *beside)

    _until_stopped(context, "worker", serve)


def mapper(context: Context, _: socket.socket | None) -> None:
    """Help to turn HL7 v2 messages into resources until SIGTERM; answers go first."""
    os.nice(NICE)
    _until_stopped(context, "mapper", assist)


def images(
    context: Context, listening: socket.socket | None, *, with_tls: bool, upkeep: bool
) -> None:
    """Take DICOM associations until SIGTERM; one process has the upkeep of the archive."""
    assert listening is not None
    _begin(context, "dicom")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    async def main() -> None:
        async with running(context.settings, context.conninfo, context.base) as server:
            gc.freeze()
            await asyncio.to_thread(
                dicom.serve, server, listening, stop, with_tls=with_tls, upkeep=upkeep
            )

    asyncio.run(main())


def _until_stopped(
    context: Context, role: str, serve: Callable[[Server, asyncio.Event], Awaitable[None]]
) -> None:
    _begin(context, role)

    async def main() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with running(context.settings, context.conninfo, context.base) as server:
            gc.freeze()
            await serve(server, stop)

    uvloop.run(main())


def _begin(context: Context, role: str) -> None:
    """Set up a fresh interpreter: log, signals, the end together with the supervisor."""
    configure(role)
    # Ctrl-C reaches the whole group; the supervisor then asks each child to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # JSON makes many short-lived containers; the default looks for cycles all the time.
    gc.set_threshold(_GROUP_GARBAGE if role in {"worker", "mapper"} else _GARBAGE, 20, 50)
    threading.Thread(target=_end_with, args=(context.alive,), daemon=True).start()


def _end_with(alive: Pipe) -> None:
    """Leave at once when the supervisor was killed: nothing may live on unsupervised."""
    try:
        alive.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
