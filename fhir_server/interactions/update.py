"""update, also as create and conditional: the whole resource anew.

https://hl7.org/fhir/R4/http.html#update
"""

from fhir_server.caller import Caller
from fhir_server.errors import BadRequest
from fhir_server.interactions.draft import parsed
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server
from fhir_server.store.attempts import atomically


async def update(
    server: Server,
    caller: Caller,
    type_name: str,
    id_: str | None,
    raw: bytes,
    *,
    criteria: str | None = None,
    if_match: str | None = None,
    if_none_match: str | None = None,
) -> Outcome:
    """Store a new version under `id_`, or under the one match of `criteria`.

    The outcome's status is 201 when the resource was absent or deleted, else 200;
    equal content stores nothing.
    """
    data = parsed(server, type_name, raw)
    url = f"{type_name}/{id_}" if id_ is not None else f"{type_name}?{criteria}"
    if id_ is not None and data.get("id") != id_:
        raise BadRequest("The id in the body is not the one in the URL", expression="id")
    entry = Entry("PUT", url, data, raw, if_match=if_match, if_none_match=if_none_match)
    outcomes = await atomically(
        server.database,
        lambda connection: transaction(server, connection, caller, [entry], bundle=False),
    )
    return outcomes[0]
