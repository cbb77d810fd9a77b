"""Search parameters defined, changed and taken away at run time."""

import asyncio
import itertools
import json
from typing import Any

import httpx
import pytest

from fhir_server.api.app import create_app
from fhir_server.caller import trusted
from fhir_server.config import Settings
from fhir_server.interactions import reindex
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.main import wiring
from fhir_server.server import Server

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
URL = "http://site.test/SearchParameter/"


def definition(code: str = "race", **other: Any) -> Json:
    return {
        "resourceType": "SearchParameter",
        "url": URL + code,
        "name": code.replace("-", ""),
        "status": "active",
        "description": "For a test",
        "code": code,
        "base": ["Patient"],
        "type": "token",
        "expression": "Patient.extension('urn:race').value",
        **other,
    }


def patient(number: int, race: str | None = "blue") -> Json:
    extension = [{"url": "urn:race", "valueCode": race}] if race else []
    return {
        "resourceType": "Patient",
        "id": f"p{number}",
        "gender": "female",
        "name": [{"family": f"Family{number}"}],
        "birthDate": "1980-01-02",
        **({"extension": extension} if extension else {}),
    }


async def put(client: httpx.AsyncClient, resource: Json, status: int | None = None) -> Json:
    response = await client.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)
    assert response.status_code == status if status else response.is_success, response.text
    found: Json = response.json()
    return found


async def define(client: httpx.AsyncClient, resource: Json, id_: str = "sp") -> Json:
    return await put(client, {**resource, "id": id_})


async def ids(client: httpx.AsyncClient, query: str) -> set[str]:
    response = await client.get(f"/{query}")
    assert response.status_code == 200, response.text
    return {entry["resource"]["id"] for entry in response.json().get("entry", ())}


async def refusal(client: httpx.AsyncClient, query: str) -> tuple[int, str, str]:
    response = await client.get(f"/{query}")
    issue = response.json()["issue"][0]
    return response.status_code, issue["code"], issue["details"]["text"]


async def walk(server: Server) -> None:
    """Do what a worker does, and learn at once what came of it."""
    await reindex.run(server, {})
    server.in_force.doubt()


async def test_it_is_refused_until_all_resources_are_indexed_and_found_then(
    server: Server, client: httpx.AsyncClient
) -> None:
    await put(client, patient(1))
    await put(client, patient(2, "red"))
    await put(client, patient(3, None))
    await define(client, definition())
    server.in_force.doubt()
    assert await refusal(client, "Patient?race=blue") == (
        400,
        "not-supported",
        "The parameter is not yet searchable: not all resources are indexed for it.",
    )
    await put(client, patient(4))
    await walk(server)
    assert await ids(client, "Patient?race=blue") == {"p1", "p4"}
    assert await ids(client, "Patient?race:not=blue") == {"p2", "p3"}
    assert await ids(client, "Patient?race:missing=true") == {"p3"}
    assert await ids(client, "Patient?family=family2&gender=female") == {"p2"}


TYPES = [
    ("token", "Patient.extension('urn:v').value", {"valueCode": "a"}, "a", "b"),
    ("string", "Patient.name.family", {}, "family1", "family2"),
    ("date", "Patient.birthDate", {}, "1980", "1981"),
    ("number", "Patient.extension('urn:v').value", {"valueDecimal": 1.5}, "1.5", "1.6"),
    (
        "quantity",
        "Patient.extension('urn:v').value.as(Quantity)",
        {"valueQuantity": {"value": 3, "code": "kg", "system": "http://unitsofmeasure.org"}},
        "3000|http://unitsofmeasure.org|g",
        "3|http://unitsofmeasure.org|g",
    ),
    ("uri", "Patient.extension('urn:v').value", {"valueUri": "urn:x"}, "urn:x", "urn:y"),
    (
        "reference",
        "Patient.extension('urn:v').value.as(Reference)",
        {"valueReference": {"reference": "Patient/p9"}},
        "Patient/p9",
        "Patient/p8",
    ),
    (
        "date",
        "Patient.birthDate.extension('urn:time').value",
        {"valueCode": "a"},
        "1980-01-02T10:00",
        "1980-01-02T11:00",
    ),
]


@pytest.mark.parametrize(("kind", "expression", "value", "found", "missed"), TYPES)
async def test_each_type_is_indexed_by_the_walk_and_by_writes(
    server: Server,
    client: httpx.AsyncClient,
    kind: str,
    expression: str,
    value: Json,
    found: str,
    missed: str,
) -> None:
    await put(client, patient(9))

    def one(id_: str) -> Json:
        time = [{"url": "urn:time", "valueDateTime": "1980-01-02T10:00:00Z"}]
        extension = [{"url": "urn:v", **value}] if value else []
        whole = {**patient(1), "id": id_, "_birthDate": {"extension": time}}
        return {**whole, "extension": extension} if extension else whole

    await put(client, one("before"))
    await define(client, definition("mine", type=kind, expression=expression))
    await put(client, one("after"))
    await walk(server)
    assert {"before", "after"} <= await ids(client, f"Patient?mine={found}&_sort=mine")
    assert not {"before", "after"} & await ids(client, f"Patient?mine={missed}")


async def test_a_composite_is_found_inside_one_element_only(
    server: Server, client: httpx.AsyncClient
) -> None:
    def two(id_: str, *pairs: tuple[str, str]) -> Json:
        telecom = [{"system": s, "value": v, "use": "home"} for s, v in pairs]
        return {**patient(1), "id": id_, "telecom": telecom}

    await put(client, two("same", ("phone", "1"), ("fax", "2")))
    await put(client, two("crossed", ("phone", "2"), ("fax", "1")))
    for code, element in (("system", "system"), ("number", "value")):
        expression = f"Patient.telecom.{element}"
        await define(client, definition(f"telecom-{code}", expression=expression), code)
    component = [
        {"definition": f"{URL}telecom-system", "expression": "system"},
        {"definition": f"{URL}telecom-number", "expression": "value"},
    ]
    both = definition("both", type="composite", expression="Patient.telecom", component=component)
    await walk(server)
    await define(client, both)
    await put(client, two("later", ("phone", "1")))
    await walk(server)
    assert await ids(client, "Patient?both=phone$1") == {"same", "later"}


REFUSED = [
    ({"expression": "Patient.nothing"}, "expression"),
    ({"expression": "Patient.name.family.foo()"}, "expression"),
    ({"expression": "Patient.name."}, "expression"),
    ({"expression": "Patient.extension('urn:x"}, "expression"),
    ({"expression": "Observation.code"}, "expression"),
    ({"expression": "Patient.birthDate"}, "expression"),  # no token
    ({"expression": "Patient.birthDate.where(x='y')"}, "expression"),
    ({"expression": "Patient.gender | Patient.birthDate"}, "expression"),
    ({"expression": "Patient.name.given[0]", "type": "string"}, "expression"),
    ({"expression": "Patient.contained.contained"}, "expression"),
    ({"expression": "(" * 60 + "Patient.gender" + ")" * 60}, "expression"),
    ({"expression": "Patient" + ".extension('urn:x')" * 30 + ".value"}, "expression"),
    ({"expression": "Patient.extension('a')" + ".value.extension('b')" * 5}, "expression"),
    ({"expression": "Patient.gender | " * 600 + "Patient.gender"}, "expression"),
    ({"expression": "Patient.gender" + " " * 10_001}, "expression"),
    ({"expression": None}, "expression"),
    ({"code": "gender"}, "code"),
    ({"code": "a.b"}, "code"),
    ({"code": "_mine"}, "code"),
    ({"type": "special"}, "type"),
    (
        {"type": "composite", "component": [{"definition": "urn:none", "expression": "use"}]},
        "component[0].definition",
    ),
    (
        {
            "type": "composite",
            "expression": "Patient.telecom",
            "component": [
                {
                    "definition": "http://hl7.org/fhir/SearchParameter/individual-birthdate",
                    "expression": "period",
                }
            ],
        },
        "component",
    ),
]


@pytest.mark.parametrize(("other", "element"), REFUSED)
async def test_what_cannot_be_indexed_is_refused_by_the_element_and_not_stored(
    client: httpx.AsyncClient, other: Json, element: str
) -> None:
    given = {name: v for name, v in {**definition(), **other, "id": "sp"}.items() if v is not None}
    response = await client.put("/SearchParameter/sp", json=given)
    places = {issue["expression"][0] for issue in response.json()["issue"]}
    assert (response.status_code, places) == (422, {f"SearchParameter.{element}"})
    assert (await client.get("/SearchParameter/sp")).status_code == 404


async def test_a_refusal_in_a_bundle_names_the_entry(client: httpx.AsyncClient) -> None:
    entries = [
        {"resource": one, "request": {"method": "POST", "url": "SearchParameter"}}
        for one in (definition("one"), definition("two", expression="Patient.x"))
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    response = await client.post("/", json=bundle)
    assert response.status_code == 422
    (issue,) = response.json()["issue"]
    assert issue["expression"] == ["Bundle.entry[1].resource.expression"]
    assert await ids(client, "SearchParameter") == set()


async def test_a_code_is_taken_once_on_a_type_also_by_two_at_once(
    server: Server, client: httpx.AsyncClient
) -> None:
    made = [{**definition("race", url=f"{URL}{n}"), "id": f"s{n}"} for n in range(2)]
    answers = await asyncio.gather(
        *(client.put(f"/SearchParameter/{one['id']}", json=one) for one in made)
    )
    assert sorted(one.status_code for one in answers) == [201, 422]
    (refused,) = [one.json() for one in answers if one.status_code == 422]
    (issue,) = refused["issue"]
    assert (issue["code"], issue["expression"]) == ("duplicate", ["SearchParameter.code"])
    other = definition("race", url=f"{URL}o", base=["Group"], expression="Group.type")
    await define(client, other, "other")


@pytest.mark.parametrize("status", ["draft", "retired", "unknown"])
async def test_one_that_is_not_active_is_stored_and_not_used(
    server: Server, client: httpx.AsyncClient, status: str
) -> None:
    await define(client, definition(status=status, expression="nonsense("))
    await walk(server)
    status_code, _, text = await refusal(client, "Patient?race=blue")
    assert (status_code, "no such search parameter" in text) == (400, True)


async def test_a_changed_expression_takes_the_place_of_the_old_when_it_is_complete(
    server: Server, client: httpx.AsyncClient
) -> None:
    await put(client, patient(1))
    await define(client, definition())
    await walk(server)
    await define(client, definition(expression="Patient.gender"))
    await put(client, patient(2))
    server.in_force.doubt()
    assert await ids(client, "Patient?race=blue") == {"p1", "p2"}
    await walk(server)
    assert await ids(client, "Patient?race=female") == {"p1", "p2"}
    assert await ids(client, "Patient?race=blue") == set()


async def test_a_change_that_indexes_the_same_needs_no_walk(
    server: Server, client: httpx.AsyncClient
) -> None:
    await put(client, patient(1))
    await define(client, definition())
    await walk(server)
    await define(client, definition("colour", description="Better"))
    server.in_force.doubt()
    assert await ids(client, "Patient?colour=blue") == {"p1"}
    assert (await refusal(client, "Patient?race=blue"))[0] == 400


@pytest.mark.parametrize("end", ["delete", "retire"])
async def test_what_is_taken_away_is_not_searched_and_leaves_no_row(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(reindex, "grace", lambda _: 0.0)
    await put(client, patient(1))
    before = await rows(server)
    await define(client, definition())
    await define(client, definition("mine", type="date", expression="Patient.birthDate"), "two")
    await walk(server)
    assert await rows(server) != before
    for id_ in ("sp", "two"):
        if end == "delete":
            assert (await client.delete(f"/SearchParameter/{id_}")).status_code == 204
        else:
            stored = (await client.get(f"/SearchParameter/{id_}")).json()
            await put(client, {**stored, "status": "retired"}, 200)
    server.in_force.doubt()
    assert (await refusal(client, "Patient?race=blue"))[0] == 400
    await walk(server)
    assert await rows(server) == before


async def rows(server: Server) -> dict[str, list[Any]]:
    """All index rows of patients."""
    tables = ("terms", "edge", "idx_date", "idx_string", "idx_code", "idx_number", "idx_quantity")
    found = {}
    async with server.database.connection() as connection:
        patients = "SELECT key FROM terms WHERE type_id = %s"
        type_id = server.definitions.type_ids["Patient"]
        for table in tables:
            key = "source_key" if table == "edge" else "key"
            sql = f"SELECT t.* FROM {table} t WHERE {key} IN ({patients}) ORDER BY t::text"
            cursor = await connection.execute(sql, (type_id,))
            found[table] = await cursor.fetchall()
    return found


async def test_a_resource_changed_while_the_walk_reads_it_is_indexed_as_it_is_now(
    server: Server, client: httpx.AsyncClient
) -> None:
    for number in range(1, 6):
        await put(client, patient(number))
    await define(client, definition())
    await asyncio.gather(walk(server), put(client, patient(1, "red")))
    server.in_force.doubt()
    assert await ids(client, "Patient?race=blue") == {"p2", "p3", "p4", "p5"}
    assert await ids(client, "Patient?race=red") == {"p1"}


async def test_the_rows_of_a_walk_are_those_of_a_write(
    server: Server, client: httpx.AsyncClient
) -> None:
    """A rebuild makes the same rows as the walk did, and as the writes before."""
    for number in range(1, 4):
        await put(client, patient(number, ["blue", None, "red"][number - 1]))
    await define(client, definition())
    await define(client, definition("when", type="date", expression="Patient.birthDate"), "two")
    await walk(server)
    walked = await rows(server)
    assert (await client.post("/$reindex")).status_code == 202
    await reindex.run(server, {})
    assert await rows(server) == walked


async def test_a_write_that_began_before_the_parameter_is_waited_for(
    server: Server, client: httpx.AsyncClient
) -> None:
    caller = trusted("test", "rest")
    entry = Entry("PUT", "Patient/p1", patient(1), json.dumps(patient(1)).encode())
    async with server.database.transaction() as connection:
        await transaction(server, connection, caller, [entry], bundle=False)
        await define(client, definition())
        walking = asyncio.create_task(reindex.run(server, {}))
        while not (walking.done() or await _waits(server)):  # noqa: ASYNC110  (no event)
            await asyncio.sleep(0.01)
        assert not walking.done()
    await walking
    server.in_force.doubt()
    assert await ids(client, "Patient?race=blue") == {"p1"}


async def _waits(server: Server) -> bool:
    """Whether the walk has looked for the writes that go on."""
    sql = "SELECT FROM pg_stat_activity WHERE query LIKE '%pg_locks%' AND pid <> pg_backend_pid()"
    async with server.database.connection() as connection:
        return await (await connection.execute(sql)).fetchone() is not None


async def test_a_process_that_has_not_heard_of_it_indexes_it_all_the_same(
    server: Server, client: httpx.AsyncClient, settings: Settings, database_url: str
) -> None:
    async with wiring.running(settings, database_url, server.base) as other:
        transport = httpx.ASGITransport(app=create_app(other))
        async with httpx.AsyncClient(transport=transport, base_url=server.base) as elsewhere:
            await put(elsewhere, patient(1))
            await define(client, definition())
            await walk(server)
            await put(elsewhere, patient(2))
            await put(elsewhere, patient(1, "red"))
            created = await elsewhere.post("/Patient", json=patient(3))
            assert created.status_code == 201
    assert await ids(client, "Patient?race=red") == {"p1"}
    assert await ids(client, "Patient?race=blue") == {"p2", created.json()["id"]}


async def test_writes_all_the_while_are_all_found(
    server: Server, client: httpx.AsyncClient, settings: Settings, database_url: str
) -> None:
    """Two processes write, others change and take away parameters, and none is missed."""
    stop = asyncio.Event()

    async def write(http: httpx.AsyncClient, first: int) -> set[str]:
        numbers = itertools.count(first, 2)
        written = set()
        while not stop.is_set():
            number = next(numbers)
            await put(http, patient(number), 201)
            written.add(f"p{number}")
        return written

    async with wiring.running(settings, database_url, server.base) as other:
        transport = httpx.ASGITransport(app=create_app(other))
        async with httpx.AsyncClient(transport=transport, base_url=server.base) as elsewhere:
            writers = [
                asyncio.create_task(write(http, n)) for n, http in enumerate((client, elsewhere))
            ]
            for number in range(4):
                await define(client, definition(f"race-{number}"), f"sp{number}")
                await asyncio.sleep(0.05)
                await reindex.run(server, {})
            stop.set()
            written = set().union(*await asyncio.gather(*writers))
    server.in_force.doubt()
    for number in range(4):
        assert await ids(client, f"Patient?race-{number}=blue&_count=1000") == written
