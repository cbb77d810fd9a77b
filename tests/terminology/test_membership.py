import pytest
from resources import ANIMALS, animals, ask, listed, value_set, where

from terminology.library import Shelf
from terminology.membership import is_member
from terminology.scope import Scope

VS = "http://example.org/vs"


@pytest.mark.parametrize(
    ("system", "code", "expected"),
    [
        (ANIMALS, "dog", True),
        (ANIMALS, "poodle", False),
        (ANIMALS, "yeti", False),
        ("http://example.org/other", "dog", False),
        ("http://example.org/unknown", "x", None),
    ],
)
async def test_a_binding_is_told_whether_a_code_belongs(
    system: str, code: str, *, expected: bool | None
) -> None:
    asked = value_set(
        where("concept", "is-a", "dog"),
        {"system": "http://example.org/unknown"},
        exclude=[listed("poodle")],
    )
    scope = Scope(Shelf([animals(), asked]))
    assert await is_member(scope, VS, system, code) is expected


async def test_an_unknown_value_set_cannot_be_told() -> None:
    assert await is_member(Scope(Shelf()), VS, ANIMALS, "dog") is None


@pytest.mark.parametrize(
    ("exact", "expected"), [(True, ["dodo"]), (False, ["dodo", "dog", "cat"])], ids=str
)
async def test_codes_are_found_by_their_properties(*, exact: bool, expected: list[str]) -> None:
    pairs = [("legs", "2"), ("status", "retired"), ("legs", "4")]
    wanted = [
        {
            "name": "property",
            "part": [{"name": "code", "valueCode": code}, {"name": "value", "valueString": value}],
        }
        for code, value in pairs[: 2 if exact else 3]
    ]
    given = await ask(
        [animals()], "CodeSystem/find-matches", system=ANIMALS, exact=exact, property=wanted
    )
    found = [one["part"][0]["valueCoding"]["code"] for one in given.resource["parameter"]]
    assert found == expected


async def test_matches_are_not_looked_for_without_properties() -> None:
    given = await ask([animals()], "CodeSystem/find-matches", system=ANIMALS, exact=True)
    assert given.status == 400
