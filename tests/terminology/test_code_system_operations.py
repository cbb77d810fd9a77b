import pytest
from resources import ANIMALS, Json, animals, ask, parameters, values

from terminology.library import Shelf
from terminology.operations import Call, answer


def parts(resource: Json, name: str) -> list[Json]:
    """The parts of each parameter of a name, by name."""
    return [
        {p["name"]: next(v for k, v in p.items() if k.startswith("value")) for p in one["part"]}
        for one in resource["parameter"]
        if one["name"] == name
    ]


async def test_lookup_tells_all_of_a_code() -> None:
    answered = await ask([animals()], "CodeSystem/lookup", system=ANIMALS, code="dog", property="*")
    found = values(answered.resource)
    assert {key: found[key] for key in ("name", "version", "display", "abstract")} == {
        "name": "Animals",
        "version": "1.0.0",
        "display": "Dog",
        "abstract": False,
    }
    assert parts(answered.resource, "designation") == [
        {"language": "en", "value": "Dog"},
        {"language": "de", "value": "Hund"},
    ]
    assert parts(answered.resource, "property") == [
        {"code": "inactive", "value": False},
        {"code": "legs", "value": 4},
        {"code": "parent", "description": "Animal", "value": "animal"},
        {"code": "child", "description": "Poodle", "value": "poodle"},
    ]


async def test_lookup_shows_the_language_and_the_properties_asked_for() -> None:
    answered = await ask(
        [animals()],
        "CodeSystem/lookup",
        coding={"system": ANIMALS, "code": "dog"},
        property=["legs"],
        displayLanguage="de",
    )
    assert values(answered.resource)["display"] == "Hund"
    assert parts(answered.resource, "property") == [{"code": "legs", "value": 4}]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"system": ANIMALS, "code": "yeti"}, 404),
        ({"system": "http://example.org/none", "code": "dog"}, 404),
        ({"system": ANIMALS, "code": "dog", "version": "7"}, 404),
        ({"system": ANIMALS}, 400),
    ],
    ids=str,
)
async def test_lookup_of_the_unknown_is_refused(given: Json, status: int) -> None:
    assert (await ask([animals()], "CodeSystem/lookup", **given)).status == status


@pytest.mark.parametrize(
    ("one", "other", "outcome"),
    [
        ("dog", "dog", "equivalent"),
        ("animal", "poodle", "subsumes"),
        ("poodle", "animal", "subsumed-by"),
        ("dog", "cat", "not-subsumed"),
    ],
)
async def test_subsumption_follows_the_hierarchy(one: str, other: str, outcome: str) -> None:
    answered = await ask([animals()], "CodeSystem/subsumes", system=ANIMALS, codeA=one, codeB=other)
    assert values(answered.resource) == {"outcome": outcome}


@pytest.mark.parametrize(
    ("system", "given", "status"),
    [
        (animals(), {"codeA": "dog", "codeB": "yeti"}, 404),
        (animals(hierarchyMeaning="part-of"), {"codeA": "dog", "codeB": "cat"}, 422),
        (animals(), {"codeA": "dog"}, 400),
    ],
    ids=["unknown code", "another hierarchy", "one code"],
)
async def test_subsumption_that_means_nothing_is_refused(
    system: Json, given: Json, status: int
) -> None:
    answered = await ask([system], "CodeSystem/subsumes", system=ANIMALS, **given)
    assert answered.status == status


async def test_an_unknown_operation_is_refused() -> None:
    assert (await ask([], "CodeSystem/dance")).status == 400


FOUR_LEGS = {
    "name": "property",
    "part": [{"name": "code", "valueCode": "legs"}, {"name": "value", "valueInteger": 4}],
}


@pytest.mark.parametrize("version", ["1.0.0", None])
@pytest.mark.parametrize(
    ("operation", "given", "told"),
    [
        ("validate-code", {"code": "dog"}, "True"),
        ("subsumes", {"codeA": "animal", "codeB": "dog"}, "subsumes"),
        ("find-matches", {"exact": True, "property": FOUR_LEGS}, "dog"),
    ],
    ids=["validate-code", "subsumes", "find-matches"],
)
async def test_an_instance_answers_for_itself_though_there_is_a_later_version(
    operation: str, given: Json, told: str, version: str | None
) -> None:
    later = animals("2.0.0", concept=[{"code": "yeti"}])
    call = Call("CodeSystem", operation, parameters(**given), instance=animals(version))
    answered = await answer(Shelf([later]), call)
    (first, *_) = answered.resource["parameter"]
    one = first["part"][0] if "part" in first else first
    (value,) = (value for key, value in one.items() if key.startswith("value"))
    assert (value["code"] if isinstance(value, dict) else str(value)) == told
