"""`$role`: what roles may do, read and changed over HTTP."""

from typing import Any

import httpx
import pytest

from fhir_server.access.role_table import Role, Rule, read, shipped, written

pytestmark = pytest.mark.anyio
NURSE = shipped().roles["NURSE"]


def told(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [
        {part["name"]: next(v for k, v in part.items() if k != "name") for part in one["part"]}
        for one in answer.json()["parameter"]
        if one["name"] == "role"
    ]


async def put_in_force(client: httpx.AsyncClient, role: Role, name: str = "NURSE") -> int:
    parameter = [
        {"name": "name", "valueString": name},
        {"name": "definition", "valueString": written(role).decode()},
    ]
    body = {"resourceType": "Parameters", "parameter": parameter}
    return (await client.post("/$role", json=body)).status_code


async def test_role_is_read_changed_and_put_back(client: httpx.AsyncClient) -> None:
    listed = told(await client.get("/$role"))
    assert [(one["name"], one["version"]) for one in listed] == [
        (name, 0) for name in shipped().roles
    ]
    (nurse,) = told(await client.get("/$role?name=NURSE"))
    assert read(nurse["definition"].encode()) == NURSE
    own = Role("Night nurse", (Rule(("Observation",), "rs", because=("ward",)),))
    assert await put_in_force(client, own) == 200
    (nurse,) = told(await client.get("/$role?name=NURSE"))
    assert (read(nurse["definition"].encode()), nurse["version"]) == (own, 1)
    assert (await client.delete("/$role?name=NURSE")).status_code == 200
    (nurse,) = told(await client.get("/$role?name=NURSE"))
    assert (read(nurse["definition"].encode()), nurse["version"]) == (NURSE, 2)


async def test_role_that_may_not_be_changes_nothing(client: httpx.AsyncClient) -> None:
    deleting = Role("Night nurse", (Rule(("Observation",), "rsd"),))
    assert await put_in_force(client, deleting) == 422
    assert await put_in_force(client, NURSE, "night nurse") == 400
    assert (await client.get("/$role?name=WIZARD")).status_code == 404
    assert (await client.delete("/$role?name=WIZARD")).status_code == 404
    assert {one["version"] for one in told(await client.get("/$role"))} == {0}
