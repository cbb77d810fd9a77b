"""By what associations are judged and served, and how patiently.

https://dicom.nema.org/medical/dicom/current/output/html/part08.html#sect_9.1
"""

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.dicom.network.negotiate import Policy
from adapters.dicom.network.peer import Admission, Note, anyone, unnoted
from adapters.dicom.network.services import Service


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for a request, inside a message, and between messages (PS3.8, ARTIM)."""

    artim: float
    dimse: float
    idle: float


@dataclass(frozen=True, slots=True)
class Desk:
    """By what an association is judged and served, once it is known whom it calls."""

    policy: Policy
    services: Mapping[int, Service]
    admit: Admission = anyone
    note: Note = unnoted


def nobody(_called: str) -> None:
    """Return no desk but the listener's own."""
