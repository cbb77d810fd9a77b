"""Stored terminology counts from the moment it is written, in every process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from fhir_server.config import Settings
from fhir_server.main import wiring
from fhir_server.server import Server

Json = dict[str, Any]
BASE = "http://testserver/fhir"
COLOURS = "http://example.org/colours"


@pytest.fixture
async def other(server: Server, database_url: str, settings: Settings) -> AsyncIterator[Server]:
    """Another process over the same database, so to speak: it shares no memory with the first."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(wiring.running(settings, database_url, BASE))


def colours(*codes: str, **members: Any) -> Json:
    return {
        "resourceType": "CodeSystem",
        "id": "colours",
        "url": COLOURS,
        "version": "1",
        "status": "active",
        "content": "complete",
        "valueSet": f"{COLOURS}/all",
        "concept": [{"code": code} for code in codes],
        **members,
    }


def picked(id_: str, **members: Any) -> Json:
    return {
        "resourceType": "ValueSet",
        "id": id_,
        "url": "http://example.org/picked",
        "status": "active",
        "compose": {"include": [{"system": COLOURS}]},
        **members,
    }


async def put(client: httpx.AsyncClient, resource: Json) -> None:
    place = f"/{resource['resourceType']}/{resource['id']}"
    answered = await client.put(place, json=resource)
    assert answered.status_code in {200, 201}, answered.text


async def known(server: Server, *codes: str) -> set[str]:
    """Those of the codes that the library's latest colours have."""
    systems = await server.vocabulary.code_systems(COLOURS)
    return {code for one in systems for code in await one.find(codes)}


async def test_what_was_written_is_read_at_once_in_every_process(
    server: Server, other: Server, client: httpx.AsyncClient
) -> None:
    assert await known(other, "red") == set()
    await put(client, colours("red"))
    assert [await known(one, "red", "blue") for one in (server, other)] == [{"red"}, {"red"}]
    await put(client, colours("red", "blue"))
    assert [await known(one, "red", "blue") for one in (server, other)] == [{"red", "blue"}] * 2
    await client.delete("/CodeSystem/colours")
    assert [await known(one, "red", "blue") for one in (server, other)] == [set(), set()]


WRITE = """
WITH gone AS (UPDATE resource SET deleted = true WHERE id = 'colours' RETURNING *)
INSERT INTO change (feed_xid, key, version, type_id, method, at)
SELECT pg_current_xact_id(), key, version, type_id, 0, now() FROM gone
"""


async def test_a_write_that_commits_late_is_seen_though_it_began_before_the_last_look(
    server: Server, other: Server, client: httpx.AsyncClient
) -> None:
    await put(client, colours("red"))
    async with server.database.transaction() as held:
        await held.execute(WRITE)
        for code in ("blue", "green"):
            await put(client, colours(code, id=code, url=f"{COLOURS}/{code}"))
            assert await known(other, "red") == {"red"}
    assert await known(other, "red") == set()


async def test_what_did_not_change_is_read_once(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(client, colours("red"))
    first = await server.vocabulary.code_systems(COLOURS)
    await put(client, picked("a"))
    answers = await asyncio.gather(*(server.vocabulary.code_systems(COLOURS) for _ in range(20)))
    assert {id(one) for (one,) in answers} == {id(first[0])}


async def test_an_operation_asks_all_of_one_state(
    server: Server, client: httpx.AsyncClient
) -> None:
    await put(client, colours("red"))
    before = await server.vocabulary.present()
    for codes in (("red",), ("blue",)):
        await put(client, colours(*codes))
        (system,) = await before.code_systems(COLOURS)
        assert set(await system.find(["red", "blue"])) == {"red"}
    assert await known(server, "red", "blue") == {"blue"}


async def test_a_stored_code_system_implies_its_value_set(
    server: Server, client: httpx.AsyncClient
) -> None:
    assert await server.vocabulary.value_sets(f"{COLOURS}/all") == []
    await put(client, colours("red"))
    (found,) = await server.vocabulary.value_sets(f"{COLOURS}/all")
    assert [include.system for include in found.includes] == [COLOURS]
    await put(client, colours("red", valueSet=f"{COLOURS}/others"))
    assert await server.vocabulary.value_sets(f"{COLOURS}/all") == []


async def test_a_draft_and_a_retired_version_are_found_but_superseded_by_an_active_one(
    server: Server, client: httpx.AsyncClient
) -> None:
    for version, status in (("1", "active"), ("2", "retired"), ("3", "draft")):
        await put(client, picked(f"v{version}", version=version, status=status))
    found = await server.vocabulary.value_sets("http://example.org/picked")
    assert {one.version: one.superseded for one in found} == {"1": False, "2": True, "3": True}


async def test_of_two_resources_of_one_version_the_active_one_counts(
    server: Server, client: httpx.AsyncClient
) -> None:
    await put(client, picked("a", version="1", title="active"))
    await put(client, picked("b", version="1", title="newer", status="draft"))
    (found,) = await server.vocabulary.value_sets("http://example.org/picked")
    assert found.resource["title"] == "active"


async def test_a_stored_edition_hides_the_same_version_that_is_built_in(
    server: Server, client: httpx.AsyncClient
) -> None:
    gender = {
        "id": "gender",
        "url": "http://hl7.org/fhir/administrative-gender",
        "version": "4.0.1",
        "valueSet": "http://hl7.org/fhir/ValueSet/administrative-gender",
    }
    await put(client, colours("male", "elsewhere", **gender))
    (found,) = await server.vocabulary.code_systems(gender["url"])
    assert set(await found.find(["female", "elsewhere"])) == {"elsewhere"}


async def test_concept_maps_are_found_by_the_systems_of_their_groups(
    server: Server, client: httpx.AsyncClient
) -> None:
    group = {"source": COLOURS, "target": "http://example.org/paints", "element": [{"code": "red"}]}
    named: Json = {"resourceType": "ConceptMap", "status": "active"}
    await put(client, {**named, "id": "a", "url": "http://example.org/map", "group": [group]})
    for asked in (
        ("http://example.org/map", None),
        (None, COLOURS),
        (None, "http://example.org/paints"),
    ):
        (found,) = await server.vocabulary.concept_maps(*asked)
        assert found.url == "http://example.org/map"
    assert await server.vocabulary.concept_maps(None, "http://example.org/none") == []


async def test_the_systems_of_all_layers_are_listed_with_their_versions(
    server: Server, client: httpx.AsyncClient
) -> None:
    await put(client, colours("red"))
    await put(client, colours("red", id="next", version="2"))
    await put(
        client, colours("red", id="absent", url="http://example.org/x", content="not-present")
    )
    listed = await server.vocabulary.systems()
    assert sorted(listed[COLOURS]) == ["1", "2"]
    assert list(listed["http://hl7.org/fhir/administrative-gender"]) == ["4.0.1"]
    assert "http://example.org/x" not in listed


@pytest.mark.parametrize(("status", "counts"), [("draft", "4.0.1"), ("active", "99.0.0")])
async def test_only_an_active_version_displaces_what_comes_with_the_server(
    status: str, counts: str, server: Server, client: httpx.AsyncClient
) -> None:
    gender = "http://hl7.org/fhir/administrative-gender"
    await put(client, colours("male", url=gender, version="99.0.0", status=status))
    pinned = {"system": gender, "code": "male", "version": "99.0.0"}
    for asked, version in (({"system": gender, "code": "male"}, counts), (pinned, "99.0.0")):
        answered = (await client.get("/CodeSystem/$lookup", params=asked)).json()
        found = {one["name"]: one.get("valueString") for one in answered["parameter"]}
        assert found["version"] == version


async def test_a_draft_value_set_does_not_displace_one_that_comes_with_the_server(
    client: httpx.AsyncClient,
) -> None:
    url = "http://hl7.org/fhir/ValueSet/administrative-gender"
    await put(client, picked("gender", url=url, version="99.0.0", status="draft"))
    for asked, status in ((url, 200), (f"{url}|99.0.0", 404)):
        answered = await client.get("/ValueSet/$expand", params={"url": asked})
        assert answered.status_code == status
