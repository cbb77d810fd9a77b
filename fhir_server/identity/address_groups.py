"""The group of addresses as which all requests of one address count.

Who has an address of IPv6 has the 2^64 of its network, and could take another each time.

https://www.rfc-editor.org/rfc/rfc6177
"""

from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from fhir_server import networks

_HOST_BITS: Final = 64


def of(address: str | None) -> str:
    """Return what stands for an address: itself for IPv4, its first 64 bits for IPv6."""
    if address is None:
        return ""
    return _group(address) if ":" in address else address


@lru_cache(maxsize=4_096)
def _group(text: str) -> str:
    try:
        found = networks.address(text)
    except ValueError:
        return text
    if isinstance(found, IPv6Address):
        return str(IPv6Address(int(found) >> _HOST_BITS << _HOST_BITS))
    return str(found)
