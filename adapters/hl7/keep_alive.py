"""Probes on connections that are silent for hours: a peer that is gone is noticed."""

import contextlib
import socket
from typing import Final

_OPTIONS: Final = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 10),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 6),
    # Answers are small and awaited.
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
)


def keep_alive(sock: socket.socket | None) -> None:
    """Have the system probe a connection after a minute of silence, as far as it can."""
    for level, name, value in _OPTIONS:
        option = getattr(socket, name, None)
        if sock is not None and option is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(level, option, value)
