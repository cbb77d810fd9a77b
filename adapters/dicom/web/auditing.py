"""What is recorded of who asks: each search, and each study that is read, once.

https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_A.5.3.3
"""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request

from adapters.dicom.studies import audit, transferred
from adapters.dicom.studies.ids import SHOWN_AS
from adapters.dicom.web import access
from adapters.dicom.web.service import Web
from fhir_server.access import glass
from fhir_server.audit.record import Record, keep, who, written
from fhir_server.jobs import Job

AGAIN_SECONDS: Final = 3_600.0
"""After this time reading a study again is another access."""

_REMEMBERED: Final = 10_000
_SHOWN_SECONDS: Final = 1.0


def actor(request: Request) -> str:
    """Return who asks, as AuditEvents name him."""
    client = request.client
    return f"{access.caller(request).name} at {client.host}" if client else "unknown"


async def searched(web: Web, request: Request, studies: Iterable[str]) -> None:
    """Record a search and the studies (UIDs) that it has found, before it is answered."""
    query = f"?{request.url.query}" if request.url.query else ""
    asked = f"{request.url.path.lstrip('/')}{query}"
    known = who(access.caller(request))
    async with web.server.database.statement() as connection:
        rows = await (await connection.execute(SHOWN_AS, (sorted(set(studies)),))).fetchall()
        found = [(access.TYPE, row[0], 0) for row in rows]
        await keep(connection, [written(Record("search-type", known, query=asked, places=found))])


async def accessed(web: Web, request: Request, study: str) -> None:
    """Record that the client reads a study, before anything of it is answered."""
    by, now, user = actor(request), time.monotonic(), access.caller(request).user
    opened = await _opened(web, request)
    key = (by, study, opened)
    # Who comes while it is committed waits for that, and is not answered without a record.
    async with web.recording.setdefault(key, asyncio.Lock()):
        try:
            if now - web.accesses.get(key, -AGAIN_SECONDS) < AGAIN_SECONDS:
                return
            async with web.server.database.transaction() as connection:
                await audit.record(
                    *(web.server, connection, study, by, audit.READ, "retrieve"),
                    user=user,
                    opened=opened,
                )
            while len(web.accesses) >= _REMEMBERED:
                web.accesses.pop(next(iter(web.accesses)))
            web.accesses[key] = now
        finally:
            web.recording.pop(key, None)


async def _opened(web: Web, request: Request) -> frozenset[str]:
    """Return the patients (ids) whose records the person has open by breaking the glass."""
    asking = access.caller(request)
    if asking.user is None or not asking.rights.walls:
        return frozenset()
    async with web.server.database.connection() as connection:
        return await glass.open_at(connection, asking.user, datetime.now(UTC))


class Stored:
    """Records to which studies a request stores: each once, with its first instance.

    The event is made when the study should be shown, and its patient known.
    """

    def __init__(self, web: Web, request: Request) -> None:
        self._by = actor(request)
        self._user = access.caller(request).user
        self._delay = web.server.settings.dicom.quiet_seconds + _SHOWN_SECONDS
        self._committed: set[str] = set()

    def jobs(self, study: str) -> tuple[Job, ...]:
        """Return the job that records it, none where that is committed already."""
        if study in self._committed:
            return ()
        return (transferred.job([study], self._by, "store", user=self._user, delay=self._delay),)

    def kept(self, study: str) -> None:
        """Know that it is committed."""
        self._committed.add(study)
