"""update, also as create and conditional: the whole resource anew.

https://hl7.org/fhir/R4/http.html#update
"""

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import BadRequest
from fhir_server.interactions import provenance as provenances
from fhir_server.interactions.draft import Sent, parsed
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.precondition import Conditions
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server
from fhir_server.store.attempts import atomically


async def update(
    server: Server,
    caller: Caller,
    type_name: str,
    id_: str | None,
    sent: Sent,
    *,
    criteria: str | None = None,
    conditions: Conditions | None = None,
    provenance: provenances.Given | None = None,
) -> Outcome:
    """Store a new version under `id_`, or under the one match of `criteria`.

    The outcome's status is 201 when the resource was absent or deleted, else 200;
    equal content stores nothing. `provenance` is stored with the write.
    """
    data = parsed(server, type_name, sent.raw)
    if id_ is not None and data.get("id") != id_:
        raise BadRequest(
            "The id in the body is not the one in the URL",
            code="value",
            expression=f"{type_name}.id",
        )
    url = f"{type_name}/{id_}" if id_ is not None else f"{type_name}?{criteria}"
    asked = conditions or Conditions()
    entry = Entry(
        "PUT",
        url,
        data,
        sent.raw,
        if_match=asked.if_match,
        if_none_match=asked.if_none_match,
        blob=sent.blob,
    )

    async def work(connection: Connection) -> Outcome:
        outcomes = await transaction(server, connection, caller, [entry], bundle=False)
        await provenances.record(server, connection, caller, provenance, outcomes)
        return outcomes[0]

    return await atomically(server.database, work)
