"""What was kept of resources that are deleted now: as of when each was (inbox/times).

A message that tells of one again makes another resource. The rows of reports stay: results that
outlive their report are found by them, and would be made twice.
"""

from typing import Final

from fhir_server import changes
from fhir_server.caller import trusted
from fhir_server.changes import Cursor
from fhir_server.database import Connection
from fhir_server.errors import Gone, NotFound
from fhir_server.feed_readers import take
from fhir_server.interactions.read import read_on
from fhir_server.server import Server

_CALLER: Final = trusted("hl7", "worker")
_READER: Final = "hl7.deleted"
_FORGET: Final = "DELETE FROM hl7_applied WHERE resource = ANY(%s)"


async def forget(server: Server) -> None:
    """Forget the times of what was deleted since the last look."""
    more = True
    while more:
        async with server.database.transaction() as connection:
            page = await take(connection, _READER, begin=Cursor(), deletions=True)
            ids = await changes.named(connection, page.changes)
            names = server.definitions.type_names
            deleted = {(names[one.type_id], ids[one.key]) for one in page.changes if one.key in ids}
            gone = [
                f"{kind}/{id_}"
                for kind, id_ in sorted(deleted)
                if not await _is_there(server, connection, kind, id_)
            ]
            if gone:
                await connection.execute(_FORGET, (gone,))
            more = page.more


async def _is_there(server: Server, connection: Connection, kind: str, id_: str) -> bool:
    """Whether a resource was stored again, of which messages may have told since."""
    try:
        await read_on(server, connection, _CALLER, kind, id_)
    except (NotFound, Gone):
        return False
    return True
