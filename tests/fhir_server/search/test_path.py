import pytest

from fhir_server.search.path import (
    As,
    ExpressionError,
    Extension,
    Happened,
    Index,
    Member,
    Resolves,
    Root,
    Where,
    WithExtension,
    parse,
)


@pytest.mark.parametrize(
    ("expression", "paths"),
    [
        ("Patient.name", [(Root("Patient"), Member("name"))]),
        (
            "Patient.name | Person.name",
            [(Root("Patient"), Member("name")), (Root("Person"), Member("name"))],
        ),
        (
            "(Observation.value as Quantity)",
            [(Root("Observation"), Member("value"), As("Quantity"))],
        ),
        (
            "(Observation.value as CodeableConcept).text",
            [(Root("Observation"), Member("value"), As("CodeableConcept"), Member("text"))],
        ),
        ("Condition.onset.as(Age)", [(Root("Condition"), Member("onset"), As("Age"))]),
        ("value.ofType(Range)", [(Root(""), Member("value"), As("Range"))]),
        (
            "Patient.telecom.where(system='phone')",
            [(Root("Patient"), Member("telecom"), Where("system", "phone"))],
        ),
        (
            "Observation.subject.where(resolve() is Patient)",
            [(Root("Observation"), Member("subject"), Resolves("Patient"))],
        ),
        (
            "Bundle.entry[0].resource",
            [(Root("Bundle"), Member("entry"), Index(0), Member("resource"))],
        ),
        ("Patient.name.first()", [(Root("Patient"), Member("name"), Index(0))]),
        ("Patient.extension('u')", [(Root("Patient"), Extension("u"))]),
        (
            "A.item.where(hasExtension('u')).b",
            [(Root("A"), Member("item"), WithExtension("u"), Member("b"))],
        ),
        (
            "Patient.deceased.exists() and Patient.deceased != false",
            [(Root("Patient"), Member("deceased"), Happened())],
        ),
        ("%resource.a", [(Root("%resource"), Member("a"))]),
    ],
)
def test_the_subset(expression: str, paths: list[object]) -> None:
    assert list(parse(expression)) == paths


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "Patient.",
        "Patient.name.count()",
        "(Patient.name",
        "Patient.name)",
        "a.where(b > 1)",
        "1",
    ],
)
def test_what_is_outside_of_the_subset_is_refused(expression: str) -> None:
    with pytest.raises(ExpressionError):
        parse(expression)
