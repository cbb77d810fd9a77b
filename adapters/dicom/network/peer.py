"""The other side of an association: who it is, whether it is let in, and what is noted of it.

https://dicom.nema.org/medical/dicom/current/output/html/part08.html#sect_7.1.1
"""

from collections.abc import Callable
from dataclasses import dataclass

from adapters.dicom.network.associate import Request
from adapters.dicom.network.negotiate import Rejected
from adapters.dicom.network.tls import Certificate

UNKNOWN = "-"
"""The AE title of who was refused before saying one."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of an association, and what we know of it.

    `services` None: all are allowed. `issuer`, `timezone` and `character_set` stand in for
    what it leaves away.
    """

    address: str
    calling: str
    called: str
    services: frozenset[str] | None = None
    issuer: str = ""
    timezone: str = ""
    character_set: str = ""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A caller that may associate: whether it is one of our peers, and as Peer has it."""

    known: bool = False
    services: frozenset[str] | None = None
    issuer: str = ""
    timezone: str = ""
    character_set: str = ""


Admission = Callable[[Request, str, Certificate | None], Admitted | Rejected]
"""Decides on a request, the address it comes from, and the certificate of TLS."""


def anyone(_request: Request, _address: str, _certificate: Certificate | None) -> Admitted:
    """Admit whom the policy admits."""
    return Admitted()


Note = Callable[[Peer, str], None]
"""Takes note of who was refused, and why, in words of ours. Never raises."""


def unnoted(_peer: Peer, _reason: str) -> None:
    """Take no note of a refusal."""
