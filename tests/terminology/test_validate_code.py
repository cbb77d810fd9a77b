import pytest
from resources import (
    ANIMALS,
    Json,
    animals,
    ask,
    listed,
    message_ids,
    parameters,
    value_set,
    values,
    where,
)

ALL = {"system": ANIMALS}
VS = "http://example.org/vs"


async def judged(resources: list[Json], **given: object) -> tuple[bool, list[str]]:
    """The result with the message ids of its issues."""
    answered = await ask(resources, "ValueSet/validate-code", url=VS, **given)
    assert answered.status == 200, answered.resource
    found = values(answered.resource)
    return found["result"], message_ids(found["issues"]) if "issues" in found else []


def coding(code: str, **members: str) -> Json:
    return {"system": ANIMALS, "code": code, **members}


@pytest.mark.parametrize(
    ("given", "result", "ids"),
    [
        ({"coding": coding("dog")}, True, []),
        ({"code": "dog", "system": ANIMALS}, True, []),
        ({"code": "dog", "inferSystem": True}, True, []),
        ({"coding": coding("cat")}, False, ["None_of_the_provided_codes_are_in_the_value_set_one"]),
        ({"coding": coding("dog", display="HUND")}, True, []),
        (
            {"coding": coding("dog", display="Wolf")},
            False,
            ["Display_Name_for__should_be_one_of__instead_of"],
        ),
        (
            {"coding": coding("dog", display="Wolf"), "lenient-display-validation": True},
            True,
            ["Display_Name_for__should_be_one_of__instead_of"],
        ),
        ({"coding": coding("dog", display="Wolf"), "valueset-membership-only": True}, True, []),
        (
            {"coding": coding("dog", display="Hund"), "displayLanguage": "en"},
            False,
            ["Display_Name_for__should_be_one_of__instead_of"],
        ),
        ({"coding": coding("dodo")}, True, ["INACTIVE_CONCEPT_FOUND"]),
        (
            {"coding": coding("dodo"), "activeOnly": True},
            False,
            [
                "None_of_the_provided_codes_are_in_the_value_set_one",
                "STATUS_CODE_WARNING_CODE",
                "INACTIVE_CONCEPT_FOUND",
            ],
        ),
        ({"coding": coding("animal")}, True, []),
        (
            {"coding": coding("animal"), "abstract": False},
            False,
            [
                "None_of_the_provided_codes_are_in_the_value_set_one",
                "ABSTRACT_CODE_NOT_ALLOWED",
            ],
        ),
        ({"codeableConcept": {"coding": [coding("cat"), coding("dog")]}}, True,
         ["None_of_the_provided_codes_are_in_the_value_set_one"]),
        (
            {"codeableConcept": {"coding": [coding("dog"), coding("yeti")]}},
            False,
            ["None_of_the_provided_codes_are_in_the_value_set_one", "Unknown_Code_in_Version"],
        ),
        ({"codeableConcept": {"coding": [], "text": "dog"}}, False,
         ["TX_GENERAL_CC_ERROR_MESSAGE"]),
    ],
    ids=str,
)  # fmt: skip
async def test_codings_are_judged_against_a_value_set(
    given: Json, *, result: bool, ids: list[str]
) -> None:
    asked = value_set(listed("dog", "animal", "dodo"))
    assert await judged([animals(), asked], **given) == (result, ids)


async def test_a_wrong_case_is_told_where_case_means_nothing() -> None:
    resources = [animals(caseSensitive=False), value_set(ALL)]
    answered = await ask(resources, "ValueSet/validate-code", url=VS, coding=coding("DOG"))
    found = values(answered.resource)
    assert (found["result"], found["normalized-code"]) == (True, "dog")
    assert message_ids(found["issues"]) == ["CODE_CASE_DIFFERENCE"]


@pytest.mark.parametrize(
    ("include", "result", "ids"),
    [
        (ALL, True, ["UNKNOWN_CODE_IN_FRAGMENT"]),
        (
            listed("dog"),
            False,
            [
                "None_of_the_provided_codes_are_in_the_value_set_one",
                "UNKNOWN_CODE_IN_FRAGMENT",
            ],
        ),
    ],
    ids=["whole", "listed"],
)
async def test_a_code_that_a_fragment_lacks_may_exist(
    include: Json, *, result: bool, ids: list[str]
) -> None:
    resources = [animals(content="fragment"), value_set(include)]
    assert await judged(resources, coding=coding("wolf")) == (result, ids)


async def test_a_system_without_content_is_unknown() -> None:
    resources = [animals(content="not-present", concept=[]), value_set(ALL)]
    assert await judged(resources, coding=coding("dog")) == (False, ["UNKNOWN_CODESYSTEM"])


async def test_a_version_is_demanded_where_meanings_change() -> None:
    resources = [animals(versionNeeded=True), value_set(ALL)]
    assert await judged(resources, coding=coding("dog")) == (False, ["CODESYSTEM_VERSION_NEEDED"])
    assert await judged(resources, coding=coding("dog", version="1.0.0")) == (True, [])


async def test_of_several_pinned_versions_the_one_with_the_display_is_used() -> None:
    old = animals(concept=[{"code": "dog", "display": "Hound"}])
    new = animals("2.0.0", concept=[{"code": "dog", "display": "Dog"}])
    pinned = value_set({**ALL, "version": "1.0.0"}, {**ALL, "version": "2.0.0"})
    found = [
        values(
            (
                await ask(
                    [old, new, pinned],
                    "ValueSet/validate-code",
                    url=VS,
                    coding={"system": ANIMALS, "code": "dog", **shown},
                )
            ).resource
        )["version"]
        for shown in ({"display": "Hound"}, {"display": "Dog"}, {})
    ]
    assert found == ["1.0.0", "2.0.0", "2.0.0"]


async def test_notices_name_what_is_experimental_when_the_value_set_is_not() -> None:
    resources = [animals(experimental=True), value_set(ALL)]
    assert await judged(resources, coding=coding("dog")) == (True, ["MSG_EXPERIMENTAL"])


async def test_a_supplement_adds_displays_when_it_is_asked_for() -> None:
    supplement = {
        "resourceType": "CodeSystem",
        "url": "http://example.org/french",
        "status": "active",
        "content": "supplement",
        "supplements": ANIMALS,
        "concept": [
            {"code": "dog", "designation": [{"language": "fr", "value": "Chien"}]},
            {"code": "yeti", "display": "Yeti"},
        ],
    }
    resources = [animals(), supplement, value_set(ALL)]
    french = coding("dog", display="Chien")
    wrong = "Display_Name_for__should_be_one_of__instead_of"
    use = {"useSupplement": supplement["url"]}
    assert await judged(resources, coding=french) == (False, [wrong])
    assert await judged(resources, coding=french, **use) == (True, [])
    assert (await judged(resources, coding=coding("yeti"), **use))[0] is False


async def test_inactive_codes_of_an_import_are_kept_out() -> None:
    inner = value_set(ALL, url="http://example.org/inner")
    asked = value_set({"valueSet": [inner["url"]]}, inactive=False)
    results = [
        (await judged([animals(), inner, asked], coding=coding(code)))[0]
        for code in ("dog", "dodo")
    ]
    assert results == [True, False]


async def test_filters_are_tested_without_an_expansion() -> None:
    asked = value_set(where("concept", "is-a", "dog"), exclude=[listed("poodle")])
    results = [
        (await judged([animals(), asked], coding=coding(code)))[0]
        for code in ("dog", "poodle", "cat")
    ]
    assert results == [True, False, False]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"coding": coding("dog"), "url": "http://example.org/none"}, 404),
        ({"url": VS}, 400),
        ({"url": VS, "code": "dog"}, 400),
        ({"coding": coding("dog")}, 400),
        ({"url": VS, "coding": coding("dog"), "activeOnly": "maybe"}, 400),
        ({"url": VS, "coding": coding("dog"), "displayLanguage": "???"}, 422),
    ],
    ids=str,
)
async def test_requests_that_cannot_be_judged_are_refused(given: Json, status: int) -> None:
    answered = await ask([animals(), value_set(ALL)], "ValueSet/validate-code", **given)
    assert (answered.status, answered.resource["resourceType"]) == (status, "OperationOutcome")


async def test_a_batch_answers_each_validation_in_order() -> None:
    each = [
        {"resourceType": "Parameters", "parameter": [{"name": "coding", "valueCoding": one}]}
        for one in (coding("dog"), coding("cat"))
    ]
    asked = value_set(listed("dog"))
    answered = await ask(
        [animals(), asked], "ValueSet/batch-validate-code", url=VS, validation=each
    )
    results = [values(one["resource"])["result"] for one in answered.resource["parameter"]]
    assert results == [True, False]


async def test_a_code_system_validates_its_own_codes() -> None:
    found = [
        values(
            (await ask([animals()], "CodeSystem/validate-code", url=ANIMALS, code=code)).resource
        )
        for code in ("dog", "yeti")
    ]
    assert [one["result"] for one in found] == [True, False]
    assert message_ids(found[1]["issues"]) == ["Unknown_Code_in_Version"]


async def test_a_validation_that_is_no_resource_is_answered_in_its_place() -> None:
    each = [{"name": "validation", "part": []}, parameters(code="dog", system=ANIMALS)]
    answered = await ask(
        [animals(), value_set(listed("dog"))],
        "ValueSet/batch-validate-code",
        url=VS,
        validation=each,
    )
    kinds = [one["resource"]["resourceType"] for one in answered.resource["parameter"]]
    assert kinds == ["OperationOutcome", "Parameters"]


async def test_a_coding_without_a_code_is_none_of_the_value_set() -> None:
    given = await ask(
        [animals(), value_set(listed("dog"))],
        "ValueSet/validate-code",
        url=VS,
        coding={"system": ANIMALS},
    )
    assert values(given.resource)["result"] is False
    assert "None" not in values(given.resource)["message"]
