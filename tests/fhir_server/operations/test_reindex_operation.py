"""`$reindex`: asked for, watched, cancelled; what is no operation is refused."""

from typing import Any

import httpx
import pytest

from fhir_server.interactions import reindex
from fhir_server.server import Server

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
DEFINITION: Json = {
    "resourceType": "SearchParameter",
    "id": "sp",
    "url": "http://site.test/SearchParameter/race",
    "name": "race",
    "status": "active",
    "description": "For a test",
    "code": "race",
    "base": ["Patient"],
    "type": "token",
    "expression": "Patient.extension('urn:race').value",
}


@pytest.fixture
async def patients(client: httpx.AsyncClient) -> None:
    for number in range(3):
        extension = [{"url": "urn:race", "valueCode": "blue"}]
        body = {"resourceType": "Patient", "id": f"p{number}", "extension": extension}
        assert (await client.put(f"/Patient/p{number}", json=body)).status_code == 201


async def define(client: httpx.AsyncClient) -> None:
    assert (await client.put("/SearchParameter/sp", json=DEFINITION)).is_success


async def told(client: httpx.AsyncClient, path: str = "/$reindex") -> list[tuple[str, Json]]:
    """What the operation tells: the name of each parameter, and its parts by name."""
    answer = await client.get(path)
    assert answer.status_code == 200
    return [
        (one["name"], {part["name"]: _value(part) for part in one["part"]})
        for one in answer.json().get("parameter", ())
    ]


def _value(part: Json) -> Any:
    (value,) = [value for name, value in part.items() if name != "name"]
    return value


def progress(state: str, done: int, total: int) -> Json:
    return {"type": "Patient", "state": state, "done": done, "total": total, "errors": 0}


DEFINED = {"definition": {"reference": "SearchParameter/sp/_history/1"}, "code": "race"}


@pytest.mark.usefixtures("patients")
async def test_progress_is_told_for_each_search_parameter(
    server: Server, client: httpx.AsyncClient
) -> None:
    await define(client)
    waiting = [("searchParameter", DEFINED | progress("pending", 0, 0))]
    assert await told(client) == await told(client, "/SearchParameter/sp/$reindex") == waiting
    await reindex.run(server, {})
    assert await told(client) == [("searchParameter", DEFINED | progress("complete", 3, 3))]


@pytest.mark.usefixtures("patients")
async def test_index_rows_that_are_lost_are_made_anew(
    server: Server, client: httpx.AsyncClient
) -> None:
    async with server.database.statement() as connection:
        await connection.execute("UPDATE terms SET terms = '{}'")
    body = {"resourceType": "Parameters", "parameter": [{"name": "type", "valueCode": "Patient"}]}
    answer = await client.post("/$reindex", json=body)
    assert (answer.status_code, answer.headers["content-location"]) == (
        202,
        f"{server.base}/$reindex",
    )
    assert await told(client) == [("rebuild", progress("pending", 0, 0))]
    await reindex.run(server, {})
    assert await told(client) == [("rebuild", progress("complete", 3, 3))]
    assert (await client.get("/Patient?_id=p1&active:missing=true")).json()["total"] == 1
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM terms WHERE terms = '{}'")
        assert await cursor.fetchone() == (0,)


@pytest.mark.usefixtures("patients")
async def test_what_was_cancelled_stays_unsearchable_until_it_is_asked_for_again(
    server: Server, client: httpx.AsyncClient
) -> None:
    await define(client)
    path = "/SearchParameter/sp/$reindex"
    assert (await client.delete(path)).status_code == 202
    await reindex.run(server, {})
    assert await told(client) == [("searchParameter", DEFINED | progress("failed", 0, 0))]
    server.in_force.doubt()
    assert (await client.get("/Patient?race=blue")).status_code == 400
    assert (await client.post(path)).status_code == 202
    await reindex.run(server, {})
    server.in_force.doubt()
    assert (await client.get("/Patient?race=blue")).json()["total"] == 3


@pytest.mark.usefixtures("patients")
async def test_resources_that_cannot_be_indexed_are_counted_and_listed(
    server: Server, client: httpx.AsyncClient
) -> None:
    names = [{"family": f"f{number}"} for number in range(server.settings.limits.index_rows)]
    body = {"resourceType": "Patient", "id": "long", "name": names[:900]}
    assert (await client.put("/Patient/long", json=body)).status_code == 201
    changed = {**DEFINITION, "type": "string", "expression": "Patient.name"}
    object.__setattr__(server.settings.limits, "index_rows", 1000)
    assert (await client.put("/SearchParameter/sp", json=changed)).status_code == 201
    await reindex.run(server, {})
    error = [
        {"name": "resource", "valueReference": {"reference": "Patient/long"}},
        {"name": "reason", "valueString": "More index values than one resource may have"},
    ]
    wanted = DEFINED | progress("failed", 4, 4) | {"errors": 1, "error": error}
    assert await told(client) == [("searchParameter", wanted)]
    server.in_force.doubt()
    assert (await client.get("/Patient?race=f1")).status_code == 400


BODY = {"resourceType": "Parameters"}
UNKNOWN = BODY | {"parameter": [{"name": "typo", "valueCode": "x"}]}
TYPO = {"name": "typo", "valueString": "x"}
REFUSED = [
    ("POST", "/$nothing", None, 404, "not-supported"),
    ("POST", "/Patient/$reindex", None, 404, "not-supported"),
    ("POST", "/Patient/p1/$reindex", None, 404, "not-supported"),
    ("POST", "/SearchParameter/none/$reindex", None, 404, "not-found"),
    ("PUT", "/$reindex", None, 405, "not-supported"),
    ("GET", "/$reindex?type=Patient", None, 400, "invalid"),
    (
        "POST",
        "/$reindex",
        BODY | {"parameter": [{"name": "typo", "valueCode": "x"}]},
        400,
        "invalid",
    ),
    ("POST", "/$reindex?type=Nothing", None, 400, "value"),
    ("POST", "/$reindex?url=urn:none", None, 400, "value"),
    ("POST", "/$reindex", BODY | {"parameter": [{"valueCode": "x"}]}, 400, "required"),
    ("POST", "/$reindex", [1], 400, "structure"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), REFUSED)
async def test_a_call_that_means_nothing_is_refused(
    client: httpx.AsyncClient, method: str, path: str, body: Any, status: int, code: str
) -> None:
    answer = await client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (status, code)


async def test_a_parameter_that_is_not_active_is_not_reindexed(client: httpx.AsyncClient) -> None:
    draft = {**DEFINITION, "status": "draft"}
    assert (await client.put("/SearchParameter/sp", json=draft)).status_code == 201
    assert (await client.post("/SearchParameter/sp/$reindex")).status_code == 400


@pytest.mark.usefixtures("patients")
async def test_a_url_names_the_types_that_have_the_parameter(client: httpx.AsyncClient) -> None:
    url = "http://hl7.org/fhir/SearchParameter/individual-gender"
    assert (await client.post(f"/$reindex?url={url}")).status_code == 202
    types = [parts["type"] for _, parts in await told(client)]
    assert types == ["Patient", "Person", "Practitioner", "RelatedPerson"]
