"""What every implementation of a code system must do.

A new one is added to MAKERS, by the name of a fixture: a function from a CodeSystem resource.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from loaded import Loaded, pool
from resources import animals

from terminology.code_system import CodeSystem, Query
from terminology.code_system_resource import read_code_system
from terminology.concepts import Json
from terminology.filters import Filter, UnsupportedFilter

Maker = Callable[[Json], Awaitable[CodeSystem]]
MAKERS = ["in_memory", "in_postgres"]

EVERY = ["animal", "dog", "poodle", "cat", "dodo"]


@pytest.fixture(scope="module")
def in_memory() -> Maker:
    async def make(resource: Json) -> CodeSystem:
        return read_code_system(resource)

    return make


@pytest.fixture(scope="module")
async def in_postgres(own_database: str) -> AsyncIterator[Maker]:
    async with pool(own_database) as connections:
        yield Loaded(own_database, connections)


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Maker:
    return request.getfixturevalue(request.param)


def is_a(code: str) -> Filter:
    return Filter("concept", "is-a", code)


async def chosen(system: CodeSystem, query: Query) -> tuple[list[str], int]:
    selection = await system.select(query)
    return [one.code for one in selection.concepts], selection.total


async def test_concepts_are_found_by_code(make: Maker) -> None:
    found = await (await make(animals())).find(["dog", "DOG", "yeti"])
    assert {code: one.display for code, one in found.items()} == {"dog": "Dog"}


async def test_case_means_nothing_where_the_system_says_so(make: Maker) -> None:
    found = await (await make(animals(caseSensitive=False))).find(["DoG"])
    assert {code: one.code for code, one in found.items()} == {"DoG": "dog"}


async def test_filters_are_tested_on_the_codes_given(make: Maker) -> None:
    system = await make(animals())
    assert await system.test((is_a("dog"),), ["poodle", "cat", "yeti"]) == {"poodle"}
    assert await system.test((), ["dog", "yeti"]) == {"dog"}


async def test_a_page_has_the_total_of_all(make: Maker) -> None:
    system = await make(animals())
    assert await chosen(system, Query()) == (EVERY, 5)
    assert await chosen(system, Query(offset=1, limit=2)) == (["dog", "poodle"], 5)
    assert await chosen(system, Query(offset=9, limit=2)) == ([], 5)
    assert await chosen(system, Query(limit=0)) == ([], 5)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(filters=(is_a("animal"), Filter("legs", "=", "4"))), ["dog", "cat"]),
        (Query(excluded=((is_a("dog"),), (Filter("legs", "=", "2"),))), ["animal", "cat"]),
        (Query(active_only=True, selectable_only=True), ["dog", "poodle", "cat"]),
        (Query(text="do"), ["dog", "dodo"]),
        (Query(text="hun"), ["dog"]),
        (Query(text="hun", languages=("en",)), []),
        (Query(text="hun", languages=("de",)), ["dog"]),
    ],
    ids=str,
)
async def test_a_query_narrows(make: Maker, query: Query, expected: list[str]) -> None:
    assert await chosen(await make(animals()), query) == (expected, len(expected))


async def test_edges_are_answered_for_many_codes_at_once(make: Maker) -> None:
    system = await make(animals())
    assert dict(await system.parents(["poodle", "cat", "animal", "yeti"])) == {
        "poodle": ("dog",),
        "cat": ("animal",),
    }
    assert dict(await system.children(["animal", "cat"])) == {"animal": ("dog", "cat")}


async def test_only_an_ancestor_subsumes(make: Maker) -> None:
    system = await make(animals())
    pairs = [("animal", "poodle"), ("dog", "dog"), ("poodle", "animal"), ("cat", "poodle")]
    assert [await system.subsumes(*pair) for pair in pairs] == [True, False, False, False]


async def test_a_filter_that_is_not_understood_is_told(make: Maker) -> None:
    with pytest.raises(UnsupportedFilter):
        await (await make(animals())).select(Query(filters=(Filter("colour", "=", "red"),)))
