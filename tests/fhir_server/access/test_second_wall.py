"""The second wall: with the first one off, the database shows no foreign body.

The first wall is what `restriction` compiles; here it is made to let everything through, as a
fault in it might.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import errors

from fhir_server import second_wall
from fhir_server.access import reach, restriction
from fhir_server.caller import Caller
from fhir_server.database import Database
from fhir_server.interactions.search import search
from fhir_server.rights import Cleared, Grant, Inside, Rights
from fhir_server.search.condition import ALWAYS
from fhir_server.server import Server
from fhir_server.store import shown

from .restricted import Asking, asking

__all__ = ["asking"]

Json = dict[str, Any]

STAFF = Rights(((Grant("Patient", "rs"), Grant("Observation", "rs", (Cleared("N"),))),))
OWN = Rights(((Grant("*", "rs", (Inside("Patient", "mine"),)),),))
FOREIGN = "Planted-Foreign-Word"

RESOURCES: list[Json] = [
    {"resourceType": "Patient", "id": "mine", "name": [{"family": "Rao"}]},
    {"resourceType": "Patient", "id": "other", "name": [{"family": FOREIGN}]},
    {
        "resourceType": "Observation",
        "id": "seen",
        "status": "final",
        "code": {"text": "weight"},
        "subject": {"reference": "Patient/mine"},
        "encounter": {"reference": "Encounter/hidden"},
    },
    {
        "resourceType": "Observation",
        "id": "foreign",
        "status": "final",
        "code": {"text": FOREIGN},
        "subject": {"reference": "Patient/other"},
    },
    {
        "resourceType": "Encounter",
        "id": "hidden",
        "status": "finished",
        "class": {"code": FOREIGN},
        "subject": {"reference": "Patient/other"},
    },
    {
        "resourceType": "List",
        "id": "names",
        "status": "current",
        "mode": "working",
        "title": FOREIGN,
        "entry": [{"item": {"reference": "Patient/mine"}}],
    },
]


@pytest.fixture
async def filled(client: httpx.AsyncClient, asking: Asking) -> AsyncIterator[httpx.AsyncClient]:
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in RESOURCES
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    assert (await client.post("", json=bundle)).status_code == 200
    asking.be_all()
    yield client
    restriction._kept.clear()  # noqa: SLF001  (what was compiled by the broken wall)


@pytest.fixture
def first_wall_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restriction, "_found", lambda *_: ALWAYS)


def be(asking: Asking, rights: Rights) -> None:
    asking.caller = Caller("tests", "rest", rights)


@pytest.mark.parametrize(
    ("rights", "url"),
    [
        pytest.param(STAFF, "/Encounter/hidden", id="read"),
        pytest.param(STAFF, "/Encounter/hidden/_history/1", id="vread"),
        pytest.param(STAFF, "/Encounter/hidden/_history", id="history"),
        pytest.param(STAFF, "/Encounter/_history", id="history of a type"),
        pytest.param(STAFF, "/_history", id="history of all"),
        pytest.param(STAFF, "/Encounter", id="search"),
        pytest.param(STAFF, "/Encounter?_sort=status", id="sorted search"),
        pytest.param(STAFF, "/?_type=Encounter,Patient", id="search of types"),
        pytest.param(STAFF, "/Observation?_id=seen&_include=Observation:encounter", id="include"),
        pytest.param(STAFF, "/Patient?_revinclude=Encounter:patient", id="revinclude"),
        pytest.param(STAFF, "/Patient?_list=names", id="list"),
        pytest.param(OWN, "/Patient/other", id="read of another patient"),
        pytest.param(OWN, "/Observation/foreign", id="read of another's result"),
        pytest.param(OWN, "/Observation", id="search of others' results"),
        pytest.param(OWN, "/Patient/other/Observation", id="compartment of another"),
    ],
)
@pytest.mark.usefixtures("first_wall_off")
async def test_without_the_first_wall_the_second_shows_nothing_foreign(
    filled: httpx.AsyncClient, asking: Asking, rights: Rights, url: str
) -> None:
    before = shown.kept_back._value.get()  # noqa: SLF001
    be(asking, rights)
    answer = await filled.get(url)
    assert (answer.status_code, FOREIGN in answer.text) == (500, False)
    assert shown.kept_back._value.get() > before  # noqa: SLF001


@pytest.mark.usefixtures("first_wall_off")
async def test_reads_in_a_batch_and_a_transaction_are_behind_it_too(
    filled: httpx.AsyncClient, asking: Asking
) -> None:
    be(asking, STAFF)
    urls = ["Encounter/hidden", "Encounter?status=finished", "Patient/mine"]
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    answer = await filled.post("", json=bundle)
    found = [one["response"]["status"][:3] for one in answer.json()["entry"]]
    assert (found, FOREIGN in answer.text) == (["500", "500", "200"], False)
    answer = await filled.post("", json=bundle | {"type": "transaction"})
    assert (answer.status_code, FOREIGN in answer.text) == (500, False)


PATCH = [{"op": "add", "path": "/language", "value": "en"}]
PATCHING = {"Content-Type": "application/json-patch+json"}
WRITER = Rights(((Grant("Observation", "u", (Inside("Patient", "mine"),)),),))


@pytest.mark.usefixtures("first_wall_off")
async def test_what_a_patch_finds_is_behind_it(filled: httpx.AsyncClient, asking: Asking) -> None:
    for rights, url in ((STAFF, "/Encounter/hidden"), (WRITER, "/Observation/foreign")):
        be(asking, rights)
        answer = await filled.patch(url, content=json.dumps(PATCH), headers=PATCHING)
        assert (answer.status_code, FOREIGN in answer.text) == (500, False)
    be(asking, WRITER)
    answer = await filled.patch("/Observation/seen", content=json.dumps(PATCH), headers=PATCHING)
    assert answer.status_code == 200


@pytest.mark.usefixtures("first_wall_off")
async def test_what_a_conditional_create_found_is_behind_it(
    filled: httpx.AsyncClient, asking: Asking
) -> None:
    be(asking, STAFF)
    headers = {"If-None-Exist": "status=finished", "Prefer": "return=representation"}
    answer = await filled.post("/Encounter", json=RESOURCES[4], headers=headers)
    assert (answer.status_code, FOREIGN in answer.text) == (500, False)


@pytest.mark.parametrize(
    ("rights", "url"),
    [
        (STAFF, "/Patient/mine"),
        (STAFF, "/Patient/other"),
        (STAFF, "/Observation?_include=Observation:subject"),
        (STAFF, "/Observation/seen/_history/1"),
        (OWN, "/Patient/mine"),
        (OWN, "/Patient/mine/_history"),
        (OWN, "/Observation/seen"),
    ],
)
@pytest.mark.usefixtures("first_wall_off")
async def test_it_lets_through_what_types_and_compartments_allow(
    filled: httpx.AsyncClient, asking: Asking, rights: Rights, url: str
) -> None:
    be(asking, rights)
    assert (await filled.get(url)).status_code == 200


async def test_callers_of_one_session_have_each_their_own_reach(
    filled: httpx.AsyncClient, asking: Asking, server: Server
) -> None:
    for rights, found in ((STAFF, 2), (OWN, 1), (STAFF, 2), (OWN, 1)):
        be(asking, rights)
        answer = await filled.get("/Observation")
        assert len(answer.json()["entry"]) == found
    wall = await server.database.wall()
    assert wall is not None
    assert max(pool.get_stats()["pool_size"] for pool in wall.pools) == 1


async def test_a_session_that_was_told_nothing_fetches_nothing(
    filled: httpx.AsyncClient, server: Server
) -> None:
    assert filled is not None
    wall = await server.database.wall()
    assert wall is not None
    async with wall.pools[0].connection() as session:
        row = await (await session.execute("SELECT count(*) FROM body")).fetchone()
        assert row == (0,)
        every = second_wall.Reach("{%s}" % ",".join(map(str, range(1, 200))))  # noqa: UP031
        await session.execute(second_wall.TELL, every.said)
        row = await (await session.execute("SELECT count(*) FROM body")).fetchone()
        assert row == (len(RESOURCES),)


@pytest.mark.parametrize(
    ("granted", "seen"),
    [
        pytest.param("INSERT", len(RESOURCES), id="one that writes"),
        pytest.param("SELECT", 0, id="one that reads"),
    ],
)
async def test_who_inherits_from_a_reader_is_behind_it_unless_it_writes(
    filled: httpx.AsyncClient, database: Database, granted: str, seen: int
) -> None:
    """As the login of a database_url does on PostgreSQL 15, and where it was granted by hand."""
    assert filled is not None
    async with database.transaction() as connection:
        await connection.execute("CREATE ROLE sangam_test_heir IN ROLE sangam_reader")
        await connection.execute(f"GRANT {granted} ON body TO sangam_test_heir")
        await connection.execute("SET LOCAL ROLE sangam_test_heir")
        row = await (await connection.execute("SELECT count(*) FROM body")).fetchone()
        await connection.execute("SET LOCAL ROLE NONE")
        await connection.execute("DROP OWNED BY sangam_test_heir")
        await connection.execute("DROP ROLE sangam_test_heir")
    assert row == (seen,)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT FROM identity_user",
        "SELECT FROM audit_record",
        "SELECT FROM hl7_message",
        "SELECT FROM asynchronous_request",
        "DELETE FROM body",
        "UPDATE resource SET version = 2",
        "SELECT FROM tenancy.tenant",
    ],
)
async def test_a_reader_reads_what_searches_need_alone(database: Database, statement: str) -> None:
    async with database.restricted(second_wall.Reach("{1}")) as session:
        with pytest.raises(errors.InsufficientPrivilege):
            await session.execute(statement)


async def test_searches_behind_it_use_the_indexes_of_terms(
    server: Server, database: Database
) -> None:
    """Row policies on the searched tables would rule GIN out, whatever it costs otherwise."""
    patients, people = server.definitions.type_ids["Patient"], 3000
    async with database.statement() as connection:
        await connection.execute(
            "INSERT INTO terms SELECT n, %s, 1, now(), ARRAY[n, n + 1] FROM"
            " generate_series(1, %s) AS n",
            (patients, people),
        )
        await connection.execute("ANALYZE terms")
    caller = Caller("tests", "rest", Rights(STAFF.walls, frozenset({"explain"})))
    pairs = [("identifier", "a|b"), ("_explain", "true")]
    bundle = json.loads(await search(server, caller, "Patient", pairs))
    (told,) = json.loads(bundle["entry"][0]["resource"]["issue"][0]["diagnostics"])
    indexes = {one.get("Index Name") for one in nodes(told["path"])}
    assert "terms_terms_ix" in indexes
    assert not any(
        (one["Node Type"], one.get("Relation Name")) == ("Seq Scan", "terms")
        for one in nodes(told["path"])
    )


def nodes(path: Json) -> list[Json]:
    """The nodes of a plan, outermost first."""
    return [path, *(node for one in path.get("Plans", ()) for node in nodes(one))]


async def test_rights_that_grant_the_same_reach_the_same(server: Server) -> None:
    first, second = (Rights(((Grant("Patient", "rs"), Grant("Encounter", "c")),)) for _ in "ab")
    found = reach.reach(server, first)
    number = server.definitions.type_ids["Patient"]
    assert found == reach.reach(server, second) == second_wall.Reach(f"{{{number}}}")
    assert reach.reach(server, first.and_((Grant("Observation", "rs"),))).free == "{}"


async def test_where_no_role_can_be_made_there_is_no_wall(own_database: str) -> None:
    with (
        psycopg.connect(own_database, autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute("CREATE SCHEMA elsewhere")
        connection.execute("CREATE ROLE sangam_nobody")
        connection.execute("GRANT ALL ON SCHEMA elsewhere TO sangam_nobody")
        connection.execute("SET LOCAL search_path = elsewhere")
        connection.execute("SET LOCAL ROLE sangam_nobody")
        assert second_wall.stand(connection) is False
        assert connection.execute(second_wall.STANDS).fetchone() is None
