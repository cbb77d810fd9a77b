"""A write that is carried out and undone, to see whether it would be refused.

https://hl7.org/fhir/R4/resource-operation-validate.html
"""

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Issue, SangamError
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server
from fhir_server.store.attempts import atomically

_STANDS = "A resource that matches If-None-Exist is there; nothing would be created"


class _Undone(Exception):
    """Rolls the transaction back."""

    def __init__(self, issues: list[Issue]) -> None:
        super().__init__()
        self.issues = issues


async def tried(server: Server, caller: Caller, entry: Entry) -> list[Issue]:
    """Return why the write would be refused, or would do nothing; nothing is stored."""

    async def work(connection: Connection) -> None:
        (outcome,) = await transaction(server, connection, caller, [entry], bundle=False)
        stands = entry.method == "POST" and not outcome.written
        raise _Undone([Issue("information", "duplicate", _STANDS)] if stands else [])

    try:
        await atomically(server.database, work)
    except _Undone as undone:
        return undone.issues
    except SangamError as refused:
        return list(refused.issues)
    return []
