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
from contextlib import AbstractAsyncContextManager
from multiprocessing.connection import Connection as Pipe

import uvicorn
import uvloop

from adapters.dicom import listener as dicom
from adapters.dicom.studies import serve as studies
from adapters.dicom.worklist import serve as worklist
from adapters.hl7.astm import listener as astm
from adapters.hl7.astm import own_port
from adapters.hl7.inbox.assist import assist
from adapters.hl7.law import serve as law
from adapters.hl7.mllp import channels as mllp
from adapters.hl7.outbound import serve as outbound
from adapters.hl7.queries.dialogue import dialogue
from fhir_server.api.app import Asgi, create_app
from fhir_server.api.by_tenant import by_tenant
from fhir_server.api.peers import behind_proxies
from fhir_server.bases import DEFAULT
from fhir_server.identity import doors, tidying
from fhir_server.interactions import auditing, data_key_rotation, retention
from fhir_server.main import heads, https, tenants
from fhir_server.main.entry import Context
from fhir_server.main.log import configure
from fhir_server.main.permits import permits
from fhir_server.main.wiring import BESIDE, FIGURES, JOBS, running
from fhir_server.server import Server
from fhir_server.tenancy.handles import Opener, Register, attend, handles
from fhir_server.worker.runner import Carrier, carrying

log = logging.getLogger(__name__)

NICE = 5
# So many containers are made before cycles are looked for: what answers, or groups, consist of.
_GARBAGE, _GROUP_GARBAGE = 50_000, 500_000


def web(context: Context, listening: socket.socket | None) -> None:
    """Answer HTTP until SIGTERM."""
    _begin(context, "web")

    async def main() -> None:
        async with (
            _running(context) as server,
            handles(_register(server), _opener(context), _application) as served,
        ):
            server.validator.warm()
            gc.freeze()
            tls = context.settings.security.tls
            config = uvicorn.Config(
                behind_proxies(
                    by_tenant(_application(server), served.of, doors.always(server)),
                    server.settings,
                ),
                http=heads.Bounded,
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=False,  # each answer has its own
                proxy_headers=False,  # api/peers.py knows which proxies are trusted
                timeout_graceful_shutdown=5,
            )
            config.load()
            if tls is not None and listening is not None:
                await https.serve(server, config, listening, tls)
                return
            sockets = [listening] if listening else None
            await uvicorn.Server(config).serve(sockets=sockets)

    uvloop.run(main())


def _running(context: Context) -> AbstractAsyncContextManager[Server]:
    return running(context.settings, context.conninfo, context.base, size=context.pools)


def _application(server: Server) -> Asgi:
    """Return the HTTP application of a tenant's handle."""
    return create_app(server, FIGURES, [one for make in BESIDE for one in make(server)])


def _register(server: Server) -> Register:
    """Return the tenants of the installation whose handle this is."""
    return Register(server.database, server.settings.tenants.look_seconds)


def _opener(context: Context) -> Opener:
    return tenants.opener(context.settings, context.conninfo, context.base)


def messages(context: Context, listening: socket.socket | None) -> None:
    """Take, answer and send HL7 v2 messages until SIGTERM: over MLLP, of tenants by ASTM too."""

    async def serve(server: Server, stop: asyncio.Event) -> None:
        plain = listening if server.tenant == DEFAULT else None
        await asyncio.gather(
            mllp.serve(server, plain, stop, dialogue(server)),
            outbound.serve(server, stop),
            law.serve(server, stop),
            *(() if server.tenant == DEFAULT else (own_port.serve(server, stop),)),
        )

    _for_all(context, "mllp", serve)


def analyzers(context: Context, listening: socket.socket | None) -> None:
    """Speak with ASTM analyzers until SIGTERM."""
    _until_stopped(context, "astm", lambda server, stop: astm.serve(server, listening, stop))


def worker(context: Context, _: socket.socket | None) -> None:
    """Carry out jobs until SIGTERM; acknowledgements and answers go first."""
    os.nice(NICE)
    broker = context.settings.broker_url
    carrier: Carrier

    async def serve(server: Server, stop: asyncio.Event) -> None:
        await retention.begin(server)
        await data_key_rotation.of_itself(server)
        await tidying.begin(server)
        beside = (
            worklist.serve(server, stop),
            studies.serve(server, stop),
            auditing.serve(server, stop),
        )
        await asyncio.gather(carrier.work(server, JOBS, stop), *beside)

    async def carried(server: Server, stop: asyncio.Event) -> None:
        nonlocal carrier
        async with carrying(broker) as carrier:
            others = attend(_register(server), _opener(context), serve, stop)
            await asyncio.gather(serve(server, stop), others)

    _until_stopped(context, "worker", carried)


def mapper(context: Context, _: socket.socket | None) -> None:
    """Help to turn HL7 v2 messages into resources until SIGTERM; answers go first."""
    os.nice(NICE)
    _for_all(context, "mapper", assist)


def images(
    context: Context, listening: socket.socket | None, *, with_tls: bool, upkeep: bool
) -> None:
    """Take DICOM associations until SIGTERM; one process has the upkeep of the archive."""
    assert listening is not None
    _begin(context, "dicom")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    async def main() -> None:
        async with _running(context) as server:
            gc.freeze()
            guests = tenants.guests(context.settings, context.conninfo)
            await asyncio.to_thread(
                dicom.serve,
                *(server, listening, stop),
                with_tls=with_tls,
                upkeep=upkeep,
                guests=guests,
                permits=permits(server, _register(server), _opener(context)),
            )

    asyncio.run(main())


def _for_all(
    context: Context, role: str, serve: Callable[[Server, asyncio.Event], Awaitable[None]]
) -> None:
    """Serve the installation itself, and each of its tenants, until SIGTERM."""

    async def each(server: Server, stop: asyncio.Event) -> None:
        others = attend(_register(server), _opener(context), serve, stop)
        await asyncio.gather(serve(server, stop), others)

    _until_stopped(context, role, each)


def _until_stopped(
    context: Context, role: str, serve: Callable[[Server, asyncio.Event], Awaitable[None]]
) -> None:
    _begin(context, role)

    async def main() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with _running(context) as server:
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
