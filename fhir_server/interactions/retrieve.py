"""The reads of a transaction: read and search by an entry's URL.

https://hl7.org/fhir/R4/http.html#trules
"""

from datetime import datetime
from urllib.parse import parse_qsl

from fhir_server.caller import Caller
from fhir_server.database import Connection, plan_for_values
from fhir_server.errors import BadRequest, NotFound
from fhir_server.interactions.entry import Entry, Outcome, Target
from fhir_server.interactions.precondition import has_current
from fhir_server.interactions.read import read_on
from fhir_server.interactions.search import search_on
from fhir_server.server import Server


async def retrieve(
    server: Server, connection: Connection, caller: Caller, entry: Entry, where: Target
) -> Outcome:
    """Return what the entry's GET finds inside the open transaction."""
    if where.id and not where.rest:
        if where.query:
            raise BadRequest("A read inside a Bundle has no parameters", code="not-supported")
        found = await read_on(server, connection, caller, where.type, where.id)
        known = has_current(
            found.version,
            found.last_updated,
            if_none_match=entry.if_none_match,
            modified_since=_instant(entry.if_modified_since),
        )
        status, body = (304, None) if known else (200, found.body)
        return Outcome(status, where.type, where.id, found.version, found.last_updated, body)
    if where.rest:
        raise NotFound("There is nothing at this path", code="not-supported")
    pairs = parse_qsl(where.query or "", keep_blank_values=True)
    await plan_for_values(connection)
    body = await search_on(server, connection, caller, where.type or None, pairs)
    return Outcome(200, "", "", 0, None, body)


def _instant(text: str | None) -> datetime | None:
    """Return the instant of an entry's ifModifiedSince, which is FHIR's, not HTTP's."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequest("ifModifiedSince is not an instant", code="value") from error
    if moment.tzinfo is None:
        raise BadRequest("ifModifiedSince is not an instant", code="value")
    return moment
