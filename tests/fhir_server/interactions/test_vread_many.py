"""Many versions of resources, read at once."""

import httpx
import pytest

from fhir_server.caller import trusted
from fhir_server.interactions.vread import versions_on
from fhir_server.r4 import json
from fhir_server.server import Server

pytestmark = pytest.mark.anyio


async def test_versions_are_read_at_once_without_deletions(
    server: Server, client: httpx.AsyncClient
) -> None:
    for id_, gender in (("a", "female"), ("a", "male"), ("b", "other")):
        body = {"resourceType": "Patient", "id": id_, "gender": gender}
        assert (await client.put(f"Patient/{id_}", json=body)).status_code in {200, 201}
    assert (await client.delete("Patient/a")).status_code == 204
    wanted = [("Patient", id_, number) for id_ in ("a", "b", "c") for number in range(4)]
    async with server.database.connection() as connection:
        found = await versions_on(server, connection, trusted("t", "test"), wanted)
        assert await versions_on(server, connection, trusted("t", "test"), []) == {}
    assert {place: json.decode(one.body)["gender"] for place, one in found.items()} == {
        ("Patient", "a", 1): "female",
        ("Patient", "a", 2): "male",
        ("Patient", "b", 1): "other",
    }
