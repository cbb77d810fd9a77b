"""Who may see which study: every path of DICOMweb asks here before it reads.

There is no login yet, so whoever reaches the port may read; what decides it later
(scopes on the ImagingStudy and its patient) takes the place of `readable`.
"""

from typing import Final

from starlette.requests import Request

from fhir_server.caller import Caller, trusted
from fhir_server.database import Connection
from fhir_server.errors import NotFound

OPEN: Final = "demo"


def caller(_: Request) -> Caller:
    """Return who asks."""
    return trusted(OPEN, "dicomweb")


async def readable(_: Connection, __: Caller, ___: str) -> bool:
    """Return whether the caller may know of the study with this UID."""
    return True


async def check(connection: Connection, who: Caller, study: str) -> None:
    """Raise NotFound where the caller may not know of the study."""
    if not await readable(connection, who, study):
        raise NotFound("There is no such study")
