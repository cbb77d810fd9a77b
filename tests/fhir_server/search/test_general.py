"""Search parameters whose expressions the FHIRPath engine runs."""

from typing import Any

import pytest

from fhir_server.config import SearchSettings
from fhir_server.r4.definitions import load
from fhir_server.search.context import Context
from fhir_server.search.extract import written
from fhir_server.search.general import alone
from fhir_server.search.parameter import Parameter
from fhir_server.search.path import ExpressionError
from fhir_server.search.registry import Registry

REGISTRY = Registry.build(load(), Context.of(SearchSettings(), ("http://x.test/fhir",)))
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "name": [
        {"use": "official", "family": "Rao", "given": ["Asha", "Devi"]},
        {"use": "old", "family": "Iyer"},
    ],
    "telecom": [{"system": "phone", "value": "1", "rank": 2}],
    "gender": "female",
    "birthDate": "1980-02-29",
    "managingOrganization": {"reference": "Organization/o"},
}


def parameter(kind: str, expression: str) -> Parameter:
    return Parameter(
        id=70_000,
        base="Patient",
        code="own",
        type=kind,
        url="http://x.test/own",
        expression=expression,
        target=(),
        component=(),
    )


def rows(kind: str, expression: str, resource: dict[str, Any]) -> Any:
    write, _ = alone(REGISTRY.definitions, parameter(kind, expression))
    return written(REGISTRY.context, write, resource)


@pytest.mark.parametrize(
    ("kind", "expression", "path", "types"),
    [
        ("string", "Patient.name.where(use != 'old').family", "Patient.name[0].family", {"string"}),
        ("string", "Patient.name.given.select(lower())", None, {"string"}),
        ("string", "name.select(family & ', ' & given.first())", None, {"string"}),
        ("token", "Patient.telecom.where(rank > 1)", "Patient.telecom", {"ContactPoint"}),
        ("token", "Patient.gender.where($this = 'female')", "Patient.gender", {"code"}),
        ("token", "Patient.name.count() > 1", None, {"boolean"}),
        ("number", "Patient.name.given.count()", None, {"integer"}),
        ("date", "Patient.birthDate.where(toString().startsWith('1980'))", None, {"date"}),
        (
            "reference",
            "Patient.managingOrganization.where(reference.exists())",
            "Patient.managingOrganization",
            {"Reference"},
        ),
        (
            "date",
            "Patient.deceased.ofType(dateTime).where(true) | Observation.issued",
            None,
            {"dateTime"},
        ),
    ],
)
def test_the_engine_gives_what_is_indexed(
    kind: str, expression: str, path: str | None, types: set[str]
) -> None:
    _, facts = alone(REGISTRY.definitions, parameter(kind, expression))
    assert facts.types == types
    found = rows(kind, expression, {**PATIENT, "deceasedDateTime": "2020-01-01"})
    assert found.count > 0
    if path is not None:
        simple = path if "[" not in path else "Patient.name.where(use = 'official').family"
        assert rows(kind, simple, PATIENT) == rows(kind, expression, PATIENT)


@pytest.mark.parametrize(
    ("kind", "expression", "reason"),
    [
        ("token", "Patient.nothing.lower()", "Patient has no element nothing"),
        ("date", "Patient.gender.lower()", "it leads to no value that a date parameter of Patient"),
        ("token", "Group.type.where(x > 1)", "it leads to no value that a token parameter"),
        ("string", "Patient.name.family + 'x'", r"of what type the result of \+ is"),
        ("string", "Patient.repeat(contained)", "of what type the result of repeat is"),
        ("string", "%resource.id.lower()", "a variable is no value of the resource"),
        ("string", "Patient.name.(", "expected the name of an element"),
        ("string", "Patient.name.unheard()", "the function unheard is not offered"),
    ],
)
def test_what_cannot_be_told_before_is_refused(kind: str, expression: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason):
        alone(REGISTRY.definitions, parameter(kind, expression))


def test_what_cannot_be_evaluated_has_no_value() -> None:
    expression = "Patient.name.single().family"
    assert rows("string", expression, PATIENT).count == 0
    alone_named = {**PATIENT, "name": PATIENT["name"][:1]}
    assert rows("string", expression, alone_named).count > 0
