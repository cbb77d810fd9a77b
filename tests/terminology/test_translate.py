from typing import Any

import pytest
from resources import Json, ask

FROM, TO = "http://example.org/from", "http://example.org/to"


def concept_map(url: str = "http://example.org/map", **group: Any) -> Json:
    return {
        "resourceType": "ConceptMap",
        "url": url,
        "version": "1",
        "status": "active",
        "group": [
            {
                "source": FROM,
                "target": TO,
                "element": [
                    {"code": "a", "target": [{"code": "x", "equivalence": "wider"}]},
                    {"code": "b", "target": [{"code": "y", "equivalence": "disjoint"}]},
                    {
                        "code": "c",
                        "target": [
                            {
                                "code": "z",
                                "equivalence": "equivalent",
                                "dependsOn": [{"property": "http://example.org/sex", "value": "f"}],
                            }
                        ],
                    },
                ],
                **group,
            }
        ],
    }


def matches(resource: Json) -> list[dict[str, Any]]:
    return [
        {p["name"]: next(v for k, v in p.items() if k != "name") for p in one["part"]}
        for one in resource["parameter"]
        if one["name"] == "match"
    ]


def result(resource: Json) -> bool:
    return next(one["valueBoolean"] for one in resource["parameter"] if one["name"] == "result")


async def test_r4_names_get_the_answer_of_r4() -> None:
    given = await ask([concept_map()], "ConceptMap/translate", code="a", system=FROM)
    assert result(given.resource) is True
    assert matches(given.resource) == [
        {
            "equivalence": "wider",
            "concept": {"system": TO, "code": "x"},
            "source": "http://example.org/map|1",
        }
    ]


async def test_r5_names_get_relationship_and_origin() -> None:
    given = await ask([concept_map()], "ConceptMap/translate", sourceCode="a", sourceSystem=FROM)
    assert matches(given.resource) == [
        {
            "equivalence": "wider",
            "relationship": "source-is-narrower-than-target",
            "concept": {"system": TO, "code": "x"},
            "originMap": "http://example.org/map|1",
        }
    ]


@pytest.mark.parametrize(
    ("given", "concept"),
    [
        ({"code": "x", "system": TO, "reverse": True}, {"system": FROM, "code": "a"}),
        ({"targetCode": "x", "system": TO}, {"system": TO, "code": "x"}),
    ],
    ids=["R4", "R5"],
)
async def test_backwards_wider_is_narrower(given: Json, concept: Json) -> None:
    answered = await ask([concept_map()], "ConceptMap/translate", **given)
    (one,) = matches(answered.resource)
    assert (one["equivalence"], one["concept"]) == ("narrower", concept)


async def test_a_disjoint_target_is_no_translation() -> None:
    given = await ask([concept_map()], "ConceptMap/translate", code="b", system=FROM)
    assert (result(given.resource), len(matches(given.resource))) == (False, 1)


@pytest.mark.parametrize(
    ("unmapped", "expected"),
    [
        (None, []),
        ({"mode": "provided"}, [("equal", "q")]),
        ({"mode": "fixed", "code": "other"}, [("inexact", "other")]),
    ],
    ids=["none", "provided", "fixed"],
)
async def test_codes_that_a_group_lacks(
    unmapped: Json | None, expected: list[tuple[str, str]]
) -> None:
    one = concept_map(**({"unmapped": unmapped} if unmapped else {}))
    given = await ask([one], "ConceptMap/translate", code="q", system=FROM)
    found = [(m["equivalence"], m["concept"]["code"]) for m in matches(given.resource)]
    assert found == expected


async def test_another_map_is_asked_once() -> None:
    url = "http://example.org/map"
    first = concept_map(url, unmapped={"mode": "other-map", "url": "http://example.org/2"})
    second = concept_map(
        "http://example.org/2",
        element=[{"code": "q", "target": [{"code": "w", "equivalence": "equal"}]}],
        unmapped={"mode": "other-map", "url": url},
    )
    found = [
        matches(
            (
                await ask([first, second], "ConceptMap/translate", url=url, code=code, system=FROM)
            ).resource
        )
        for code in ("q", "unknown")
    ]
    assert [[m["concept"]["code"] for m in one] for one in found] == [["w"], []]


async def test_a_dependency_must_hold_when_one_is_given() -> None:
    counts = []
    for value in ("f", "m"):
        dependency = {
            "name": "dependency",
            "part": [
                {"name": "element", "valueUri": "http://example.org/sex"},
                {"name": "concept", "valueCodeableConcept": {"coding": [{"code": value}]}},
            ],
        }
        given = await ask(
            [concept_map()], "ConceptMap/translate", code="c", system=FROM, dependency=dependency
        )
        counts.append(len(matches(given.resource)))
    assert counts == [1, 0]


async def test_an_unknown_map_is_refused() -> None:
    given = await ask(
        [], "ConceptMap/translate", url="http://example.org/none", code="a", system=FROM
    )
    assert given.status == 404


def version_of(version: str, status: str, target: str, url: str = "http://example.org/map") -> Json:
    element = [{"code": "a", "target": [{"code": target, "equivalence": "equal"}]}]
    return {**concept_map(url, element=element), "version": version, "status": status}


@pytest.mark.parametrize(
    ("versions", "unnamed", "named"),
    [
        ([("1.9", "active"), ("1.10", "active")], ["1.10"], "1.10"),
        ([("1", "active"), ("2", "draft"), ("3", "retired")], ["1"], "1"),
        ([("2", "draft"), ("3", "retired")], ["2"], "2"),
        ([("3", "retired")], [], "3"),
    ],
)
async def test_of_several_versions_one_counts(
    versions: list[tuple[str, str]], unnamed: list[str], named: str
) -> None:
    maps = [version_of(version, status, version) for version, status in versions]
    asked = {"code": "a", "system": FROM}
    found = matches((await ask(maps, "ConceptMap/translate", **asked)).resource)
    assert [one["concept"]["code"] for one in found] == unnamed
    for version in (None, *(version for version, _ in versions)):
        url = "|".join(filter(None, ("http://example.org/map", version)))
        (one,) = matches((await ask(maps, "ConceptMap/translate", url=url, **asked)).resource)
        assert one["concept"]["code"] == (version or named)


async def test_maps_without_a_url_are_all_asked() -> None:
    bare = [version_of("1", "active", target) for target in ("x", "y")]
    for one in bare:
        del one["url"]
    found = matches((await ask(bare, "ConceptMap/translate", code="a", system=FROM)).resource)
    assert [one["concept"]["code"] for one in found] == ["x", "y"]
