"""Memberships: asked once, kept for a while, forgotten in time."""

import asyncio
from collections.abc import Sequence

import pytest

from terminology import memberships as memberships_module
from terminology.code_system import CodeSystem
from terminology.concept_map import ConceptMap
from terminology.library import Shelf
from terminology.memberships import Memberships, Question
from terminology.value_set import ValueSet

pytestmark = pytest.mark.anyio

SYSTEM = {
    "resourceType": "CodeSystem",
    "url": "urn:s",
    "status": "active",
    "content": "complete",
    "concept": [{"code": "a", "concept": [{"code": "b"}]}],
}
BELOW = {
    "resourceType": "ValueSet",
    "url": "urn:below",
    "status": "active",
    "compose": {
        "include": [
            {"system": "urn:s", "filter": [{"property": "concept", "op": "is-a", "value": "a"}]}
        ]
    },
}
LISTED = {
    "resourceType": "ValueSet",
    "url": "urn:listed",
    "status": "active",
    "compose": {"include": [{"system": "urn:s", "concept": [{"code": "a"}]}]},
}
ENDLESS = {
    "resourceType": "ValueSet",
    "url": "urn:endless",
    "status": "active",
    "compose": {"include": [{"valueSet": ["urn:endless"]}]},
}


class Counted:
    """A library that counts what it is asked."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.asked = 0

    async def code_systems(self, url: str) -> Sequence[CodeSystem]:
        return await self.shelf.code_systems(url)

    async def value_sets(self, url: str) -> Sequence[ValueSet]:
        self.asked += 1
        return await self.shelf.value_sets(url)

    async def concept_maps(self, url: str | None, system: str | None) -> Sequence[ConceptMap]:
        return await self.shelf.concept_maps(url, system)

    async def systems(self) -> dict[str, Sequence[str]]:
        return {}


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (("urn:below", "urn:s", "b"), True),
        (("urn:below", "urn:s", "x"), False),
        (("urn:below", "urn:t", "b"), False),
        (("urn:below", "", "b"), True),
        (("urn:listed", "urn:s", "a"), True),
        (("urn:listed", "urn:s", "b"), False),
        (("urn:listed", "", "a"), True),
        (("urn:none", "urn:s", "a"), None),
        (("urn:endless", "urn:s", "a"), None),
    ],
)
async def test_answers(question: tuple[str, str, str], answer: bool | None) -> None:  # noqa: FBT001
    memberships = Memberships(Shelf([SYSTEM, BELOW, LISTED, ENDLESS]))
    asked = Question(*question)
    assert memberships.known(asked) == (False, None)
    await memberships.find([asked])
    assert memberships.known(asked) == (True, answer)


class Hanging(Counted):
    """A library that never answers."""

    async def value_sets(self, url: str) -> Sequence[ValueSet]:
        self.asked += 1
        await asyncio.Event().wait()
        return await super().value_sets(url)


async def test_all_questions_together_are_waited_for_as_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memberships_module, "_PATIENCE", 0)
    library = Hanging(Shelf())
    memberships = Memberships(library)
    questions = [Question("urn:below", "urn:s", code) for code in "abc"]
    await memberships.find(questions)
    assert library.asked == 1
    assert [memberships.known(one) for one in questions] == [(True, None)] * 3


async def test_an_answer_is_asked_once_and_forgotten_after_a_minute() -> None:
    library = Counted(Shelf([SYSTEM, BELOW, LISTED]))
    now = [0.0]
    memberships = Memberships(library, clock=lambda: now[0])
    below, listed = Question("urn:below", "urn:s", "b"), Question("urn:listed", "urn:s", "a")
    await memberships.find([below, listed, below])
    asked = library.asked
    await memberships.find([below, listed, Question("urn:listed", "urn:s", "other")])
    assert library.asked == asked
    now[0] = 61.0
    assert memberships.known(below) == memberships.known(listed) == (False, None)
