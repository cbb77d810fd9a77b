"""delete, also conditional: a version that says the resource is gone.

https://hl7.org/fhir/R4/http.html#delete
"""

from fhir_server.caller import Caller
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server
from fhir_server.store.attempts import atomically


async def delete(
    server: Server,
    caller: Caller,
    type_name: str,
    id_: str | None,
    *,
    criteria: str | None = None,
    if_match: str | None = None,
) -> Outcome:
    """Delete the resource; nothing stored, or deleted before, is no error (204)."""
    url = f"{type_name}/{id_}" if id_ is not None else f"{type_name}?{criteria}"
    entry = Entry("DELETE", url, if_match=if_match)
    outcomes = await atomically(
        server.database,
        lambda connection: transaction(server, connection, caller, [entry], bundle=False),
    )
    return outcomes[0]
