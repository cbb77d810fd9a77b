"""A listening socket: who may connect, and the certificate that is shown."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.hl7.mllp import tls
from fhir_server.channel_settings import Hl7Tls
from fhir_server.entrance import Entrance, Failed, Following
from fhir_server.networks import LOOPBACK, networks, within

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_BUFFER: Final = 256 << 10
_LOOK_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side of a connection, and the client certificate that it showed."""

    host: str
    address: str
    names: tuple[str, ...] = ()
    fingerprint: str = ""


class Port:
    """A socket that is listened on until `close`; its TLS follows its files."""

    def __init__(
        self,
        sock: socket.socket,
        name: str,
        allow_hosts: Sequence[str],
        said: Hl7Tls | None,
        plain_from: Sequence[str] = (),
    ) -> None:
        """Without TLS it is for this machine, and for the networks of `plain_from`."""
        self._sock = sock
        self._name = name
        self._networks = networks(allow_hosts)
        self._plain = (*LOOPBACK, *networks(plain_from))
        self._tls = said
        self._following: Following | None = None
        self._listening: asyncio.Server | Entrance | None = None

    async def open(self, accept: Accept, failed: Failed) -> None:
        """Listen, and tell `failed` of handshakes; OSError where files of TLS cannot be used."""
        if self._tls is None:
            self._listening = await asyncio.start_server(accept, sock=self._sock, limit=_BUFFER)
            return
        self._following = following = await asyncio.to_thread(tls.following, self._tls)

        def protocol() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=_BUFFER), accept)

        self._listening = Entrance(self._sock, lambda: following.context, protocol, failed)
        self._listening.open()

    async def follow(self) -> None:
        """Take up certificates that are replaced, for the connections that come then."""
        if self._following is None:
            return
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if await asyncio.to_thread(self._following.look):
                _log.info("Channel %s shows its new certificate", self._name)

    def refusal(self, peer: Peer) -> str:
        """Return why a connection is not taken by its address or certificate, else ""."""
        if self._networks and not within(peer.host, self._networks):
            return "its address is not allowed"
        if self._tls is None and not within(peer.host, self._plain):
            return "it does without TLS"
        if self._tls is not None and not tls.admits(self._tls, peer.names, peer.fingerprint):
            return "its certificate is not allowed"
        return ""

    def close(self) -> None:
        """Take no more connections."""
        if self._listening is not None:
            self._listening.close()
        if not isinstance(self._listening, Entrance):
            self._sock.close()


def peer_of(writer: asyncio.StreamWriter) -> Peer:
    """Return the other side of a connection."""
    address = writer.get_extra_info("peername") or ("-",)
    shown: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    certificate = shown.getpeercert() if shown else None
    der = shown.getpeercert(binary_form=True) if shown else None
    names, fingerprint = tls.identity(certificate, der)
    return Peer(str(address[0]), ":".join(map(str, address[:2])), names, fingerprint)
