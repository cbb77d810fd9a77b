"""A call asks each question once."""

from terminology.library import Shelf
from terminology.once import Once
from terminology.operations import Call, answer

PETS = {
    "resourceType": "CodeSystem",
    "url": "http://example.org/pets",
    "status": "active",
    "content": "complete",
    "valueSet": "http://example.org/all-pets",
    "concept": [{"code": "dog"}],
}
ASKED = {
    "resourceType": "Parameters",
    "parameter": [
        {"name": "url", "valueUri": PETS["valueSet"]},
        {"name": "system", "valueUri": PETS["url"]},
        {"name": "code", "valueCode": "dog"},
    ],
}


async def test_what_is_put_later_is_for_the_next_call() -> None:
    shelf = Shelf()
    once = Once(shelf)
    assert await once.code_systems(PETS["url"]) == ()
    shelf.put(PETS)
    assert await once.code_systems(PETS["url"]) == ()
    assert len(await Once(shelf).code_systems(PETS["url"])) == 1


async def test_the_answers_are_those_of_the_library() -> None:
    shelf = Shelf([PETS])
    call = Call("ValueSet", "validate-code", ASKED)
    assert await answer(Once(shelf), call) == await answer(shelf, call)
    for kind in ("value_sets", "code_systems"):
        for url in (PETS["url"], PETS["valueSet"], "http://example.org/none"):
            found = await getattr(Once(shelf), kind)(url)
            assert list(found) == list(await getattr(shelf, kind)(url))
    assert await Once(shelf).systems() == await shelf.systems()
