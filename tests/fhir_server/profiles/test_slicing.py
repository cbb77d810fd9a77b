"""Each way to tell slices apart, and what may stand beside and between them."""

from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.errors import Issue
from tests.fhir_server.profiles.conftest import Judge, World

Json = dict[str, Any]
PHONE = {"system": "phone", "value": "1"}
EMAIL = {"system": "email", "value": "a@b"}
FAX = {"system": "fax", "value": "2"}


def slicing(path: str, *discriminators: tuple[str, str], **more: Any) -> Json:
    told = [{"type": kind, "path": at} for kind, at in discriminators]
    return {"path": path, "slicing": {"discriminator": told, "rules": "open", **more}}


def a_slice(path: str, name: str, **more: Any) -> Json:
    return {"path": path, "sliceName": name, **more}


def telecom(**more: Any) -> list[Json]:
    return [
        slicing("Patient.telecom", ("value", "system"), **more),
        a_slice("Patient.telecom", "phone", min=1, max="1"),
        {"path": "Patient.telecom.system", "fixedCode": "phone"},
        a_slice("Patient.telecom", "email", max="1"),
        {"path": "Patient.telecom.system", "fixedCode": "email"},
        {"path": "Patient.telecom.use", "max": "0"},
    ]


@pytest.mark.parametrize(
    ("more", "given", "found"),
    [
        pytest.param({}, [PHONE, EMAIL, FAX], [], id="open"),
        pytest.param({}, [EMAIL], [("required", "Patient.telecom")], id="missing slice"),
        pytest.param({}, [PHONE, PHONE], [("structure", "Patient.telecom")], id="too many"),
        pytest.param(
            {},
            [PHONE, {**EMAIL, "use": "home"}],
            [("structure", "Patient.telecom[1].use")],
            id="within a slice",
        ),
        pytest.param(
            {"rules": "closed"}, [PHONE, FAX], [("structure", "Patient.telecom[1]")], id="closed"
        ),
        pytest.param({"rules": "openAtEnd"}, [PHONE, FAX], [], id="others at the end"),
        pytest.param(
            {"rules": "openAtEnd"},
            [FAX, PHONE],
            [("structure", "Patient.telecom[1]")],
            id="others before",
        ),
        pytest.param({"ordered": True}, [PHONE, EMAIL], [], id="ordered"),
        pytest.param(
            {"ordered": True},
            [EMAIL, PHONE],
            [("structure", "Patient.telecom[1]")],
            id="out of order",
        ),
    ],
)
def test_slices_by_value(
    world: World,
    errors: Judge,
    more: Json,
    given: list[Json],
    found: list[tuple[str, str]],
) -> None:
    url = world.profile("p", "Patient", *telecom(**more))
    assert errors({"resourceType": "Patient", "telecom": given}, url) == found


def coded(code: str) -> Json:
    return {"coding": [{"system": "http://s", "code": code}]}


CATEGORY = "Observation.category"
OBSERVATION: Json = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
MISSING = [("required", CATEGORY)]


@pytest.mark.parametrize(
    ("elements", "fits", "other"),
    [
        pytest.param(
            [
                slicing(CATEGORY, ("pattern", "$this")),
                a_slice(CATEGORY, "a", min=1, patternCodeableConcept=coded("a")),
            ],
            coded("a") | {"text": "more"},
            coded("b"),
            id="pattern",
        ),
        pytest.param(
            [
                slicing(CATEGORY, ("value", "coding.code")),
                a_slice(CATEGORY, "a", min=1),
                {"path": f"{CATEGORY}.coding.code", "fixedCode": "a"},
            ],
            coded("a"),
            coded("b"),
            id="value below",
        ),
        pytest.param(
            [
                slicing(CATEGORY, ("exists", "text")),
                a_slice(CATEGORY, "a", min=1),
                {"path": f"{CATEGORY}.text", "min": 1},
                a_slice(CATEGORY, "b"),
                {"path": f"{CATEGORY}.text", "max": "0"},
            ],
            {"text": "x"},
            coded("b"),
            id="exists",
        ),
        pytest.param(
            [
                slicing(CATEGORY, ("value", "$this")),
                a_slice(
                    CATEGORY, "a", min=1, binding={"strength": "required", "valueSet": "http://vs"}
                ),
            ],
            coded("a"),
            coded("b"),
            id="value by binding",
        ),
        pytest.param(
            [
                slicing(CATEGORY, ("value", "extension('http://e').value")),
                a_slice(CATEGORY, "a", min=1),
                slicing(f"{CATEGORY}.extension", ("value", "url")),
                a_slice(f"{CATEGORY}.extension", "e", min=1),
                {"path": f"{CATEGORY}.extension.url", "fixedUri": "http://e"},
                {"path": f"{CATEGORY}.extension.value[x]", "fixedBoolean": True},
            ],
            {"extension": [{"url": "http://e", "valueBoolean": True}]},
            {"extension": [{"url": "http://e", "valueBoolean": False}]},
            id="value of an extension",
        ),
    ],
)
def test_slices_told_apart(
    world: World, errors: Judge, elements: list[Json], fits: Json, other: Json
) -> None:
    world.codes["http://vs"] = {("http://s", "a")}
    url = world.profile("p", "Observation", *elements)
    assert errors(OBSERVATION | {"category": [fits]}, url) == []
    assert errors(OBSERVATION | {"category": [other]}, url) == MISSING


def test_slices_by_type_of_the_target(world: World, errors: Judge) -> None:
    url = world.profile(
        "p",
        "Observation",
        slicing("Observation.performer", ("type", "resolve()")),
        a_slice(
            "Observation.performer",
            "organisation",
            min=1,
            type=[
                {
                    "code": "Reference",
                    "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Organization"],
                }
            ],
        ),
    )
    for kind, found in (("Organization", []), ("Patient", [("required", "Observation.performer")])):
        contained = {"resourceType": kind, "id": "c"}
        data = OBSERVATION | {"contained": [contained], "performer": [{"reference": "#c"}]}
        assert errors(data, url) == found


def test_slices_by_profile_of_an_entry(world: World, errors: Judge) -> None:
    named = world.profile("named", "Patient", {"path": "Patient.name", "min": 1})
    url = world.profile(
        "p",
        "Bundle",
        slicing("Bundle.entry", ("profile", "resource")),
        a_slice("Bundle.entry", "patient", min=1, max="1"),
        {"path": "Bundle.entry.resource", "type": [{"code": "Patient", "profile": [named]}]},
    )

    def bundle(*patients: Json) -> Json:
        entries = [{"resource": {"resourceType": "Patient"} | one} for one in patients]
        return {"resourceType": "Bundle", "type": "collection", "entry": entries}

    assert errors(bundle({"name": [{"text": "x"}]}, {}), url) == []
    assert errors(bundle({}), url) == [("required", "Bundle.entry")]


NEEDED = [("required", "Observation.performer")]
CLOSED = [("structure", "Observation.performer[0]"), *NEEDED]


@pytest.mark.parametrize(
    ("by", "performer", "found"),
    [
        pytest.param("type", {"reference": "Organization/o"}, [], id="the type is told"),
        pytest.param("type", {"reference": "Patient/o"}, CLOSED, id="the type is another"),
        pytest.param(
            "type", {"reference": "https://h/Organization/o/_history/2"}, [], id="the type of a URL"
        ),
        pytest.param(
            "type", {"type": "Organization", "display": "x"}, [], id="the type beside a name"
        ),
        pytest.param("type", {"reference": "urn:uuid:1"}, [], id="nothing is told"),
        pytest.param("type", {"display": "x"}, CLOSED, id="no reference"),
        pytest.param("type", {"reference": "#x"}, CLOSED, id="not contained"),
        pytest.param("profile", {"reference": "Organization/o"}, [], id="perhaps of the profile"),
        pytest.param("profile", {"reference": "Patient/o"}, CLOSED, id="not of the profile"),
    ],
)
def test_a_target_that_is_not_known_may_be_what_a_slice_asks_for(
    world: World, errors: Judge, by: str, performer: Json, found: list[tuple[str, str]]
) -> None:
    named = world.profile("named", "Organization", {"path": "Organization.name", "min": 1})
    told = slicing("Observation.performer", (by, "resolve()"), rules="closed")
    url = world.profile(
        "p",
        "Observation",
        told,
        a_slice(
            "Observation.performer",
            "organisation",
            min=1,
            type=[{"code": "Reference", "targetProfile": [named]}],
        ),
    )
    assert errors(OBSERVATION | {"performer": [performer]}, url) == found


def test_slices_by_type_of_a_choice(world: World, errors: Judge) -> None:
    url = world.profile(
        "p",
        "Observation",
        {"path": "Observation.valueQuantity", "min": 1},
        {"path": "Observation.valueQuantity.code", "min": 1},
    )
    good = {"value": 1, "system": "http://unitsofmeasure.org", "code": "kg"}
    place = "Observation.value.ofType(Quantity).code"
    assert errors(OBSERVATION | {"valueQuantity": good}, url) == []
    assert errors(OBSERVATION | {"valueQuantity": {"value": 1}}, url) == [("required", place)]
    assert errors(OBSERVATION, url) == [("required", "Observation.value")]


def test_a_choice_named_by_one_type_has_no_other(world: World, errors: Judge) -> None:
    url = world.profile("p", "Observation", {"path": "Observation.valueQuantity", "min": 0})
    found = errors(OBSERVATION | {"valueString": "x"}, url)
    assert {place for _, place in found} == {"Observation.value.ofType(string)"}


def test_a_slice_is_sliced_again(world: World, errors: Judge) -> None:
    url = world.profile(
        "p",
        "Patient",
        slicing("Patient.telecom", ("value", "system")),
        a_slice("Patient.telecom", "phone"),
        {"path": "Patient.telecom.system", "fixedCode": "phone"},
        slicing("Patient.telecom", ("value", "use")) | {"sliceName": "phone"},
        a_slice("Patient.telecom", "phone/home", min=1, max="1"),
        {"path": "Patient.telecom.use", "fixedCode": "home"},
    )
    home = PHONE | {"use": "home"}
    assert errors({"resourceType": "Patient", "telecom": [home, EMAIL]}, url) == []
    assert errors({"resourceType": "Patient", "telecom": [PHONE]}, url) == [
        ("required", "Patient.telecom")
    ]


def test_an_item_fits_one_slice_only(world: World, errors: Judge) -> None:
    url = world.profile(
        "p",
        "Observation",
        slicing("Observation.category", ("pattern", "$this")),
        a_slice("Observation.category", "a", patternCodeableConcept=coded("a")),
        a_slice("Observation.category", "b", patternCodeableConcept=coded("b")),
    )
    both = {"coding": [*coded("a")["coding"], *coded("b")["coding"]]}
    found = errors(OBSERVATION | {"category": [both]}, url)
    assert found == [("structure", "Observation.category[0]")]


def test_slices_of_what_has_itself_inside_are_alike(
    world: World, issues: Callable[..., list[Issue]]
) -> None:
    url = world.profile(
        "p",
        "Questionnaire",
        slicing("Questionnaire.item", ("value", "$this")),
        a_slice("Questionnaire.item", "a"),
        {"path": "Questionnaire.item.text", "min": 1, "fixedString": "x"},
        a_slice("Questionnaire.item", "b"),
        {"path": "Questionnaire.item.text", "min": 1, "fixedString": "x"},
    )
    item = {"linkId": "1", "type": "group", "text": "x"}
    found = issues({"resourceType": "Questionnaire", "status": "active", "item": [item]}, url)
    assert ("warning", "processing") in [(one.severity, one.code) for one in found]


def test_slices_that_are_alike_are_no_mistake_of_the_data(
    world: World, issues: Callable[..., list[Issue]]
) -> None:
    url = world.profile(
        "p",
        "Patient",
        slicing("Patient.telecom", ("value", "system"), rules="closed"),
        a_slice("Patient.telecom", "a", min=1, max="1"),
        {"path": "Patient.telecom.system", "fixedCode": "phone"},
        a_slice("Patient.telecom", "b", min=1, max="1"),
        {"path": "Patient.telecom.system", "fixedCode": "phone"},
    )
    found = issues({"resourceType": "Patient", "telecom": [PHONE]}, url)
    assert [(one.severity, one.code) for one in found] == [
        ("warning", "processing"),
        ("information", "not-found"),
    ]


def test_a_slice_of_a_required_element_may_be_absent(world: World, errors: Judge) -> None:
    url = world.profile(
        "p",
        "Patient",
        slicing("Patient.telecom", ("value", "system")) | {"min": 1},
        a_slice("Patient.telecom", "email"),
        {"path": "Patient.telecom.system", "fixedCode": "email"},
    )
    assert errors({"resourceType": "Patient", "telecom": [PHONE]}, url) == []
