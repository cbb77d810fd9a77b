"""create, also conditional: a new resource under an id of the server's.

https://hl7.org/fhir/R4/http.html#create
"""

from fhir_server.caller import Caller
from fhir_server.errors import BadRequest
from fhir_server.interactions.draft import Draft, checked, parsed, write
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.references import literal_references
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server
from fhir_server.store.attempts import atomically, in_one_statement
from fhir_server.store.transact import Method, transact


async def create(
    server: Server,
    caller: Caller,
    type_name: str,
    raw: bytes,
    *,
    if_none_exist: str | None = None,
) -> Outcome:
    """Store the resource in `raw`; with criteria, only when nothing matches them.

    The outcome's status is 201, or 200 for the one existing match.
    """
    data = parsed(server, type_name, raw)
    if if_none_exist is not None:
        if not if_none_exist.strip():
            raise BadRequest("If-None-Exist has no criteria", code="required")
        entry = Entry("POST", type_name, data, raw, if_none_exist=if_none_exist)
        outcomes = await atomically(
            server.database,
            lambda connection: transaction(server, connection, caller, [entry], bundle=False),
        )
        return outcomes[0]
    id_ = server.new_id()
    draft = Draft(type_name, data, raw, literal_references(server, type_name, data))
    new = write(server, checked(server, draft), id_, Method.POST, None)
    if new is None or new.text is None:
        raise AssertionError("a create always writes")
    integrity = server.settings.write.referential_integrity
    written = await in_one_statement(
        server.database, lambda connection: transact(connection, [new], integrity=integrity)
    )
    at = written[new.key].last_updated
    return Outcome(201, type_name, id_, 1, at, new.text.at(at))
