"""delete, also conditional: a version that says the resource is gone.

https://hl7.org/fhir/R4/http.html#delete
"""

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.interactions import provenance as provenances
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
    provenance: provenances.Given | None = None,
) -> Outcome:
    """Delete the resource, or what `criteria` match.

    Nothing stored, or deleted before, is no error (204). Several matches are deleted
    in one transaction if the setting `write.conditional_delete` says so; Forbidden
    (too-costly) for more than `limits.conditional_deletes`. `provenance` is stored
    with the write.
    """
    url = f"{type_name}/{id_}" if id_ is not None else f"{type_name}?{criteria}"
    entry = Entry("DELETE", url, if_match=if_match)

    async def work(connection: Connection) -> Outcome:
        outcomes = await transaction(server, connection, caller, [entry], bundle=False)
        await provenances.record(server, connection, caller, provenance, outcomes)
        return outcomes[0]

    return await atomically(server.database, work)
