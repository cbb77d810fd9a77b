"""HTTP with TLS: certificates that are replaced, and handshakes that fail.

https://www.rfc-editor.org/rfc/rfc9325
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

import uvicorn

from fhir_server.audit.noting import noting
from fhir_server.audit.peers import System
from fhir_server.entrance import Entrance, Failed, Following
from fhir_server.security_settings import HttpTls
from fhir_server.server import Server

_LOOK_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


def context(tls: HttpTls) -> ssl.SSLContext:
    """Return what the port shakes hands with; OSError where a file is missing or wrong."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(tls.certificate, tls.key)
    return made


async def serve(
    server: Server, config: uvicorn.Config, listening: socket.socket, tls: HttpTls
) -> None:
    """Answer on a listening socket until SIGTERM; OSError where the files cannot be used."""
    following = Following((tls.certificate, tls.key), lambda: context(tls))
    note = noting(server)

    async def failed(host: str, why: str) -> None:
        await note(System("-", "rest", host), why)

    looking = asyncio.create_task(_follow(following))
    web = _Secured(config, listening, following, failed)
    try:
        await web.serve(sockets=[])
    finally:
        looking.cancel()
        web.entrance.close()


async def _follow(following: Following) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if await asyncio.to_thread(following.look):
            _log.info("The HTTP port shows its new certificate")


class _Secured(uvicorn.Server):
    """uvicorn, whose connections come by an `Entrance`: it has no other place for that."""

    def __init__(
        self,
        config: uvicorn.Config,
        listening: socket.socket,
        following: Following,
        failed: Failed,
    ) -> None:
        super().__init__(config)
        self.entrance = Entrance(listening, lambda: following.context, self._protocol, failed)

    def _protocol(self) -> asyncio.Protocol:
        kind: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return kind(config=self.config, server_state=self.server_state, app_state={})

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        await super().startup(sockets)
        self.entrance.open()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nobody any more, then let requests end."""
        self.entrance.close()
        await super().shutdown(sockets)
