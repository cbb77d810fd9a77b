"""What R4 means and states in no rule."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from fhir_server.errors import Issue
from fhir_server.profiles.advice.canonical import is_snomed_id
from fhir_server.profiles.codings import Codings
from fhir_server.profiles.walk import Strictness
from terminology.code_system import CodeSystem
from terminology.issues import Issue as Reason
from terminology.issues import Refusal
from terminology.library import Shelf
from tests.fhir_server.profiles.conftest import Judge

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
XHTML = "http://www.w3.org/1999/xhtml"
ADVISING = Strictness(advice="warning", examples=False, markup=False)


def bundle(kind: str, *entries: Json, **more: Any) -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries), **more}


def entry(full_url: str | None = None, **resource: Any) -> Json:
    where = {"fullUrl": full_url} if full_url else {}
    return where | {"resource": {"resourceType": "Patient"} | resource}


def value_set(**include: Any) -> Json:
    return {"resourceType": "ValueSet", "compose": {"include": [include]}}


SNOMED = "http://snomed.info/sct"
INCLUDE = "ValueSet.compose.include[0]"
COMPOSED = {
    "fullUrl": "http://h/Composition/1",
    "resource": {
        "resourceType": "Composition",
        "id": "1",
        "subject": {"reference": "Patient/1"},
        "author": [{"display": "x"}, {"reference": "https://elsewhere.test/Practitioner/1"}],
    },
}
FOUND = {"search": {"mode": "match"}}
OUTCOME = {"search": {"mode": "outcome"}}
SEARCH = {"link": [{"relation": "self", "url": "http://h/Observation?code=1"}]}


@pytest.mark.parametrize(
    ("data", "place"),
    [
        pytest.param(bundle("collection", entry()), "Bundle.entry[0]", id="no fullUrl"),
        pytest.param(
            bundle("collection", entry("http://h/Patient/1", id="2")),
            "Bundle.entry[0]",
            id="another id than the fullUrl's",
        ),
        pytest.param(
            bundle("searchset", entry("http://h/Patient/1", id="1") | FOUND, **SEARCH),
            "Bundle.entry[0].resource",
            id="found, of another type",
        ),
        pytest.param(
            bundle("searchset", entry("http://h/Patient/1", id="1") | OUTCOME),
            "Bundle.entry[0]",
            id="no outcome",
        ),
        pytest.param(
            bundle("document", COMPOSED),
            "Bundle.entry[0].resource.subject",
            id="not in the document",
        ),
        pytest.param(
            {"resourceType": "CodeSystem", "content": "not-present", "concept": [{"code": "a"}]},
            "CodeSystem.concept[0]",
            id="concepts that are not present",
        ),
        pytest.param(
            {"resourceType": "CodeSystem", "content": "complete", "supplements": "http://s"},
            "CodeSystem.content",
            id="supplement",
        ),
        pytest.param(
            {"resourceType": "CodeSystem", "content": "complete", "url": "s"},
            "CodeSystem.url",
            id="URL that is not absolute",
        ),
        pytest.param(value_set(system="#s"), INCLUDE, id="system that is not absolute"),
        pytest.param(
            value_set(system=SNOMED, concept=[{"code": "1"}]), f"{INCLUDE}.concept[0]", id="SCTID"
        ),
        pytest.param(
            value_set(
                system=SNOMED, filter=[{"property": "constraint", "op": "=", "value": "1 << 2"}]
            ),
            f"{INCLUDE}.filter[0]",
            id="expression constraint",
        ),
        pytest.param(
            {
                "resourceType": "SearchParameter",
                "derivedFrom": "http://hl7.org/fhir/SearchParameter/Organization-name",
                "type": "token",
                "base": ["Organization"],
            },
            "SearchParameter.type",
            id="type of a derived search parameter",
        ),
        pytest.param(
            {
                "resourceType": "StructureDefinition",
                "type": "Patient",
                "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
                "derivation": "constraint",
                "differential": {"element": [{"path": "Patient.nobody"}]},
            },
            "StructureDefinition.differential",
            id="element that the base has not",
        ),
        pytest.param(
            {
                "resourceType": "Questionnaire",
                "item": [{"linkId": "1", "enableWhen": [{"question": "1", "operator": "exists"}]}],
            },
            "Questionnaire.item[0]",
            id="question that enables itself",
        ),
        pytest.param(
            {
                "resourceType": "Patient",
                "text": {"div": f'<div xmlns="{XHTML}"><a href="#x">x</a></div>'},
            },
            "Patient.text.div",
            id="link that leads nowhere",
        ),
        pytest.param(
            {"resourceType": "Patient", "name": [{"text": "<b>x</b>"}]},
            "Patient.name[0].text",
            id="HTML",
        ),
        pytest.param(
            {"resourceType": "Patient", "implicitRules": "http://example.org/rules"},
            "Patient.implicitRules",
            id="example",
        ),
        pytest.param(
            {"resourceType": "Patient", "photo": [{"data": "QUJD", "size": 4}]},
            "Patient.photo[0]",
            id="size",
        ),
        pytest.param(
            {"resourceType": "Patient", "name": [{"id": "a"}], "contact": [{"id": "a"}]},
            "Patient.contact[0]",
            id="id of two elements",
        ),
        pytest.param(
            {"resourceType": "Patient", "maritalStatus": {"coding": [{"system": "x"}]}},
            "Patient.maritalStatus.coding[0]",
            id="system of a coding that is not absolute",
        ),
    ],
)
async def test_advice(issues: Callable[..., list[Issue]], data: Json, place: str) -> None:
    found = issues(data, strictness=ADVISING)
    assert [(one.severity, one.expression) for one in found] == [("warning", place)]
    assert issues(data) == []


async def test_advice_is_no_error(errors: Judge) -> None:
    assert errors(bundle("collection", entry()), strictness=ADVISING) == []


async def test_report_answers_its_measure(world: Any, issues: Callable[..., list[Issue]]) -> None:
    def population(code: str) -> Json:
        return {"code": {"coding": [{"system": "http://p", "code": code}]}}

    world.resources["http://m"] = {
        "resourceType": "Measure",
        "group": [{"population": [population("numerator")]}],
    }
    report = {"resourceType": "MeasureReport", "measure": "http://m"}
    good = report | {"group": [{"population": [population("numerator")]}]}
    bad = report | {"group": [{"population": [population("other")]}]}
    assert issues(good, strictness=ADVISING) == []
    assert [one.expression for one in issues(bad, strictness=ADVISING)] == [
        "MeasureReport.group[0].population[0]",
        "MeasureReport.group[0]",
    ]


@pytest.mark.parametrize(
    ("code", "valid"),
    [("138875005", True), ("900000000000207008", True), ("138875006", False), ("12345", False)],
)
async def test_snomed_ids_end_with_a_check_digit(code: str, valid: bool) -> None:  # noqa: FBT001
    assert is_snomed_id(code) is valid


@pytest.mark.parametrize(
    ("code", "display", "found"),
    [
        pytest.param("a", None, None, id="known"),
        pytest.param("a", "the  FIRST", None, id="display in another case"),
        pytest.param("a", "other", "The display is none of the code's", id="display"),
        pytest.param("b", None, "The code system has no such code", id="code"),
    ],
)
async def test_codings(code: str, display: str | None, found: str | None) -> None:
    system = {
        "resourceType": "CodeSystem",
        "url": "http://s",
        "status": "active",
        "content": "complete",
        "concept": [{"code": "a", "display": "The first"}],
    }
    codings = Codings(Shelf([system]))
    assert codings.problem("http://s", code, display) is None
    assert codings.problem("http://unknown", code, display) is None
    await codings.find()
    assert codings.problem("http://s", code, display) == found
    assert codings.problem("http://unknown", code, display) is None


class Busy(Shelf):
    """A library that cannot answer in time."""

    async def code_systems(self, url: str) -> Sequence[CodeSystem]:
        words = f"of {url}: ask for less"
        raise Refusal(422, Reason("error", "too-costly", None, words))


async def test_nothing_is_said_of_a_coding_that_cannot_be_looked_up() -> None:
    codings = Codings(Busy())
    assert codings.problem("http://s", "a", None) is None
    await codings.find()
    assert (codings.asked, codings.problem("http://s", "a", None)) == ({}, None)
    assert codings.asked == {}
