"""Values beside what a profile fixes, patterns or bounds."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.profiles.values import compared, equal, has_pattern, quantities
from terminology.ucum.unit import unit

NOW = datetime(2024, 2, 29, 12, tzinfo=UTC)
UCUM = "http://unitsofmeasure.org"


@pytest.mark.parametrize(
    ("value", "other", "same"),
    [
        (Decimal("1.0"), Decimal("1.00"), True),
        (1, Decimal("1.0"), True),
        (True, 1, False),
        ({"a": [1]}, {"a": [1]}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ([1, 2], [2, 1], False),
    ],
)
def test_equality(value: Any, other: Any, same: bool) -> None:  # noqa: FBT001
    assert equal(value, other) is same


@pytest.mark.parametrize(
    ("value", "pattern", "met"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([{"a": 1}, {"b": 2}], [{"b": 2}], True),
        ([{"a": 1}], [{"a": 1}, {"b": 2}], False),
    ],
)
def test_patterns(value: Any, pattern: Any, met: bool) -> None:  # noqa: FBT001
    assert has_pattern(value, pattern) is met


@pytest.mark.parametrize(
    ("kind", "value", "bound", "order"),
    [
        ("integer", 1, 2, -1),
        ("decimal", Decimal("2.0"), 2, 0),
        ("date", "2024", "2024-06-01", 0),
        ("date", "2025", "2024-06-01", 1),
        ("dateTime", "2024-01-01T00:00:00+05:30", "2024-01-01T00:00:00Z", -1),
        ("time", "09:00:00", "08:00:00", 1),
        ("date", "2024-02-28", {"value": 0, "code": "d", "system": UCUM}, -1),
        ("date", "2023-02-28", {"value": -1, "code": "a", "system": UCUM}, 0),
        ("string", "a", 1, None),
    ],
)
def test_order(kind: str, value: Any, bound: Any, order: int | None) -> None:
    assert compared(kind, value, bound, NOW) == order


def quantity(value: int, code: str) -> dict[str, Any]:
    return {"value": value, "system": UCUM, "code": code}


@pytest.mark.parametrize(
    ("value", "bound", "order"),
    [
        (quantity(1, "kg"), quantity(2, "kg"), -1),
        (quantity(1_000, "g"), quantity(1, "kg"), 0),
        (quantity(1, "kg"), quantity(1, "m"), None),
        ({"code": "kg"}, quantity(1, "kg"), None),
    ],
)
def test_order_of_quantities(
    value: dict[str, Any], bound: dict[str, Any], order: int | None
) -> None:
    assert quantities(value, bound, unit) == order
