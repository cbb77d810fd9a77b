from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resources import (
    ANIMALS,
    Json,
    animals,
    ask,
    codes,
    flat_system,
    listed,
    message_ids,
    value_set,
    where,
)

from terminology.scope import Limits

ALL = {"system": ANIMALS}
EVERY = ["animal", "dog", "poodle", "cat", "dodo"]


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        (ALL, EVERY),
        (where("concept", "is-a", "dog"), ["dog", "poodle"]),
        (where("concept", "descendent-of", "animal"), ["dog", "poodle", "cat"]),
        (where("concept", "is-not-a", "dog"), ["animal", "cat", "dodo"]),
        (where("concept", "generalizes", "poodle"), ["animal", "dog", "poodle"]),
        (where("concept", "child-of", "animal"), ["dog", "cat"]),
        (where("concept", "descendent-leaf", "animal"), ["poodle", "cat"]),
        (where("concept", "is-a", "unknown"), []),
        (where("concept", "is-not-a", "unknown"), EVERY),
        (where("legs", "=", "4"), ["dog", "cat"]),
        (where("legs", "in", "2, 4"), ["dog", "cat", "dodo"]),
        (where("legs", "not-in", "4"), ["animal", "poodle", "dodo"]),
        (where("legs", "exists", "false"), ["animal", "poodle"]),
        (where("code", "regex", "d.."), ["dog"]),
        (where("display", "regex", "[A-D].*"), ["animal", "dog", "cat", "dodo"]),
        (where("parent", "=", "animal"), ["dog", "cat"]),
        (where("notSelectable", "=", "true"), ["animal"]),
        (where("notSelectable", "=", "TRUE"), []),
        (where("inactive", "=", "true"), ["dodo"]),
        (listed("cat", "unknown", "dog"), ["cat", "dog"]),
        ({**listed("cat", "dodo"), **where("legs", "=", "4")}, ["cat"]),
    ],
    ids=str,
)
async def test_an_include_has_the_codes_that_all_it_names_allow(
    include: dict[str, object], expected: list[str]
) -> None:
    asked = value_set(include)
    given = await ask([animals(), asked], "ValueSet/expand", url=asked["url"], excludeNested=True)
    assert (given.status, codes(given.resource)) == (200, expected)


async def test_includes_are_united_and_excludes_taken_away() -> None:
    inner = value_set(where("legs", "=", "4"), url="http://example.org/inner")
    asked = value_set({"valueSet": [inner["url"]]}, listed("dodo", "dog"), exclude=[listed("cat")])
    given = await ask([animals(), inner, asked], "ValueSet/expand", url=asked["url"])
    assert codes(given.resource) == ["dog", "dodo"]
    used = [p["valueUri"] for p in given.resource["expansion"]["parameter"]]
    assert used == [f"{ANIMALS}|1.0.0", inner["url"]]


async def test_an_include_with_value_sets_is_their_intersection() -> None:
    inner = value_set(where("legs", "=", "4"), url="http://example.org/inner")
    asked = value_set({"system": ANIMALS, "valueSet": [inner["url"]], **listed("cat", "dodo")})
    given = await ask([animals(), inner, asked], "ValueSet/expand", url=asked["url"])
    assert codes(given.resource) == ["cat"]


async def test_children_hang_on_their_nearest_included_ancestor() -> None:
    asked = value_set(where("code", "regex", "animal|poodle|dodo"))
    given = await ask([animals(), asked], "ValueSet/expand", url=asked["url"])
    top = given.resource["expansion"]["contains"]
    assert [one["code"] for one in top] == ["animal", "dodo"]
    assert [one["code"] for one in top[0]["contains"]] == ["poodle"]
    assert given.resource["expansion"]["total"] == 3


async def test_a_cyclic_hierarchy_is_shown_from_its_first_code() -> None:
    circle = {
        "resourceType": "CodeSystem",
        "url": "http://example.org/circle",
        "status": "active",
        "content": "complete",
        "property": [{"code": "parent", "type": "code"}],
        "concept": [
            {"code": "a", "property": [{"code": "parent", "valueCode": "b"}]},
            {"code": "b", "property": [{"code": "parent", "valueCode": "a"}]},
        ],
    }
    asked = value_set({"system": circle["url"]})
    given = await ask([circle, asked], "ValueSet/expand", url=asked["url"])
    assert codes(given.resource) == ["a", "b"]


async def test_words_are_found_by_their_beginnings_best_first() -> None:
    system = flat_system(0)
    system["concept"] = [
        {"code": "1", "display": "Heart failure, left"},
        {"code": "2", "display": "Herzinsuffizienz", "designation": [{"value": "Heart Failure"}]},
        {"code": "3", "display": "Failure of the heart"},
        {"code": "4", "display": "Théâtre"},
    ]
    asked = value_set({"system": system["url"]})
    typed = [
        codes(
            (await ask([system, asked], "ValueSet/expand", url=asked["url"], filter=text)).resource
        )
        for text in ("hea fail", "theatre", "eart")
    ]
    assert typed == [["2", "1", "3"], ["4"], []]


@given(size=st.integers(1, 40), page=st.integers(1, 15))
async def test_joined_pages_are_the_whole_list(size: int, page: int) -> None:
    system = flat_system(size)
    asked = value_set(
        {"system": system["url"]}, {"system": system["url"], "concept": [{"code": "0"}]}
    )
    joined: list[str] = []
    for offset in range(0, size + page, page):
        given_page = await ask(
            [system, asked], "ValueSet/expand", url=asked["url"], offset=offset, count=page
        )
        assert given_page.resource["expansion"]["total"] == size
        joined += codes(given_page.resource)
    assert joined == [str(n) for n in range(size)]


async def test_inactive_codes_are_left_out_when_the_value_set_or_the_request_says_so() -> None:
    closed, open_ = value_set(ALL, inactive=False), value_set(ALL)
    first = await ask([animals(), closed], "ValueSet/expand", url=closed["url"], activeOnly=False)
    second = await ask([animals(), open_], "ValueSet/expand", url=open_["url"], activeOnly=True)
    assert codes(first.resource) == codes(second.resource) == EVERY[:-1]


@pytest.mark.parametrize(
    ("excluded", "match", "expected", "echoed"),
    [
        ("3", None, ["cat 1", "cat 2"], [True]),
        ("3", False, ["cat 1", "dog 1", "cat 2", "dog 2"], [False]),
        ("2", None, ["cat 1", "dog 1", "cat 2"], []),
        ("2", True, ["cat 2"], [True]),
    ],
    ids=["another version", "kept apart", "its own version", "as one"],
)
async def test_excludes_and_versions(
    excluded: str, match: object, expected: list[str], echoed: list[bool]
) -> None:
    systems = [animals(version, concept=[{"code": "cat"}, {"code": "dog"}]) for version in "123"]
    asked = value_set(
        *({**ALL, "version": version} for version in "12"),
        exclude=[listed("dog", version=excluded)],
    )
    wish = {} if match is None else {"versionsMatch": match}
    given = await ask([*systems, asked], "ValueSet/expand", url=asked["url"], **wish)
    body = given.resource["expansion"]
    assert [f"{one['code']} {one['version']}" for one in body["contains"]] == expected
    told = [p["valueBoolean"] for p in body["parameter"] if p["name"] == "versionsMatch"]
    assert told == echoed


async def test_a_system_can_be_left_out() -> None:
    numbers = flat_system(2)
    asked = value_set(listed("dog"), {"system": numbers["url"]})
    found = [
        codes(
            (
                await ask(
                    [animals(), numbers, asked],
                    "ValueSet/expand",
                    url=asked["url"],
                    exclude_system=system,
                )
            ).resource
        )
        for system in (ANIMALS, f"{ANIMALS}|1.0.0", numbers["url"])
    ]
    assert found == [["0", "1"], ["0", "1"], ["dog"]]


async def test_abstract_codes_are_left_out_of_a_picking_list() -> None:
    asked = value_set(ALL)
    given = await ask([animals(), asked], "ValueSet/expand", url=asked["url"], excludeNotForUI=True)
    assert codes(given.resource) == EVERY[1:]


async def test_the_expansion_is_in_the_language_asked_for() -> None:
    asked = value_set(listed("dog", "cat"))
    shown = []
    for text in ("de", "de, *; q=0"):
        given = await ask(
            [animals(), asked], "ValueSet/expand", url=asked["url"], displayLanguage=text
        )
        shown.append([one.get("display") for one in given.resource["expansion"]["contains"]])
    assert shown == [["Hund", "Cat"], ["Hund", None]]


async def test_more_codes_than_allowed_without_a_page_are_too_costly() -> None:
    system = flat_system(30)
    asked = value_set({"system": system["url"]})
    limits = Limits(unpaged=20)
    refused = await ask([system, asked], "ValueSet/expand", limits, url=asked["url"])
    paged = await ask([system, asked], "ValueSet/expand", limits, url=asked["url"], count=25)
    assert (refused.status, message_ids(refused.resource)) == (422, ["VALUESET_TOO_COSTLY"])
    assert (paged.status, len(codes(paged.resource))) == (200, 25)


async def test_includes_too_big_to_combine_are_too_costly() -> None:
    system = flat_system(30)
    asked = value_set({"system": system["url"]}, {"system": system["url"]})
    refused = await ask(
        [system, asked], "ValueSet/expand", Limits(codes=20), url=asked["url"], count=1
    )
    assert message_ids(refused.resource) == ["VALUESET_TOO_COSTLY"]


async def test_imports_that_double_at_each_level_are_refused() -> None:
    chain = [
        value_set(
            {"valueSet": [f"http://example.org/{n + 1}"]},
            {"valueSet": [f"http://example.org/{n + 1}"]},
            url=f"http://example.org/{n}",
        )
        for n in range(25)
    ]
    chain.append(value_set(ALL, url="http://example.org/25"))
    refused = await ask([animals(), *chain], "ValueSet/expand", url="http://example.org/0")
    assert message_ids(refused.resource) == ["VALUESET_TOO_MANY_STEPS"]


async def test_imports_too_deep_and_in_a_circle_are_refused() -> None:
    chain = [
        value_set({"valueSet": [f"http://example.org/{n + 1}"]}, url=f"http://example.org/{n}")
        for n in range(100)
    ]
    deep = await ask(chain, "ValueSet/expand", url="http://example.org/0")
    own = value_set({"valueSet": ["http://example.org/vs"]})
    circle = await ask([own], "ValueSet/expand", url=own["url"])
    assert message_ids(deep.resource) == ["VALUESET_TOO_DEEP"]
    assert message_ids(circle.resource) == ["VALUESET_CIRCULAR_REFERENCE"]


@pytest.mark.parametrize(
    ("include", "message_id"),
    [
        (where("code", "regex", "("), "FILTER_NOT_UNDERSTOOD"),
        (where("code", "regex", "(a)\\1"), "FILTER_NOT_UNDERSTOOD"),
        (where("code", "regex", "((a{1,500}){1,500}){1,500}"), "FILTER_NOT_UNDERSTOOD"),
        (where("code", "like", "a"), "FILTER_NOT_UNDERSTOOD"),
        (where("colour", "=", "red"), "FILTER_NOT_UNDERSTOOD"),
        (where("legs", "is-a", "4"), "FILTER_NOT_UNDERSTOOD"),
        (where("legs", "exists", "yes"), "FILTER_NOT_UNDERSTOOD"),
        (where("legs", "=", None), "UNABLE_TO_HANDLE_SYSTEM_FILTER_WITH_NO_VALUE"),
        ({"system": "http://example.org/none"}, "UNKNOWN_CODESYSTEM_EXP"),
        ({"system": ANIMALS, "version": "7"}, "UNKNOWN_CODESYSTEM_VERSION_EXP"),
        ({"valueSet": ["http://example.org/none"]}, "Unable_to_resolve_value_Set_"),
        ({"concept": [{"code": "dog"}]}, "VALUESET_INCLUDE_WITHOUT_SYSTEM"),
        ({}, "VALUESET_INCLUDE_WITHOUT_SYSTEM"),
    ],
    ids=str,
)
async def test_what_cannot_be_evaluated_is_refused(
    include: dict[str, object], message_id: str
) -> None:
    asked = value_set(include)
    refused = await ask([animals(), asked], "ValueSet/expand", url=asked["url"])
    assert (refused.status // 100, message_ids(refused.resource)) == (4, [message_id])


async def test_a_pattern_that_would_never_end_elsewhere_is_answered() -> None:
    system = flat_system(0)
    system["concept"] = [{"code": "a" * 5000}]
    include = {
        "system": system["url"],
        "filter": [{"property": "code", "op": "regex", "value": "(a+)+b"}],
    }
    given = await ask([system, value_set(include)], "ValueSet/expand", url="http://example.org/vs")
    assert codes(given.resource) == []


async def test_a_code_system_implies_the_value_set_of_all_its_codes() -> None:
    given = await ask(
        [animals()], "ValueSet/expand", url="http://example.org/all-animals", excludeNested=True
    )
    assert codes(given.resource) == EVERY


async def test_a_tx_resource_hides_the_stored_one_of_its_version() -> None:
    changed = animals(concept=[{"code": "yeti"}])
    asked = value_set(ALL)
    given = await ask([animals(), asked], "ValueSet/expand", url=asked["url"], tx_resource=changed)
    assert codes(given.resource) == ["yeti"]
    assert datetime.fromisoformat(given.resource["expansion"]["timestamp"]).tzinfo is not None


UNCLOSED = {
    "url": "http://hl7.org/fhir/StructureDefinition/valueset-unclosed",
    "valueBoolean": True,
}


@pytest.mark.parametrize(
    ("members", "ids"),
    [
        ({"total": 2}, []),
        ({}, []),
        ({"total": 3}, ["VALUESET_EXPANSION_PARTIAL"]),
        ({"extension": [UNCLOSED]}, ["VALUESET_EXPANSION_PARTIAL"]),
    ],
    ids=["whole", "no total", "a page", "unclosed"],
)
async def test_an_expansion_alone_must_have_all_codes(members: Json, ids: list[str]) -> None:
    listed_codes = [{"system": ANIMALS, "code": code} for code in ("dog", "cat")]
    stored: Json = {"resourceType": "ValueSet", "url": "http://example.org/vs", "status": "active"}
    stored["expansion"] = {"timestamp": "2026", "contains": listed_codes, **members}
    given = await ask([animals(), stored], "ValueSet/expand", url=stored["url"])
    assert (codes(given.resource) if given.status == 200 else None) == (
        None if ids else ["dog", "cat"]
    )
    assert (message_ids(given.resource) if given.status == 422 else []) == ids


FRENCH = {
    "resourceType": "CodeSystem",
    "url": "http://example.org/french",
    "status": "active",
    "content": "supplement",
    "supplements": ANIMALS,
    "concept": [
        {"code": "poodle", "designation": [{"language": "fr", "value": "Dog à la française"}]},
        {"code": "cat", "designation": [{"language": "fr", "value": "Dogue chat"}]},
        {"code": "dog", "designation": [{"language": "fr", "value": "Dogue"}]},
        {"code": "dodo", "designation": [{"language": "fr", "value": "Dogodo"}]},
        {"code": "yeti", "designation": [{"language": "fr", "value": "Dogyeti"}]},
    ],
}


@pytest.mark.parametrize(
    ("include", "wish", "found"),
    [
        (ALL, {}, ["dodo", "cat", "poodle", "dog"]),
        (ALL, {"activeOnly": True}, ["cat", "poodle", "dog"]),
        (ALL, {"displayLanguage": "de"}, ["dog"]),
        (where("concept", "is-a", "dog"), {}, ["poodle", "dog"]),
        (listed("poodle", "cat"), {}, ["cat", "poodle"]),
    ],
)
async def test_the_texts_of_a_supplement_are_searched_too(
    include: Json, wish: Json, found: list[str]
) -> None:
    asked = value_set(include)
    wish = {"url": asked["url"], "filter": "dog", "useSupplement": FRENCH["url"], **wish}
    resources = [animals(), FRENCH, asked]
    whole = (await ask(resources, "ValueSet/expand", **wish)).resource
    assert (codes(whole), whole["expansion"]["total"]) == (found, len(found))
    pages = [
        (await ask(resources, "ValueSet/expand", **wish, offset=at, count=1)).resource
        for at in range(len(found) + 1)
    ]
    assert [code for page in pages for code in codes(page)] == found
    assert {page["expansion"]["total"] for page in pages} == {len(found)}


@pytest.mark.parametrize(("header", "echoed"), [("de", ["de"]), (";;,x-", [])])
async def test_only_a_header_that_says_a_language_is_echoed(header: str, echoed: list[str]) -> None:
    asked = value_set(ALL)
    given = await ask([animals(), asked], "ValueSet/expand", None, header, url=asked["url"])
    parameters = given.resource["expansion"]["parameter"]
    assert [p["valueCode"] for p in parameters if p["name"] == "displayLanguage"] == echoed
