"""Results that a report no longer has, where the sender always sends all of them.

Section 14 of the project's HL7 specification (`snapshot_results`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from adapters.hl7.mapping.context import Write
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Gone, NotFound
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.read import read_on
from fhir_server.interactions.transaction import transaction
from fhir_server.r4 import json
from fhir_server.server import Server

_OVER = frozenset(("cancelled", "entered-in-error"))


async def cancel(
    server: Server,
    connection: Connection,
    caller: Caller,
    writes: Iterable[Write],
    outcomes: Mapping[str, Outcome],
) -> list[Outcome]:
    """Cancel the results of known reports that their messages no longer have.

    `writes` are those of messages that count as whole. The values stay.
    """
    asked = []
    for write in writes:
        outcome = outcomes[write.full_url]
        is_new = outcome.version == 1 and outcome.written
        if write.resource["resourceType"] != "DiagnosticReport" or is_new:
            continue
        sent = {_literal(one["reference"], outcomes) for one in write.resource.get("result", ())}
        for reference in await _known(server, connection, caller, outcome.id):
            if reference not in sent:
                asked += await _cancelled(server, connection, caller, reference)
    return await transaction(server, connection, caller, asked) if asked else []


def _literal(reference: str, outcomes: Mapping[str, Outcome]) -> str:
    found = outcomes.get(reference)
    return f"{found.type}/{found.id}" if found else reference


async def _known(server: Server, connection: Connection, caller: Caller, id_: str) -> list[str]:
    found = await read_on(server, connection, caller, "DiagnosticReport", id_)
    return [one.get("reference", "") for one in json.decode(found.body).get("result", ())]


async def _cancelled(
    server: Server, connection: Connection, caller: Caller, reference: str
) -> list[Entry]:
    kind, _, id_ = reference.partition("/")
    if kind != "Observation":
        return []
    try:
        found = await read_on(server, connection, caller, kind, id_)
    except (NotFound, Gone):
        return []
    resource: dict[str, Any] = json.decode_keeping(found.body)
    if resource.get("status") in _OVER:
        return []
    resource.pop("_status", None)
    resource |= {"status": "cancelled"}
    return [Entry("PUT", reference, resource, json.encode(resource))]
