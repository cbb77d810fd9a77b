"""create, also conditional: a new resource under an id of the server's.

https://hl7.org/fhir/R4/http.html#create
"""

import math

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import BadRequest
from fhir_server.interactions import binary, search_parameter
from fhir_server.interactions import provenance as provenances
from fhir_server.interactions.draft import Draft, Sent, checked, keep, parsed, write
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.references import literal_references
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server
from fhir_server.store import coverage
from fhir_server.store.attempts import atomically, in_one_statement
from fhir_server.store.transact import Method


async def create(
    server: Server,
    caller: Caller,
    type_name: str,
    sent: Sent,
    *,
    if_none_exist: str | None = None,
    provenance: provenances.Given | None = None,
) -> Outcome:
    """Store the resource that was sent; with criteria, only when nothing matches them.

    The outcome's status is 201, or 200 for the one existing match. `provenance` is
    stored with the write.
    """
    data = parsed(server, type_name, sent.raw)
    if if_none_exist is not None and not if_none_exist.strip():
        raise BadRequest("If-None-Exist has no criteria", code="required")
    entry = Entry("POST", type_name, data, sent.raw, if_none_exist=if_none_exist, blob=sent.blob)
    alone = if_none_exist is None and provenance is None and type_name != search_parameter.TYPE
    # Whether one may make it who may not make all is seen once it is made.
    if alone and not caller.rights.walls:
        return await _alone(server, caller, await binary.set_aside(server, entry))

    async def work(connection: Connection) -> Outcome:
        outcomes = await transaction(server, connection, caller, [entry], bundle=False)
        await provenances.record(server, connection, caller, provenance, outcomes)
        return outcomes[0]

    return await atomically(server.database, work)


async def _alone(server: Server, caller: Caller, entry: Entry) -> Outcome:
    """Store a resource that nothing can be in the way of, by a single statement."""
    type_name, data, raw = entry.url, entry.resource or {}, entry.raw or b""
    id_ = server.new_id()
    references = literal_references(server, type_name, data)
    draft = Draft(type_name, data, raw, references, blob=entry.blob)
    draft = await checked(server, draft, door=caller.door)

    async def work(connection: Connection) -> Outcome:
        registry = await coverage.refresh(server, connection, after=math.inf)
        new = write(server, draft, id_, Method.POST, None)
        if new is None or new.text is None:
            raise AssertionError("a create always writes")
        written = await keep(server, connection, [new], registry.version, caller=caller)
        at = written[new.key].last_updated
        return Outcome(201, type_name, id_, 1, at, new.text.at(at))

    return await in_one_statement(server.database, work)
