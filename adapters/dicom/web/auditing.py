"""What is recorded of who asks: each search, and each study that is read, once.

https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_A.5.3.3
"""

import time
from collections.abc import Iterable
from typing import Final

from starlette.requests import Request

from adapters.dicom.studies import audit
from adapters.dicom.studies.ids import imaging_study_id
from adapters.dicom.web import access
from adapters.dicom.web.service import Web
from fhir_server.audit.record import Record, keep, who, written

AGAIN_SECONDS: Final = 3_600.0
"""After this time reading a study again is another access."""

_REMEMBERED: Final = 10_000


def actor(request: Request) -> str:
    """Return who asks, as AuditEvents name him."""
    client = request.client
    return f"{access.caller(request).name} at {client.host}" if client else "unknown"


async def searched(web: Web, request: Request, studies: Iterable[str]) -> None:
    """Record a search and the studies (UIDs) that it has found, before it is answered."""
    query = f"?{request.url.query}" if request.url.query else ""
    found = [(access.TYPE, imaging_study_id(one), 0) for one in sorted(set(studies))]
    asked = f"{request.url.path.lstrip('/')}{query}"
    known = who(access.caller(request))
    said = written(Record("search-type", known, query=asked, places=found))
    async with web.server.database.statement() as connection:
        await keep(connection, [said])


async def accessed(web: Web, request: Request, study: str) -> None:
    """Record that the client reads a study, before anything of it is answered."""
    by, now = actor(request), time.monotonic()
    if now - web.accesses.get((by, study), -AGAIN_SECONDS) < AGAIN_SECONDS:
        return
    while len(web.accesses) >= _REMEMBERED:
        web.accesses.pop(next(iter(web.accesses)))
    web.accesses[by, study] = now
    try:
        async with web.server.database.transaction() as connection:
            await audit.record(
                *(web.server, connection, study, by, audit.READ, "retrieve"),
                user=access.caller(request).user,
            )
    except BaseException:
        web.accesses.pop((by, study), None)
        raise
