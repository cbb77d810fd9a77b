"""One AuditEvent for each study that a client reads, however many requests that takes.

https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_A.5.3.3
"""

import time
from typing import Final

from starlette.requests import Request

from adapters.dicom.studies import audit
from adapters.dicom.web import access
from adapters.dicom.web.service import Web

AGAIN_SECONDS: Final = 3_600.0
"""After this time reading a study again is another access."""

_REMEMBERED: Final = 10_000


def actor(request: Request) -> str:
    """Return who asks, as AuditEvents name him."""
    client = request.client
    return f"{access.caller(request).name} at {client.host}" if client else "unknown"


async def accessed(web: Web, request: Request, study: str) -> None:
    """Record that the client reads a study, before anything of it is answered."""
    who, now = actor(request), time.monotonic()
    if now - web.accesses.get((who, study), -AGAIN_SECONDS) < AGAIN_SECONDS:
        return
    while len(web.accesses) >= _REMEMBERED:
        web.accesses.pop(next(iter(web.accesses)))
    web.accesses[who, study] = now
    try:
        async with web.server.database.transaction() as connection:
            await audit.record(web.server, connection, study, who, audit.READ, "retrieve")
    except BaseException:
        web.accesses.pop((who, study), None)
        raise
