import pytest

from fhir_server.r4 import definitions
from fhir_server.search.context import Context
from fhir_server.search.extract import extract
from fhir_server.search.registry import Registry
from fhir_server.search.rows import IndexRows

CODED = {"coding": [{"system": "http://loinc.org", "code": "2345-7", "display": "Glucose"}]}


def observation(**more: object) -> dict[str, object]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": CODED,
        "subject": {"reference": "Patient/1"},
        **more,
    }


def registry() -> Registry:
    return Registry.build(definitions.load(), Context(bases=("http://here/fhir",)))


def test_values_that_come_again_have_the_rows_that_they_had() -> None:
    known = registry()
    first = extract(known, "Observation", observation())
    assert known.context.written
    assert extract(known, "Observation", observation()) == first
    assert extract(registry(), "Observation", observation()) == first


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"subject": {"reference": "Patient/2"}}, id="reference"),
        pytest.param({"status": "amended"}, id="code"),
        pytest.param({"code": {"coding": [{"system": "urn:x", "code": "2345-7"}]}}, id="system"),
        pytest.param({"code": {"coding": [{**CODED["coding"][0], "display": "X"}]}}, id="display"),
        pytest.param({"category": [CODED]}, id="parameter"),
    ],
)
def test_values_that_differ_have_rows_of_their_own(other: dict[str, object]) -> None:
    known = registry()
    before = extract(known, "Observation", observation())
    found = extract(known, "Observation", observation(**other))
    assert found == extract(registry(), "Observation", observation(**other))
    assert found != before


def test_rows_of_a_part_of_a_composite_are_not_those_of_a_parameter() -> None:
    valued = observation(valueQuantity={"value": 5, "unit": "mg"})
    known = registry()
    extract(known, "Observation", observation())
    assert extract(known, "Observation", valued) == alone(valued)


def test_long_values_are_not_kept() -> None:
    known = registry()
    extract(known, "Observation", observation(subject={"reference": "Patient/1"}))
    kept = len(known.context.written)
    long = {"coding": [{"system": "urn:x", "code": "1", "display": "x" * 501}]}
    extract(known, "Observation", observation(code=long))
    assert len(known.context.written) == kept


def alone(resource: dict[str, object]) -> IndexRows:
    return extract(registry(), "Observation", resource)
