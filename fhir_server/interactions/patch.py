"""patch, also conditional: a part of a resource anew.

https://hl7.org/fhir/R4/http.html#patch
"""

from base64 import b64encode
from typing import Any

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import BadRequest
from fhir_server.interactions import provenance as provenances
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.patching import JSON_PATCH
from fhir_server.interactions.transaction import transaction
from fhir_server.r4 import json
from fhir_server.server import Server
from fhir_server.store.attempts import atomically


async def patch(
    server: Server,
    caller: Caller,
    type_name: str,
    id_: str | None,
    asked: dict[str, Any],
    *,
    criteria: str | None = None,
    if_match: str | None = None,
    provenance: provenances.Given | None = None,
) -> Outcome:
    """Apply a patch (as `json_patch` or `fhirpath_patch` give it) to one resource.

    NotFound when there is none, Gone when it was deleted. `provenance` is stored
    with the write.
    """
    url = f"{type_name}/{id_}" if id_ is not None else f"{type_name}?{criteria}"
    entry = Entry("PATCH", url, asked, if_match=if_match)

    async def work(connection: Connection) -> Outcome:
        outcomes = await transaction(server, connection, caller, [entry], bundle=False)
        await provenances.record(server, connection, caller, provenance, outcomes)
        return outcomes[0]

    return await atomically(server.database, work)


def json_patch_body(raw: bytes) -> dict[str, Any]:
    """Return a JSON Patch as the Binary that it is in a Bundle."""
    return {"resourceType": "Binary", "contentType": JSON_PATCH, "data": b64encode(raw).decode()}


def fhirpath_patch_body(raw: bytes) -> dict[str, Any]:
    """Return the Parameters of a FHIRPath Patch; BadRequest when the body is none."""
    data = json.decode_keeping(raw)
    if not isinstance(data, dict) or data.get("resourceType") != "Parameters":
        raise BadRequest("A FHIRPath Patch is a Parameters resource", code="structure")
    return data
