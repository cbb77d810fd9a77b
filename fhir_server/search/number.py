"""Number parameters.

https://hl7.org/fhir/R4/search.html#number
"""

import re
from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import Any

from fhir_server.search.clause import Clause
from fhir_server.search.condition import Condition, Row, either
from fhir_server.search.context import Context
from fhir_server.search.interval import Groups, point_groups
from fhir_server.search.parameter import Parameter
from fhir_server.search.rows import Rows, Writer

TABLE = "idx_number"
MODIFIERS: frozenset[str] = frozenset()

Interval = tuple[str, str]
"""Half-open [low, high) of order keys."""

INTEGERS = frozenset({"integer", "positiveInt", "unsignedInt"})
"""Element types whose values a search equals exactly, however its number is written."""

LOWEST = ""
HIGHEST = "~"
_NUMBER = re.compile(r"[+-]?\d{1,400}(\.\d{1,400})?([eE][+-]?\d{1,4})?", re.ASCII)
_EXPONENT_OFFSET = 50_000
_COMPLEMENT = str.maketrans("0123456789", "9876543210")


def order_key(value: Decimal) -> str:
    """Return text that sorts, byte by byte, as the numbers do; equal for equal numbers.

    Sign, exponent of the leading digit, digits; of a negative number the
    complements of them and a closing mark. Numbers of 10^49999 and more, which no
    instrument writes, are beyond comparison: they fall together.
    """
    if not value:
        return "0"
    mantissa, _, power = f"{value:E}".lstrip("-").partition("E")
    exponent = min(max(int(power) + _EXPONENT_OFFSET, 0), 99_999)
    text = f"{exponent:05d}{mantissa.replace('.', '').rstrip('0')}"
    return f"-{text.translate(_COMPLEMENT)}~" if value < 0 else f"1{text}"


def after(key: str) -> str:
    """Return the text that sorts next after the key of a number and before any other."""
    return f"{key}!"


def point(value: Decimal) -> Interval:
    """Return the interval of one number."""
    key = order_key(value)
    return key, after(key)


def bounds(low: Decimal | None, high: Decimal | None) -> Interval:
    """Return the closed interval; a missing side is infinite."""
    return (
        LOWEST if low is None else order_key(low),
        HIGHEST if high is None else after(order_key(high)),
    )


def read(clause: Clause, text: str) -> Decimal:
    """Return the number that `text` writes; refused when it writes none."""
    if not _NUMBER.fullmatch(text):
        raise clause.refuse("The value is not a decimal number.")
    return Decimal(text)


def precision(text: str, value: Decimal, context: Context) -> tuple[Decimal, Decimal]:
    """Return the implicit range of a searched number: half a unit of its last digit.

    The specification prints [95, 105) for 1e2: an exponent form without a decimal
    point has one digit more than it shows, unless the setting says `digits`.
    """
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if "e" in text.lower() and "." not in text and not context.exponent_by_digits:
        exponent -= 1
    half = Decimal((0, (5,), exponent - 1))
    with localcontext(prec=1000):
        return value - half, value + half


def searched_range(
    prefix: str, text: str, value: Decimal, context: Context
) -> tuple[Decimal, Decimal]:
    """Return what `eq`, `ne` and `ap` compare with; for the others the number twice."""
    if prefix in {"eq", "ne"}:
        return precision(text, value, context)
    if prefix == "ap":
        with localcontext(prec=1000):
            margin = abs(value) / 10
            return value - margin, value + margin
    return value, value


def searched_keys(prefix: str, low: str, high: str) -> Interval:
    """Return the interval of searched order keys: half-open for `eq` and `ne`, else closed."""
    return (low, high) if prefix in {"eq", "ne"} else (low, after(high))


def _write_number(rows: Rows, parameter: Parameter, value: int | Decimal) -> None:
    rows.ranges[TABLE].add((parameter.id, *point(Decimal(value))))


def quantity_bounds(value: dict[str, Any]) -> Interval | None:
    """Return the interval of a Range by the values of its sides; None without both."""
    low = (value.get("low") or {}).get("value")
    high = (value.get("high") or {}).get("value")
    if low is None and high is None:
        return None
    return bounds(
        None if low is None else Decimal(low),
        None if high is None else Decimal(high),
    )


def _write_range(rows: Rows, parameter: Parameter, value: dict[str, Any]) -> None:
    found = quantity_bounds(value)
    if found:
        rows.ranges[TABLE].add((parameter.id, *found))


WRITERS: Mapping[str, Writer] = {
    "integer": _write_number,
    "positiveInt": _write_number,
    "unsignedInt": _write_number,
    "decimal": _write_number,
    "Range": _write_range,
}


def present(context: Context, parameter: Parameter) -> Condition:  # noqa: ARG001  (SearchType)
    """Return the condition that the parameter has a value."""
    return Row(TABLE, parameter.id, ())


def condition(context: Context, clause: Clause) -> Condition:
    """Return the condition of the clause's alternatives."""
    groups = [searched(context, clause, value) for value in clause.values]
    return either([Row(TABLE, clause.parameter.id, g) for g in groups])


def searched(context: Context, clause: Clause, value: str) -> Groups:
    """Return the tests that one searched value stands for."""
    prefix, text = clause.prefix(clause.unescape(value))
    number = read(clause, text)
    if clause.types <= INTEGERS and prefix in {"eq", "ne"}:
        return point_groups(prefix, *point(number))
    low, high = searched_range(prefix, text, number, context)
    return point_groups(prefix, *searched_keys(prefix, order_key(low), order_key(high)))
