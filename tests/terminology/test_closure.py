from resources import ANIMALS, animals

from terminology.closure import relations
from terminology.coding import Coding
from terminology.library import Shelf
from terminology.readings import Readings
from terminology.scope import Scope


def codings(*codes: str) -> list[Coding]:
    return [Coding(ANIMALS, None, code) for code in codes]


async def added(known: list[str], new: list[str]) -> set[tuple[str, str | None, str]]:
    found = await relations(Scope(Shelf([animals()])), codings(*known), codings(*new))
    return {
        (one.source.code or "", one.target.code if one.target else None, one.equivalence)
        for one in found
    }


async def test_new_concepts_are_related_to_one_another() -> None:
    assert await added([], ["animal", "poodle", "cat"]) == {
        ("poodle", "animal", "subsumes"),
        ("cat", "animal", "subsumes"),
    }


async def test_only_what_is_new_is_told() -> None:
    assert await added(["animal", "poodle"], ["dog"]) == {
        ("dog", "animal", "subsumes"),
        ("poodle", "dog", "subsumes"),
    }
    assert await added(["animal", "dog"], ["dog"]) == set()


async def test_an_unknown_concept_is_unmatched() -> None:
    assert await added(["animal"], ["yeti"]) == {("yeti", None, "unmatched")}


def test_the_same_content_is_read_once() -> None:
    readings = Readings()
    first = readings.read(animals())
    assert readings.read(animals()) is first
    assert readings.read(animals("2.0.0")) is not first


def test_the_readings_kept_are_bounded_by_their_size() -> None:
    readings = Readings(most=1)
    first = readings.read(animals())
    assert readings.read(animals()) is first
    readings.read(animals("2.0.0"))
    assert readings.read(animals()) is not first
