"""Networks of addresses, and what is this machine alone.

https://www.rfc-editor.org/rfc/rfc6890
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = tuple[Network, ...]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LOOPBACK: Final[Networks] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)


class Unprotected(OSError):
    """What would go to another machine in the clear, which nobody has said that it may."""

    def __init__(self, mend: str) -> None:
        super().__init__(None, f"It would go out in the clear; {mend}")


def networks(said: Iterable[str]) -> Networks:
    """Return networks as settings name them (CIDR). Raises ValueError for what is none."""
    return tuple(ipaddress.ip_network(text) for text in said)


def address(host: str) -> Address:
    """Return an address as it is compared: without zone, IPv4 inside of IPv6 as IPv4.

    Raises ValueError for what is none.
    """
    found = ipaddress.ip_address(host.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


@lru_cache(1_024)
def within(host: str, some: Networks) -> bool:
    """Return whether an address is in one of these networks; what is no address is in none."""
    try:
        found = address(host)
    except ValueError:
        return False
    return any(found in network for network in some)


def is_local(host: str) -> bool:
    """Return whether a host, as it is written, is this machine alone.

    Names are not looked up but `localhost`: where others lead is for who answers for them.
    """
    return host == "localhost" or within(host, LOOPBACK)


def check_protected(host: str, *, tls: bool, plain: bool, mend: str) -> None:
    """Raise Unprotected where what goes to a host could be read on its way.

    `plain` says that it may, `mend` what to do where it should not.
    """
    if not (tls or plain or is_local(host)):
        raise Unprotected(mend)
