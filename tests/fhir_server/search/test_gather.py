"""Conditions that one row or one target must meet are asked of it together."""

from fhir_server.search.condition import Both, Condition, Linked, Row, Terms
from tests.fhir_server.search.matching import query


def conditions(type_name: str, text: str) -> tuple[Condition, ...]:
    return query(type_name, text).conditions


def test_two_ends_of_a_range_ask_one_row_of_a_single_value() -> None:
    ends = [c for c in conditions("Patient", "birthdate=ge1980&birthdate=lt1981") if c]
    assert [type(one) for one in ends] == [Terms, Row]
    assert len(ends[0].alternatives) == len(("1980-01", *range(11), "long"))  # type: ignore[union-attr]


def test_two_ends_of_a_range_may_ask_two_rows_of_a_repeated_value() -> None:
    found = conditions("ServiceRequest", "occurrence=ge1980&occurrence=lt1981")
    rows = [one for one in found if isinstance(one, Row)]
    repeated = conditions("Patient", "death-date=ge1980&death-date=lt1981")
    assert len(rows) == 1
    assert len([one for one in repeated if isinstance(one, Row)]) == 1
    several = conditions("Goal", "target-date=ge1980&target-date=lt1981")
    assert len([one for one in several if isinstance(one, Row)]) == 2


def test_chains_through_one_reference_ask_one_target() -> None:
    found = conditions("Observation", "patient.family=rao&patient.given=asha")
    (linked,) = found
    assert isinstance(linked, Linked)
    assert isinstance(linked.condition, Both)
    assert len(linked.condition.conditions) == 2


def test_chains_through_a_repeated_reference_may_be_met_by_two_targets() -> None:
    found = conditions(
        "Observation", "performer:Practitioner.family=rao&performer:Practitioner.given=asha"
    )
    assert [type(one) for one in found] == [Linked, Linked]


def test_months_are_not_asked_where_few_resources_are_left() -> None:
    found = conditions("Observation", "patient=Patient/1&date=ge2021-01-01&date=lt2021-02-01")
    assert [type(one) for one in found] == [Terms, Row]


def test_two_words_of_one_address_may_be_two_of_its_parts() -> None:
    found = conditions("Location", "address=MG Road&address=Pune")
    assert [type(one) for one in found] == [Row, Row]


def test_a_date_without_period_that_ends_late_does_not_start_a_year_before() -> None:
    (found,) = conditions("Patient", "birthdate=ge1950")
    assert isinstance(found, Row)
    starts = [group[0] for group in found.groups if group[0].column == "low" and len(group) == 1]
    assert [(test.comparison, test.value) for test in starts] == [
        (">=", -631_152_000_000_000 - 366 * 86_400_000_000)
    ]
