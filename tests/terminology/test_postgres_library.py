"""What serves is found, and a switch of releases is seen."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from loaded import load, pool
from psycopg_pool import AsyncConnectionPool
from resources import ANIMALS, animals

from terminology.issues import Refusal
from terminology.loaders.write import remove_release
from terminology.operations import Call, answer
from terminology.postgres.library import PostgresLibrary
from terminology.postgres.texts import index_text, query_text


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def connections(database_url: str) -> AsyncIterator[AsyncConnectionPool[Any]]:
    async with pool(database_url) as opened:
        yield opened


async def test_a_switch_is_seen_at_the_next_look(
    database_url: str, connections: AsyncConnectionPool[Any]
) -> None:
    clock = Clock()
    library = PostgresLibrary(connections, seconds=1.0, clock=clock)
    await load(database_url, animals(version="1"))
    (old,) = await library.code_systems(ANIMALS)
    await load(database_url, animals(version="2", title="Newer"))
    await remove_release(database_url, ANIMALS, "1", grace=0)
    assert await library.code_systems(ANIMALS) == [old]
    clock.now = 2.0
    (new,) = await library.code_systems(ANIMALS)
    assert (new.head.version, new.head.title) == ("2", "Newer")
    assert await library.systems() == {ANIMALS: ["2"]}
    assert list(await new.find(["dog"])) == ["dog"]
    with pytest.raises(Refusal) as refused:
        await old.find(["dog"])
    assert refused.value.status == 404


async def test_releases_serve_side_by_side(
    database_url: str, connections: AsyncConnectionPool[Any]
) -> None:
    await load(database_url, animals(version="1"))
    await load(database_url, animals(version="2", concept=[{"code": "yeti"}]))
    library = PostgresLibrary(connections)
    known = {one.head.version: one for one in await library.code_systems(ANIMALS)}
    assert {version: list(await one.find(["dog", "yeti"])) for version, one in known.items()} == {
        "1": ["dog"],
        "2": ["yeti"],
    }


async def test_the_operations_answer_from_what_is_loaded(
    database_url: str, connections: AsyncConnectionPool[Any]
) -> None:
    await load(database_url, animals())
    library = PostgresLibrary(connections)
    everything = {"name": "url", "valueUri": "http://example.org/all-animals"}
    expanded = await answer(library, _call("ValueSet", "expand", everything))
    codes = [one["code"] for one in expanded.resource["expansion"]["contains"]]
    assert (expanded.status, codes) == (200, ["animal", "dodo"])
    parts = [{"name": "system", "valueUri": ANIMALS}, {"name": "code", "valueCode": "dog"}]
    found = await answer(library, _call("CodeSystem", "lookup", *parts))
    said = {one["name"]: one for one in found.resource["parameter"]}
    assert said["display"]["valueString"] == "Dog"


def _call(kind: str, operation: str, *parameters: dict[str, Any]) -> Call:
    return Call(kind, operation, {"resourceType": "Parameters", "parameter": list(parameters)})


@pytest.mark.parametrize(
    ("text", "folded", "words"),
    [
        ("Hay FÈVER", "hay fever", "hay .h .ha fever .f .fe"),
        ("IgA, IgA", "iga, iga", "iga .i .ig"),
        ("+/-", "+/-", ""),
    ],
)
def test_a_text_is_indexed_by_words_and_their_beginnings(
    text: str, folded: str, words: str
) -> None:
    assert index_text(text) == (folded, words)


@pytest.mark.parametrize(
    ("typed", "query"),
    [
        ("Hay", "'hay':*"),
        ("fe ha", "'.fe' & '.ha'"),
        ("fever'; fever", "'fever':*"),
        ("&|!", None),
    ],
)
def test_what_is_typed_asks_for_words_that_begin_so(typed: str, query: str | None) -> None:
    assert query_text(typed) == query
