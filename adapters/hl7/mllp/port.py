"""A listening socket: who may connect, and the certificate that is shown."""

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from adapters.hl7.mllp import tls
from fhir_server.channel_settings import Hl7Tls

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_BUFFER: Final = 256 << 10
_HANDSHAKE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 1.0

_LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

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
        self._networks = tuple(ipaddress.ip_network(one) for one in allow_hosts)
        self._plain = (*_LOOPBACK, *(ipaddress.ip_network(one) for one in plain_from))
        self._tls = said
        self._stamp: tls.Stamp = ()
        self._listening: asyncio.Server | None = None

    async def open(self, accept: Accept) -> None:
        """Listen; OSError where the files of TLS cannot be used."""
        context = None
        if self._tls is not None:
            self._stamp = tls.stamp(self._tls)
            context = await asyncio.to_thread(tls.server_context, self._tls)
        before = self._listening
        # Each has the socket as its own, so that one goes on when the other ends.
        self._listening = await asyncio.start_server(
            accept,
            sock=self._sock.dup(),
            limit=_BUFFER,
            ssl=context,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS if context else None,
        )
        if before is not None:
            before.close()

    async def follow(self, accept: Accept) -> None:
        """Take up certificates that are replaced, for the connections that come then."""
        if self._tls is None:
            return
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                if tls.stamp(self._tls) == self._stamp:
                    continue
                await self.open(accept)
            except OSError as error:
                # The old one serves on: half of a pair may have been written yet.
                reason = error.strerror or type(error).__name__
                _log.warning("TLS files of %s cannot be used (%s)", self._name, reason)
            else:
                _log.info("Channel %s shows its new certificate", self._name)

    def refusal(self, peer: Peer) -> str:
        """Return why a connection is not taken by its address or certificate, else ""."""
        if self._networks and not _within(peer.host, self._networks):
            return "its address is not allowed"
        if self._tls is None and not _within(peer.host, self._plain):
            return "it does without TLS"
        if self._tls is not None and not tls.admits(self._tls, peer.names, peer.fingerprint):
            return "its certificate is not allowed"
        return ""

    def close(self) -> None:
        """Take no more connections."""
        if self._listening is not None:
            self._listening.close()
        self._sock.close()


def peer_of(writer: asyncio.StreamWriter) -> Peer:
    """Return the other side of a connection."""
    address = writer.get_extra_info("peername") or ("-",)
    shown: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    certificate = shown.getpeercert() if shown else None
    der = shown.getpeercert(binary_form=True) if shown else None
    names, fingerprint = tls.identity(certificate, der)
    return Peer(str(address[0]), ":".join(map(str, address[:2])), names, fingerprint)


Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@lru_cache(1_024)
def _within(host: str, networks: Networks) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any((mapped or address) in network for network in networks)
