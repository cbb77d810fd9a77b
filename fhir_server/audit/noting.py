"""What records that another system was not let in.

https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_A.5.3.11
"""

import logging
from collections.abc import Awaitable, Callable

import psycopg

from fhir_server.audit.peers import Refusals, System, refusal
from fhir_server.audit.record import keep, written
from fhir_server.errors import SangamError
from fhir_server.server import Server

Note = Callable[[System, str], Awaitable[None]]
"""Takes note of who was refused, and why, in words of ours. Never raises."""

_log = logging.getLogger(__name__)


def noting(server: Server) -> Note:
    """Return what records that a sender was refused; one that cannot be is refused all the same."""
    refusals = Refusals()

    async def note(who: System, reason: str) -> None:
        if not refusals.is_news(who, reason):
            return
        try:
            async with server.database.statement() as connection:
                await keep(connection, [written(refusal(who, reason))])
        except (SangamError, psycopg.Error) as error:
            _log.error("a refusal was not recorded: %s", type(error).__name__)

    return note
