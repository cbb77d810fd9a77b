"""What a profile says of elements, types, references, codes and extensions."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.errors import Issue
from fhir_server.profiles import snapshot, walk
from fhir_server.profiles.judging import MAX_ISSUES, validate_profiles
from fhir_server.profiles.profiles import Profiles
from fhir_server.profiles.walk import Strictness
from tests.fhir_server.profiles.conftest import URL, Judge, World

Json = dict[str, Any]
BP = "http://hl7.org/fhir/StructureDefinition/bp"
PATIENT: Json = {"resourceType": "Patient", "id": "p"}


def component(loinc: str, **more: Any) -> Json:
    value = {"value": 1, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}
    return {
        "code": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
        "valueQuantity": value | more,
    }


def pressure(**more: Any) -> Json:
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"system": system, "code": "vital-signs"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2020-01-01",
        "component": [component("8480-6"), component("8462-4")],
        **more,
    }


@pytest.mark.parametrize(
    ("more", "found"),
    [
        pytest.param({}, [], id="valid"),
        pytest.param({"category": []}, [("required", "Observation.category")] * 2, id="category"),
        pytest.param(
            {"component": [component("8480-6"), component("8480-6")]},
            [("structure", "Observation.component"), ("required", "Observation.component")],
            id="one slice twice, another never",
        ),
        pytest.param(
            {"component": [component("8480-6", code="kPa"), component("8462-4")]},
            [("value", "Observation.component[0].value.ofType(Quantity).code")],
            id="fixed unit",
        ),
        pytest.param(
            {"valueQuantity": {"value": 1}},
            [("structure", "Observation.value")],
            id="value where components are",
        ),
    ],
)
def test_blood_pressure(errors: Judge, more: Json, found: list[tuple[str, str]]) -> None:
    assert errors(pressure(**more), BP) == found


def element(name: str, **more: Any) -> Json:
    return {"path": f"Patient.{name}", **more}


@pytest.mark.parametrize(
    ("told", "data", "found"),
    [
        pytest.param(element("name", min=1), {}, [("required", "Patient.name")], id="min"),
        pytest.param(
            element("name", max="1"),
            {"name": [{"text": "a"}, {"text": "b"}]},
            [("structure", "Patient.name")],
            id="max",
        ),
        pytest.param(
            element("gender", fixedCode="male"),
            {"gender": "female"},
            [("value", "Patient.gender")],
            id="fixed",
        ),
        pytest.param(
            element("maritalStatus", patternCodeableConcept={"coding": [{"code": "M"}]}),
            {"maritalStatus": {"coding": [{"code": "S"}, {"code": "M", "system": "http://s"}]}},
            [],
            id="pattern met by one of two codings",
        ),
        pytest.param(
            element("maritalStatus", fixedCodeableConcept={"coding": [{"code": "M"}]}),
            {"maritalStatus": {"coding": [{"code": "M", "system": "http://s"}]}},
            [("value", "Patient.maritalStatus")],
            id="fixed to the last member",
        ),
        pytest.param(
            element("name.family", maxLength=3),
            {"name": [{"family": "long"}]},
            [("too-long", "Patient.name[0].family")],
            id="maxLength",
        ),
        pytest.param(
            element("birthDate", minValueDate="2000-01-01"),
            {"birthDate": "1999"},
            [("value", "Patient.birthDate")],
            id="minValue of a date with less precision",
        ),
        pytest.param(
            element("multipleBirth[x]", maxValueInteger=3),
            {"multipleBirthInteger": 4},
            [("value", "Patient.multipleBirth.ofType(integer)")],
            id="maxValue",
        ),
        pytest.param(
            element("multipleBirth[x]", type=[{"code": "boolean"}]),
            {"multipleBirthInteger": 1},
            [("structure", "Patient.multipleBirth.ofType(integer)")],
            id="type narrowed",
        ),
        pytest.param(
            element(
                "gender",
                constraint=[
                    {
                        "key": "x-1",
                        "severity": "error",
                        "human": "X",
                        "expression": "$this = 'male'",
                    }
                ],
            ),
            {"gender": "female"},
            [("invariant", "Patient.gender")],
            id="invariant",
        ),
        pytest.param(
            element("gender", binding={"strength": "required", "valueSet": "http://vs"}),
            {"gender": "female"},
            [("code-invalid", "Patient.gender")],
            id="required binding",
        ),
        pytest.param(
            element("gender", binding={"strength": "extensible", "valueSet": "http://vs"}),
            {"gender": "female"},
            [],
            id="extensible binding",
        ),
        pytest.param(
            element("gender", binding={"strength": "required", "valueSet": "http://unknown"}),
            {"gender": "female"},
            [],
            id="unknown value set",
        ),
    ],
)
def test_element_of_a_profile(
    world: World, errors: Judge, told: Json, data: Json, found: list[tuple[str, str]]
) -> None:
    world.codes["http://vs"] = {(None, "male")}
    url = world.profile("p", "Patient", told)
    assert errors(PATIENT | data, url) == found


def test_profile_of_a_profile_adds_to_it(world: World, errors: Judge) -> None:
    first = world.profile("first", "Patient", element("name", min=1))
    second = world.profile("second", "Patient", element("gender", min=1), baseDefinition=first)
    assert errors(PATIENT, second) == [
        ("required", "Patient.name"),
        ("required", "Patient.gender"),
    ]


def test_invariants_are_inherited(world: World, errors: Judge) -> None:
    def rule(key: str, expression: str) -> Json:
        told = {"key": key, "severity": "error", "human": "X", "expression": expression}
        return {"path": "Patient", "constraint": [told]}

    first = world.profile("first", "Patient", rule("x-1", "name.exists()"))
    second = world.profile(
        "second", "Patient", rule("x-2", "gender.exists()"), baseDefinition=first
    )
    assert errors(PATIENT | {"gender": "male"}, second) == [("invariant", "Patient")]


def test_changed_base_counts_at_once(world: World, errors: Judge) -> None:
    first = world.profile("first", "Patient", element("name", min=1))
    second = world.profile("second", "Patient", baseDefinition=first)
    assert errors(PATIENT, second) == [("required", "Patient.name")]
    world.profile("first", "Patient", element("gender", min=1))
    assert errors(PATIENT, second) == [("required", "Patient.gender")]


def test_bases_in_a_circle_have_no_meaning(world: World, errors: Judge) -> None:
    url = world.profile("circle", "Patient", baseDefinition=URL + "circle")
    assert errors(PATIENT, url) == [("not-found", "Patient")]


def test_claimed_and_imposed_profiles_count(world: World, errors: Judge) -> None:
    imposed = world.profile("imposed", "Patient", element("gender", min=1))
    extension = "http://hl7.org/fhir/StructureDefinition/structuredefinition-imposeProfile"
    claimed = world.profile(
        "claimed",
        "Patient",
        element("name", min=1),
        extension=[{"url": extension, "valueCanonical": imposed}],
    )
    assert errors(PATIENT | {"meta": {"profile": [claimed]}}) == [
        ("required", "Patient.name"),
        ("required", "Patient.gender"),
    ]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param({"source": "http://hl7.org/fhir/StructureDefinition/Patient"}, [], id="R4"),
        pytest.param({"source": URL + "p"}, [("invariant", "Patient")], id="the profile"),
        pytest.param({}, [("invariant", "Patient")], id="not said"),
    ],
)
def test_rules_that_a_snapshot_has_from_r4_are_judged_by_the_base(
    world: World, errors: Judge, source: Json, found: list[tuple[str, str]]
) -> None:
    rule = {"key": "p-1", "severity": "error", "human": "x", "expression": "false"} | source
    url = world.profile("p", "Patient", {"path": "Patient", "constraint": [rule]})
    assert errors(PATIENT, url) == found


def test_imposed_profile_that_is_unknown_is_told(
    world: World, issues: Callable[..., list[Issue]]
) -> None:
    extension = "http://hl7.org/fhir/StructureDefinition/structuredefinition-imposeProfile"
    imposed = [{"url": extension, "valueCanonical": URL + "nobody"}]
    url = world.profile("claimed", "Patient", extension=imposed)
    assert [(one.severity, one.code) for one in issues(PATIENT, url)] == [("warning", "not-found")]


def test_unknown_profile_is_a_warning_where_claimed(issues: Callable[..., list[Issue]]) -> None:
    claim = PATIENT | {"meta": {"profile": [URL + "nobody"]}}
    assert [(one.severity, one.code) for one in issues(claim)] == [("warning", "not-found")]
    assert [one.severity for one in issues(PATIENT, URL + "nobody")] == ["error"]


def test_profile_for_another_type(errors: Judge) -> None:
    assert errors(PATIENT, BP) == [("invalid", "Patient")]


def reference(world: World, **more: Any) -> str:
    named = world.profile("named", "Patient", element("name", min=1))
    return world.profile(
        "p",
        "Observation",
        {
            "path": "Observation.subject",
            "type": [{"code": "Reference", "targetProfile": [named], **more}],
        },
    )


def observation(target: str, *contained: Json) -> Json:
    data = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    inside = {"contained": list(contained)} if contained else {}
    return data | inside | {"subject": {"reference": target}}


WRONG = [("invalid", "Observation.subject")]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param(observation("#p", PATIENT | {"name": [{"text": "x"}]}), [], id="contained"),
        pytest.param(observation("#p", PATIENT), WRONG, id="contained, not of the profile"),
        pytest.param(observation("Patient/stored"), WRONG, id="stored, not of the profile"),
        pytest.param(observation("Patient/elsewhere"), [], id="not known"),
        pytest.param(observation("Group/elsewhere"), WRONG, id="not known, of another type"),
    ],
)
def test_target_of_a_reference(
    world: World, errors: Judge, data: Json, found: list[tuple[str, str]]
) -> None:
    world.resources["Patient/stored"] = {"resourceType": "Patient"}
    assert errors(data, reference(world)) == found


def test_reference_inside_a_bundle(world: World, errors: Judge) -> None:
    url = reference(world)
    claim = observation("Patient/1") | {"meta": {"profile": [url]}}
    entries = [
        {"fullUrl": "http://h/Observation/1", "resource": claim},
        {"fullUrl": "http://h/Patient/1", "resource": PATIENT | {"id": "1"}},
        {
            "fullUrl": "http://other/Patient/1",
            "resource": PATIENT | {"id": "1", "name": [{"text": "x"}]},
        },
    ]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    assert errors(bundle) == [("invalid", "Bundle.entry[0].resource.subject")]
    entries[0]["fullUrl"] = "http://other/Observation/1"
    assert errors(bundle) == []


def test_aggregation(world: World, errors: Judge) -> None:
    url = reference(world, aggregation=["contained"])
    assert errors(observation("#p", PATIENT | {"name": [{"text": "x"}]}), url) == []
    assert errors(observation("Patient/elsewhere"), url) == WRONG


def test_references_in_a_circle_come_to_an_end(world: World, errors: Judge) -> None:
    url = world.profile(
        "circle",
        "Patient",
        element("name", min=1),
        element("link.other", type=[{"code": "Reference", "targetProfile": [URL + "circle"]}]),
    )
    link = {"link": [{"other": {"reference": "Patient/b"}, "type": "seealso"}]}
    named = {"name": [{"text": "x"}]}
    back = {"link": [{"other": {"reference": "Patient/a"}, "type": "seealso"}]}
    world.resources["Patient/a"] = PATIENT | named | link
    world.resources["Patient/b"] = PATIENT | named | back
    assert errors(PATIENT | named | link, url) == []
    world.resources["Patient/b"] = PATIENT | back
    assert errors(PATIENT | named | link, url) == [("invalid", "Patient.link[0].other")]


def extension(world: World, *contexts: tuple[str, str], **more: Any) -> str:
    return world.profile(
        "e",
        "Extension",
        {"path": "Extension.url", "fixedUri": URL + "e"},
        {"path": "Extension.value[x]", "min": 1, "type": [{"code": "boolean"}]},
        context=[{"type": kind, "expression": text} for kind, text in contexts],
        **more,
    )


FALSE = {"extension": [{"url": URL + "e", "valueBoolean": False}]}


@pytest.mark.parametrize(
    ("context", "data", "allowed"),
    [
        pytest.param(("element", "Patient"), PATIENT | FALSE, True, id="type"),
        pytest.param(("element", "DomainResource"), PATIENT | FALSE, True, id="supertype"),
        pytest.param(("element", "Observation"), PATIENT | FALSE, False, id="other type"),
        pytest.param(
            ("element", "Patient.birthDate"),
            PATIENT | {"birthDate": "2000", "_birthDate": FALSE},
            True,
            id="primitive",
        ),
        pytest.param(
            ("element", "HumanName.family"),
            PATIENT | {"name": [{"family": "x", "_family": FALSE}]},
            True,
            id="element of a data type",
        ),
        pytest.param(
            ("fhirpath", "Patient.name.where(use = 'usual')"),
            PATIENT | {"name": [{"use": "usual"} | FALSE]},
            True,
            id="selected by FHIRPath",
        ),
        pytest.param(
            ("fhirpath", "Patient.name.where(use = 'usual')"),
            PATIENT | {"name": [{"use": "old"} | FALSE]},
            False,
            id="not selected by FHIRPath",
        ),
    ],
)
def test_context_of_an_extension(
    world: World,
    errors: Judge,
    context: tuple[str, str],
    data: Json,
    allowed: bool,  # noqa: FBT001  (a parameter of the table)
) -> None:
    extension(world, context)
    assert [code for code, _ in errors(data)] == ([] if allowed else ["extension"])


def test_invariant_of_an_extensions_context(world: World, errors: Judge) -> None:
    extension(world, ("element", "Patient"), contextInvariant=["gender.exists()"])
    assert errors(PATIENT | FALSE | {"gender": "male"}) == []
    assert errors(PATIENT | FALSE) == [("extension", "Patient.extension[0]")]


def test_extensions_are_judged_by_their_definitions(world: World, errors: Judge) -> None:
    extension(world, ("element", "Element"))
    wrong = {"extension": [{"url": URL + "e", "valueString": "x"}]}
    assert ("structure", "Patient.extension[0].value.ofType(string)") in errors(PATIENT | wrong)


def test_modifier_extensions_are_those_defined_so(world: World, errors: Judge) -> None:
    extension(world, ("element", "Patient"))
    wrong = {"modifierExtension": FALSE["extension"]}
    assert errors(PATIENT | wrong) == [("extension", "Patient.modifierExtension[0]")]


def test_unknown_extensions(issues: Callable[..., list[Issue]]) -> None:
    unknown = [{"url": "http://nobody.example/e", "valueBoolean": True}]
    plain, modifier = PATIENT | {"extension": unknown}, PATIENT | {"modifierExtension": unknown}
    assert [one.severity for one in issues(plain)] == ["information"]
    assert [one.severity for one in issues(modifier)] == ["error"]
    strict = Strictness(unknown_extension="error")
    assert [one.severity for one in issues(plain, strictness=strict)] == ["error"]


def test_texts_quote_no_values(world: World, issues: Callable[..., list[Issue]]) -> None:
    marker = "MARKER"
    world.codes["http://vs"] = set()
    bound = {"strength": "required", "valueSet": "http://vs"}
    url = world.profile(
        "p",
        "Patient",
        element("gender", fixedCode="male", maxLength=1, binding=bound),
        element("name", max="0"),
        element("address.city", patternString="x"),
    )
    data = PATIENT | {
        "gender": marker,
        "name": [{"family": marker}],
        "address": [{"city": marker}],
        "modifierExtension": [{"url": f"http://{marker}", "valueString": marker}],
        "meta": {"profile": [f"http://{marker}"]},
    }
    found = issues(data, url, strictness=Strictness(advice="error"))
    assert len(found) >= 6
    assert not [one for one in found if marker in f"{one.text}{one.expression}{one.diagnostics}"]


def test_cost_has_a_limit(world: World, core: Profiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk.Budget.__init__, "__defaults__", (50, math.inf))
    url = world.profile("p", "Patient", element("name.text", min=1))
    data = PATIENT | {"name": [{"text": "x"}] * 100}
    found = validate_profiles(core.seen_through(world), data, [url])
    assert [one.code for one in found] == ["too-costly"]


def test_time_has_a_limit(world: World, core: Profiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_SECONDS", -1.0)
    told = {"key": "x-1", "severity": "error", "human": "X", "expression": "name.exists()"}
    url = world.profile("p", "Patient", {"path": "Patient", "constraint": [told]})
    found = validate_profiles(core.seen_through(world), PATIENT, [url])
    assert [one.code for one in found] == ["too-costly"]


def test_snapshot_that_grows_without_end_is_none(
    world: World, errors: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these profiles opens the one before twice."""
    monkeypatch.setattr(snapshot, "MAX_ELEMENTS", 5_000)
    before = None
    for number in range(30):
        inner = [{"code": "Organization", "profile": [before]}] if before else []
        elements = [
            element
            for name in ("a", "b")
            for element in (
                {"path": "Organization.contained", "sliceName": name, "type": inner},
                {"path": "Organization.contained.contained", "sliceName": name},
            )
        ]
        before = world.profile(f"n{number}", "Organization", *(elements if inner else []))
    assert errors({"resourceType": "Organization", "name": "x"}, before) == [
        ("not-found", "Organization")
    ]


def test_number_of_issues_has_a_limit(world: World, issues: Callable[..., list[Issue]]) -> None:
    url = world.profile("p", "Patient", element("name.text", min=1))
    found = issues(PATIENT | {"name": [{"use": "usual"}] * 300}, url)
    assert len(found) == MAX_ISSUES + 1
    assert found[-1].severity == "information"
