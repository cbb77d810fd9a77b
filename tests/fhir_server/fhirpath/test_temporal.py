from decimal import Decimal

import pytest

from fhir_server.fhirpath.quantity import Quantity
from fhir_server.fhirpath.refusal import Misuse
from fhir_server.fhirpath.temporal import boundary, compare, plus, temporal


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("Date", "2020"),
        ("Date", "2020-02-29"),
        ("DateTime", "2020-02-29T10:00:00.120+05:30"),
        ("DateTime", "2020-02-29T10:00:00Z"),
        ("DateTime", "2020-02-29T10"),
        ("Time", "10:00:05.5"),
    ],
)
def test_what_is_read_is_written_the_same(kind: str, text: str) -> None:
    assert str(temporal(kind, text)) == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("Date", "2019-02-29"),
        ("Date", "2020-13"),
        ("Date", "0000"),
        ("Date", "2020-01-01T10:00"),
        ("DateTime", "2020-01-01T24:00:00Z"),
        ("Time", "10:60"),
        ("Time", "x"),
    ],
)
def test_what_there_is_not_is_refused(kind: str, text: str) -> None:
    with pytest.raises(Misuse):
        temporal(kind, text)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("2020", "2021", -1),
        ("2020", "2020-01", None),
        ("2020-01-01T10:00:00+05:30", "2020-01-01T04:30:00Z", 0),
        ("2020-01-01T10:00:00", "2020-01-01T10:00:00Z", None),
        ("2020-01-03T10:00:00", "2020-01-01T10:00:00Z", 1),
        ("2020-01-01T10:00:00", "2020-01-01T10:00:00.0", 0),
        ("2019-12-31T23:00:00-02:00", "2020-01-01T00:30:00Z", 1),
    ],
)
def test_moments_are_in_order_as_far_as_known(left: str, right: str, expected: int | None) -> None:
    mine, yours = temporal("DateTime", left), temporal("DateTime", right)
    assert compare(mine, yours) == expected
    assert compare(yours, mine) == (None if expected is None else -expected)


@pytest.mark.parametrize(
    ("start", "amount", "unit", "expected"),
    [
        ("2020-01-31", "1", "month", "2020-02-29"),
        ("2020-02-29", "1", "year", "2021-02-28"),
        ("2020-02-28", "1.9", "days", "2020-02-29"),
        ("2020-01", "60", "days", "2020-03"),
        ("2020-01-01T23:59:59Z", "1", "second", "2020-01-02T00:00:00Z"),
        ("2020-01-01T00:00:00.000Z", "10", "ms", "2020-01-01T00:00:00.010Z"),
    ],
)
def test_a_moment_moves(start: str, amount: str, unit: str, expected: str) -> None:
    quantity = Quantity(Decimal(amount), unit, quoted=unit == "ms")
    assert str(plus(temporal("DateTime", start), quantity, 1)) == expected


def test_boundaries_are_the_first_and_last_moment_meant() -> None:
    month = temporal("Date", "2020-02")
    assert str(boundary(month, 8, high=False)) == "2020-02-01"
    assert str(boundary(month, 8, high=True)) == "2020-02-29"
    assert boundary(month, 7, high=True) is None
