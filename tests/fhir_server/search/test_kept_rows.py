from typing import Any

import pytest

from fhir_server.r4 import definitions
from fhir_server.search import kept
from fhir_server.search.context import Context
from fhir_server.search.extract import extract
from fhir_server.search.registry import Registry

BASES = ("http://here/fhir",)
CODED = {"coding": [{"system": "http://loinc.org", "code": "2345-7", "display": "Glucose"}]}
RESULT = {
    "resourceType": "Observation",
    "status": "final",
    "code": CODED,
    "subject": {"reference": "Patient/1"},
    "valueQuantity": {"value": 5, "unit": "mg", "system": "http://unitsofmeasure.org"},
    "referenceRange": [{"text": "four to six"}],
    "component": [{"code": CODED, "valueQuantity": {"value": 7, "unit": "mg"}}],
}
PERSON = {
    "resourceType": "Patient",
    "name": [{"family": "Rao", "given": ["Asha"]}],
    "birthDate": "1980-01-02",
    "generalPractitioner": [{"reference": "#gp"}],
    "contained": [{"resourceType": "Practitioner", "id": "gp", "gender": "female"}],
}
CODES = {"resourceType": "ValueSet", "url": "http://example.org/codes", "status": "draft"}
OTHER = {
    "Observation": {"status": "amended", "subject": {"reference": "Patient/2"}},
    "Patient": {
        "contained": [{"resourceType": "Practitioner", "id": "gp", "gender": "male"}],
    },
    "ValueSet": {"version": "2"},
}


def registry() -> Registry:
    return Registry.build(definitions.load(), Context(bases=BASES))


@pytest.mark.parametrize(
    "resource",
    [RESULT, PERSON, CODES],
    ids=[one["resourceType"] for one in (RESULT, PERSON, CODES)],
)
def test_what_comes_again_adds_what_it_added(resource: dict[str, Any]) -> None:
    name = resource["resourceType"]
    other = {**resource, **OTHER[name]}
    known = registry()
    found = [extract(known, name, one) for one in (resource, other) * 3]
    alone = [extract(registry(), name, one) for one in (resource, other)]
    assert known.context.kept
    assert found == alone * 3
    assert alone[0] != alone[1]


def test_an_element_is_kept_when_it_comes_for_the_second_time() -> None:
    known = registry()
    extract(known, "Observation", RESULT)
    first = set(known.context.kept)
    extract(known, "Observation", {**RESULT, "status": "amended"})
    assert first == set()
    assert {name for _, name, _ in known.context.kept} == (
        RESULT.keys() - {"resourceType", "status"}
    )


def test_long_elements_and_those_that_refer_inside_are_not_kept() -> None:
    known = registry()
    for _ in range(3):
        extract(known, "Patient", {**PERSON, "address": [{"text": "x" * 600}]})
    assert {name for _, name, _ in known.context.kept} == {"name", "birthDate", "contained"}


def test_no_more_than_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_MOST_SEEN", 100)
    known = Registry.build(definitions.load(), Context(bases=BASES, most_kept=3))
    for number in range(40):
        one = {**RESULT, "subject": {"reference": f"Patient/{number}"}}
        extract(known, "Observation", one)
        assert extract(known, "Observation", one) == extract(registry(), "Observation", one)
    assert len(known.context.kept) <= 3
    assert len(known.context.seen) <= 100


@pytest.mark.parametrize(("full_text", "is_found"), [(True, True), (False, False)])
def test_texts_are_read_where_words_are_searched(*, full_text: bool, is_found: bool) -> None:
    known = Registry.build(definitions.load(), Context(full_text=full_text))
    found = [extract(known, "Observation", RESULT).ranges["idx_words"] for _ in range(3)]
    assert ["'four'" in vector for [(_, vector)] in found] == [is_found] * 3
