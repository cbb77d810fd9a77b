"""The line of one tenant to its analyzers, on a port that is the tenant's alone.

The installation's own port is bound by who starts it; a tenant comes and goes while it runs.
"""

import asyncio
import logging
import os
import socket
from contextlib import ExitStack
from typing import Final

from adapters.hl7.astm import listener
from fhir_server.server import Server

AGAIN_SECONDS: Final = 1.0
"""So long a port is waited for that cannot be bound, or a certificate that cannot be read."""

LISTENS: Final = "analyzers of %s connect to port %d"
"""What is logged of a port once it is open."""

_BACKLOG: Final = 128

_log = logging.getLogger(__name__)


async def serve(server: Server, stop: asyncio.Event) -> None:
    """Speak with a tenant's analyzers until `stop` is set, if it has any.

    What keeps its port from being opened is logged once, and keeps nothing else of the tenant.
    """
    port, said = server.settings.astm_port, ""
    if port is None and not _dials(server):
        return
    while not stop.is_set():
        try:
            with ExitStack() as stack:
                bound = None if port is None else _bound(server.settings.host, port)
                if bound is not None:
                    _log.info(LISTENS, server.tenant, bound.getsockname()[1])
                sock = None if bound is None else stack.enter_context(bound)
                await listener.serve(server, sock, stop)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            if reason != said:
                _log.error("analyzers of %s cannot connect: %s", server.tenant, reason)
            said = reason
            await _pause(stop)


def _dials(server: Server) -> bool:
    return server.settings.astm.connect and bool(server.settings.hl7.profiles_dir)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(AGAIN_SECONDS):
            await stop.wait()
    except TimeoutError:
        return
