"""The bytes of documents, stored as Binary in the transaction of their message.

https://hl7.org/fhir/R4/binary.html
"""

from collections.abc import Iterable, Mapping

from adapters.hl7.mapping.context import Content
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Gone, NotFound
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.read import read_on
from fhir_server.interactions.transaction import transaction
from fhir_server.r4 import json
from fhir_server.server import Server


async def store(
    server: Server,
    connection: Connection,
    caller: Caller,
    contents: Iterable[Content],
    outcomes: Mapping[str, Outcome],
) -> None:
    """Store what is not there yet; who may read the owner may read the Binary.

    `outcomes` are by full URL. The id of a Binary is made of its bytes, so that one
    which is there is the same.
    """
    asked = []
    for content in contents:
        id_ = content.resource["id"]
        if not await _is_there(server, connection, caller, id_):
            resource = dict(content.resource)
            if content.owner in outcomes:
                owner = outcomes[content.owner]
                resource["securityContext"] = {"reference": f"{owner.type}/{owner.id}"}
            asked.append(Entry("PUT", f"Binary/{id_}", resource, json.encode(resource)))
    if asked:
        await transaction(server, connection, caller, asked)


async def _is_there(server: Server, connection: Connection, caller: Caller, id_: str) -> bool:
    try:
        await read_on(server, connection, caller, "Binary", id_)
    except (NotFound, Gone):
        return False
    return True
