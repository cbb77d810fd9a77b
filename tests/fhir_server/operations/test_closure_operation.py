"""`$closure`: a table that grows, told in steps."""

import asyncio
from typing import Any

import httpx
import pytest

from fhir_server.config import Settings, TerminologySettings

Json = dict[str, Any]

FHIR = {"content-type": "application/fhir+json"}
URL = "http://example.org/animals"
CONCEPTS = 12


def _animals() -> list[Json]:
    chain: Json = {"code": f"a{CONCEPTS - 1}"}
    for n in reversed(range(CONCEPTS - 1)):
        chain = {"code": f"a{n}", "concept": [chain]}
    return [chain, {"code": "stone"}]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    terminology = TerminologySettings(closure_concepts=CONCEPTS)
    return settings.model_copy(update={"terminology": terminology})


@pytest.fixture
async def animals(client: httpx.AsyncClient) -> httpx.AsyncClient:
    system = {
        "resourceType": "CodeSystem",
        "url": URL,
        "status": "active",
        "content": "complete",
        "hierarchyMeaning": "is-a",
        "concept": _animals(),
    }
    assert (await client.post("/CodeSystem", json=system, headers=FHIR)).status_code == 201
    return client


async def call(client: httpx.AsyncClient, *codes: str, version: str = "") -> httpx.Response:
    given: list[Json] = [{"name": "name", "valueString": "zoo"}]
    given += [{"name": "concept", "valueCoding": {"system": URL, "code": one}} for one in codes]
    if version:
        given.append({"name": "version", "valueString": version})
    asked = {"resourceType": "Parameters", "parameter": given}
    return await client.post("/$closure", json=asked, headers=FHIR)


def told(answer: httpx.Response) -> set[tuple[str, str, str]]:
    """Source, equivalence and target of each entry."""
    assert answer.status_code == 200, answer.text
    return {
        (element["code"], target["equivalence"], target.get("code", ""))
        for group in answer.json().get("group", [])
        for element in group["element"]
        for target in element["target"]
    }


def version(answer: httpx.Response) -> int:
    return int(answer.json()["version"])


async def test_only_what_is_new_is_told_and_the_version_grows(animals: httpx.AsyncClient) -> None:
    begun = await call(animals)
    assert (begun.json()["resourceType"], told(begun)) == ("ConceptMap", set())
    first = await call(animals, "a1", "stone")
    assert told(first) == set()
    below = await call(animals, "a3", "a1")
    assert told(below) == {("a3", "subsumes", "a1")}
    above = await call(animals, "a0")
    assert told(above) == {("a3", "subsumes", "a0"), ("a1", "subsumes", "a0")}
    unknown = await call(animals, "none")
    assert told(unknown) == {("none", "unmatched", "")}
    answers = [begun, first, below, above, unknown]
    assert [version(one) for one in answers] == [1, 2, 3, 4, 5]


async def test_what_is_known_adds_nothing(animals: httpx.AsyncClient) -> None:
    await call(animals)
    first = await call(animals, "a0", "a1")
    again = await call(animals, "a1", "a0")
    assert (version(again), told(again)) == (version(first), set())


async def test_what_came_since_a_version_is_told_again(animals: httpx.AsyncClient) -> None:
    begun = await call(animals)
    first = await call(animals, "a0", "a1")
    second = await call(animals, "a2")
    since = await call(animals, version=str(version(first)))
    assert (version(since), told(since)) == (version(second), told(second))
    whole = await call(animals, version=str(version(begun)))
    assert told(whole) == told(first) | told(second)
    assert told(await call(animals, version=str(version(second)))) == set()


async def test_a_table_begun_anew_is_empty_and_its_version_is_new(
    animals: httpx.AsyncClient,
) -> None:
    await call(animals)
    before = await call(animals, "a0", "a1")
    begun = await call(animals)
    assert version(begun) > version(before)
    assert told(await call(animals, version="0")) == set()
    assert told(await call(animals, "a1")) == set()


async def test_those_who_add_at_once_miss_nothing_of_one_another(
    animals: httpx.AsyncClient,
) -> None:
    await call(animals)
    added = await asyncio.gather(*(call(animals, f"a{n}") for n in range(CONCEPTS)))
    found = [told(one) for one in added]
    expected = {(f"a{n}", "subsumes", f"a{m}") for n in range(CONCEPTS) for m in range(n)}
    assert set().union(*found) == expected
    assert sum(map(len, found)) == len(expected)
    assert sorted(map(version, added)) == list(range(2, CONCEPTS + 2))
    assert told(await call(animals, version="1")) == expected


async def test_a_table_has_an_end(animals: httpx.AsyncClient) -> None:
    await call(animals)
    await call(animals, *(f"a{n}" for n in range(CONCEPTS)))
    refused = await call(animals, "stone")
    assert (refused.status_code, refused.json()["issue"][0]["code"]) == (422, "too-costly")
    assert (await call(animals, "a0")).status_code == 200


async def test_what_cannot_be_added_is_refused(animals: httpx.AsyncClient) -> None:
    unnamed = await call(animals, "a0")
    assert (unnamed.status_code, unnamed.json()["issue"][0]["code"]) == (404, "not-found")
    await call(animals)
    assert (await call(animals, "a0", version="1")).status_code == 400
    coding = {"system": "http://example.org/unknown", "code": "a0"}
    given = [{"name": "name", "valueString": "zoo"}, {"name": "concept", "valueCoding": coding}]
    asked = {"resourceType": "Parameters", "parameter": given}
    unknown = await animals.post("/$closure", json=asked, headers=FHIR)
    assert (unknown.status_code, unknown.json()["issue"][0]["code"]) == (404, "not-found")
    assert version(await call(animals, version="0")) == 1
