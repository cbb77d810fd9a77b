"""Comparison of values with what a profile fixes, patterns or bounds.

https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.fixed_x_
"""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from fhir_server.fhirpath.quantity import Quantity, Units, comparable, measure
from fhir_server.fhirpath.values import UCUM

_NUMBERS: Final = frozenset((int, Decimal, float))
_SIGNED: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?\Z")
_MONTHS: Final = 12


def equal(value: Any, other: Any) -> bool:  # noqa: ANN401  (JSON)
    """Return whether two values are the same to the last member; numbers by value."""
    if type(value) is dict and type(other) is dict:
        return value.keys() == other.keys() and all(
            equal(value[name], other[name]) for name in value
        )
    if type(value) is list and type(other) is list:
        return len(value) == len(other) and all(map(equal, value, other))
    return _same(value, other)


def has_pattern(value: Any, pattern: Any) -> bool:  # noqa: ANN401  (JSON)
    """Return whether all that the pattern has is in the value, each item in some item."""
    if type(pattern) is dict:
        return type(value) is dict and all(
            name in value and has_pattern(value[name], inner) for name, inner in pattern.items()
        )
    if type(pattern) is list:
        return type(value) is list and all(
            any(has_pattern(one, inner) for one in value) for inner in pattern
        )
    return _same(value, pattern)


def _same(value: Any, other: Any) -> bool:  # noqa: ANN401  (JSON)
    if type(value) in _NUMBERS and type(other) in _NUMBERS:
        return Decimal(str(value)) == Decimal(str(other))
    return type(value) is type(other) and bool(value == other)


def compared(type_name: str, value: Any, bound: Any, now: datetime) -> int | None:  # noqa: ANN401
    """Return -1, 0 or 1 as the value is below, at or above the bound; None where it cannot be told.

    The bound of a date may be a Quantity or Duration: a distance from now.
    """
    if type_name in {"date", "dateTime", "instant"}:
        return _times(value, _moved(now, bound) if type(bound) is dict else bound)
    if type(value) in _NUMBERS and type(bound) in _NUMBERS | {str}:
        return _order(Decimal(str(value)), Decimal(str(bound)))
    if type_name == "time" and type(value) is str and type(bound) is str:
        return _order(value, bound)
    return None


def quantities(value: Any, bound: Any, units: Units) -> int | None:  # noqa: ANN401  (JSON)
    """Return how a Quantity stands to another, as `compared` does; units of UCUM are converted."""
    if any(type(one.get("value")) not in _NUMBERS for one in (value, bound)):
        return None
    if all(value.get(name) == bound.get(name) for name in ("system", "code")):
        return _order(Decimal(str(value["value"])), Decimal(str(bound["value"])))
    if value.get("system") != UCUM or bound.get("system") != UCUM:
        return None
    mine, yours = (
        Quantity(Decimal(str(one["value"])), str(one.get("code"))) for one in (value, bound)
    )
    if not comparable(mine, yours, units):
        return None
    return _order(measure(mine, units)[1], measure(yours, units)[1])


def _order(value: Any, other: Any) -> int:  # noqa: ANN401  (both of one type)
    return int(value > other) - int(value < other)


def _times(value: Any, bound: Any) -> int | None:  # noqa: ANN401  (JSON)
    if type(value) is not str or type(bound) is not str:
        return None
    if "T" in value and "T" in bound:
        first, second = _moment(value), _moment(bound)
        return _order(first, second) if first and second else None
    length = min(len(value.partition("T")[0]), len(bound.partition("T")[0]))
    return _order(value[:length], bound[:length])


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _moved(now: datetime, distance: dict[str, Any]) -> str | None:
    amount = str(distance.get("value", ""))
    if not _SIGNED.match(amount):
        return None
    number, code = Decimal(amount), distance.get("code")
    seconds = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "wk": 604_800}.get(str(code))
    try:
        if seconds:
            return (now + timedelta(seconds=float(number * seconds))).isoformat()
        if code in {"mo", "a"}:
            months = int(number * (_MONTHS if code == "a" else 1))
            return _months_on(now.date(), months).isoformat()
    except (OverflowError, ValueError):
        return None
    return None


def _months_on(day: date, months: int) -> date:
    total = day.year * _MONTHS + day.month - 1 + months
    year, month = divmod(total, _MONTHS)
    last = (date(year + month // 11, (month + 1) % _MONTHS + 1, 1) - timedelta(days=1)).day
    return date(year, month + 1, min(day.day, last))
