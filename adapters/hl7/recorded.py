"""What is recorded of senders: what they were answered, and that they were refused.

https://profiles.ihe.net/ITI/TF/Volume2/ITI-21.html
"""

import logging
from collections.abc import Awaitable, Callable, Iterable

import psycopg

from adapters.hl7.profiles.origin import Origin
from fhir_server.audit.peers import Refusals, System, question, refusal
from fhir_server.audit.record import keep, written
from fhir_server.database import Connection
from fhir_server.errors import SangamError
from fhir_server.server import Server

Note = Callable[[System, str], Awaitable[None]]
"""Takes note of who was refused, and why, in words of ours. Never raises."""

_log = logging.getLogger(__name__)


def system(sender: str, origin: Origin) -> System:
    """Return a sender as it is recorded."""
    return System(sender, "hl7", origin.host)


async def asked(
    connection: Connection,
    who: System,
    code: str,
    text: str,
    places: Iterable[tuple[str, str]] = (),
    *,
    refused: bool = False,
) -> None:
    """Record a query with what (type, id) it is about to be answered, or that it is refused.

    In the transaction of the connection; raises as the database does.
    """
    said = question(who, code, text.encode(errors="replace"), places, refused=refused)
    await keep(connection, [written(said)])


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
