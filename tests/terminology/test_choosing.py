"""What was chosen is whole, whoever else asks meanwhile."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from terminology import choosing
from terminology.choosing import Choices
from terminology.code_system import CodeSystem
from terminology.concept_map import ConceptMap
from terminology.filters import Filter
from terminology.issues import Refusal
from terminology.library import Shelf
from terminology.value_set import ValueSet

URL = "http://example.org/animals"
SHELF = Shelf(
    [
        {
            "resourceType": "CodeSystem",
            "url": URL,
            "status": "active",
            "content": "complete",
            "caseSensitive": True,
            "concept": [{"code": "cat", "concept": [{"code": "lion"}, {"code": "tiger"}]}],
        },
        {
            "resourceType": "ValueSet",
            "url": "http://example.org/vs",
            "status": "active",
            "compose": {"include": [{"system": URL, "concept": [{"code": "lion"}]}]},
        },
    ]
)


class Waiting:
    """A code system that tests codes when it is let."""

    def __init__(self, inner: CodeSystem) -> None:
        self.inner = inner
        self.let = asyncio.Event()
        self.asked: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def test(self, filters: tuple[Filter, ...], codes: Collection[str]) -> frozenset[str]:
        self.asked.append(len(codes))
        await self.let.wait()
        return await self.inner.test(filters, codes)


class Library:
    """The shelf, its one code system waiting."""

    def __init__(self, system: Waiting) -> None:
        self.system = system

    async def code_systems(self, url: str) -> Sequence[CodeSystem]:
        return [self.system] if url == URL else []

    async def value_sets(self, url: str) -> Sequence[ValueSet]:
        return await SHELF.value_sets(url)

    async def concept_maps(self, url: str | None, system: str | None) -> Sequence[ConceptMap]:
        return await SHELF.concept_maps(url, system)

    async def systems(self) -> Mapping[str, Sequence[str]]:
        return await SHELF.systems()


@pytest.fixture
async def system() -> Waiting:
    (inner,) = await SHELF.code_systems(URL)
    return Waiting(inner)


USED = {URL: ["lion", "tiger", "dog"]}


async def test_who_asks_while_another_waits_gets_the_whole(system: Waiting) -> None:
    choices, library = Choices(), Library(system)
    asked = [
        asyncio.create_task(choices.related(library, 1, "below", (URL, "cat"), USED))
        for _ in range(2)
    ]
    await asyncio.sleep(0)
    system.let.set()
    for one in asked:
        assert await one == {(URL, "lion"), (URL, "tiger")}


async def test_who_gives_up_leaves_nothing_out(system: Waiting) -> None:
    choices, library = Choices(), Library(system)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await choices.members(library, 1, "http://example.org/vs", USED)
    system.let.set()
    assert await choices.members(library, 1, "http://example.org/vs", USED) == {(URL, "lion")}


async def test_only_what_is_new_is_looked_at(system: Waiting) -> None:
    choices, library, used = Choices(), Library(system), {URL: ["lion", "dog"]}
    system.let.set()
    await choices.related(library, 1, "below", (URL, "cat"), used)
    used[URL].append("tiger")
    found = await choices.related(library, 1, "below", (URL, "cat"), used)
    assert found == {(URL, "lion"), (URL, "tiger")}
    assert system.asked == [2, 1]


COLOURS = "http://example.org/colours"


def colours(*include: dict[str, Any], sensitive: bool) -> Shelf:
    return Shelf(
        [
            {
                "resourceType": "CodeSystem",
                "url": COLOURS,
                "status": "active",
                "content": "complete",
                "caseSensitive": sensitive,
                "concept": [{"code": "Red"}, {"code": "Blue"}],
            },
            {
                "resourceType": "ValueSet",
                "url": "http://example.org/vs",
                "status": "active",
                "compose": {"include": list(include)},
            },
        ]
    )


@pytest.mark.parametrize("most", [2, 5_000], ids=["listed", "tested"])
@pytest.mark.parametrize(
    ("sensitive", "codes"), [(True, {"Red"}), (False, {"Red", "RED", "red"})], ids=["yes", "no"]
)
async def test_case_counts_as_the_system_says_however_the_codes_are_compared(
    sensitive: bool,  # noqa: FBT001  (a member of a resource)
    codes: set[str],
    most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choosing, "_LISTED", most)
    shelf = colours({"system": COLOURS, "concept": [{"code": "Red"}]}, sensitive=sensitive)
    used = {COLOURS: ["RED", "red", "Red", "BLUE", "green"]}
    found = await Choices().members(shelf, 1, "http://example.org/vs", used)
    assert found == {(COLOURS, code) for code in codes}


async def test_a_filter_that_cannot_be_evaluated_is_refused_though_no_code_is_in_use() -> None:
    wrong = {"property": "colour", "op": "=", "value": "red"}
    shelf = colours({"system": COLOURS, "filter": [wrong]}, sensitive=True)
    with pytest.raises(Refusal):
        await Choices().members(shelf, 1, "http://example.org/vs", {})
