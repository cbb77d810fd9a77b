"""Quantity parameters.

https://hl7.org/fhir/R4/search.html#quantity
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Any

from fhir_server.search.clause import Clause, split
from fhir_server.search.condition import Condition, Row, Test, either
from fhir_server.search.context import Context
from fhir_server.search.interval import Groups, point_groups
from fhir_server.search.number import (
    HIGHEST,
    LOWEST,
    after,
    order_key,
    read,
    searched_keys,
    searched_range,
)
from fhir_server.search.parameter import Parameter
from fhir_server.search.rows import Rows, Writer
from fhir_server.search.terms import term
from terminology.ucum import unit as ucum

TABLE = "idx_quantity"
MODIFIERS: frozenset[str] = frozenset()

CURRENCIES = "urn:iso:std:iso:4217"
_DIGITS = 34
_LARGEST_EXPONENT = 1000


@dataclass(frozen=True, slots=True)
class Measure:
    """An interval of numbers in a unit; a side that is None is infinite."""

    low: Decimal | None
    high: Decimal | None
    low_open: bool = False
    high_open: bool = False
    system: str | None = None
    code: str | None = None
    unit: str | None = None

    def keys(self, convert: Callable[[Decimal], str]) -> tuple[str, str]:
        """Return the half-open interval of order keys, each side converted."""
        low = LOWEST if self.low is None else convert(self.low)
        high = HIGHEST if self.high is None else convert(self.high)
        return (
            after(low) if self.low_open and low else low,
            high if self.high_open or self.high is None else after(high),
        )


def rational_key(value: Fraction) -> str:
    """Return the order key of a fraction, rounded to 34 digits; equal for equal fractions."""
    with localcontext(prec=_DIGITS):
        return order_key(Decimal(value.numerator) / Decimal(value.denominator))


def canonical(system: str, code: str) -> tuple[tuple[str, ...], Callable[[Decimal], str]]:
    """Return what a unit is compared under, and the order key of a value in it.

    UCUM units under their dimension in base units, all others under themselves.
    """
    found = ucum.unit(code) if system == ucum.SYSTEM else None
    if found is None:
        return ("literal", system, code), order_key
    known = found

    def key(value: Decimal) -> str:
        if value and abs(value.adjusted()) > _LARGEST_EXPONENT:
            return order_key(value)
        return rational_key(known.canonical(value))

    return ("dimension", known.dimension), key


@lru_cache(maxsize=1 << 14)
def columns(secret: bytes, measure: Measure) -> tuple[str, str, int, int, int, str, str]:
    """Return the columns of `idx_quantity` after `param`."""
    low, high = measure.keys(order_key)
    standard, standard_low, standard_high = 0, low, high
    if measure.system and measure.code:
        names, convert = canonical(measure.system, measure.code)
        standard = term(secret, 0, *names)
        standard_low, standard_high = measure.keys(convert)
    return (
        low,
        high,
        term(secret, 0, "unit", measure.code) if measure.code else 0,
        term(secret, 0, "unit", measure.unit) if measure.unit else 0,
        standard,
        standard_low,
        standard_high,
    )


def quantity_measure(value: dict[str, Any]) -> Measure | None:
    """Return a Quantity's interval: open towards where its comparator points."""
    number = value.get("value")
    if number is None:
        return None
    number = Decimal(number)
    comparator = value.get("comparator", "")
    below, above = comparator.startswith("<"), comparator.startswith(">")
    return Measure(
        low=None if below else number,
        high=None if above else number,
        low_open=comparator == ">",
        high_open=comparator == "<",
        system=value.get("system"),
        code=value.get("code"),
        unit=value.get("unit"),
    )


def money_measure(value: dict[str, Any]) -> Measure | None:
    """Return an amount of Money as a quantity in its currency."""
    number = value.get("value")
    if number is None:
        return None
    return Measure(Decimal(number), Decimal(number), system=CURRENCIES, code=value.get("currency"))


def range_measure(value: dict[str, Any]) -> Measure | None:
    """Return a Range's interval in the unit of its sides."""
    low, high = value.get("low") or {}, value.get("high") or {}
    return _between(low.get("value"), high.get("value"), {**high, **low})


def sampled_measure(value: dict[str, Any]) -> Measure | None:
    """Return what SampledData spans: its limits, else its origin."""
    origin = value.get("origin") or {}
    if "lowerLimit" in value or "upperLimit" in value:
        return _between(value.get("lowerLimit"), value.get("upperLimit"), origin)
    return quantity_measure(origin)


def _between(low: Any, high: Any, unit: dict[str, Any]) -> Measure | None:  # noqa: ANN401  (JSON)
    if low is None and high is None:
        return None
    return Measure(
        low=None if low is None else Decimal(low),
        high=None if high is None else Decimal(high),
        system=unit.get("system"),
        code=unit.get("code"),
        unit=unit.get("unit"),
    )


MEASURES: dict[str, Callable[[dict[str, Any]], Measure | None]] = {
    "Quantity": quantity_measure,
    "SimpleQuantity": quantity_measure,
    "Age": quantity_measure,
    "Duration": quantity_measure,
    "Distance": quantity_measure,
    "Count": quantity_measure,
    "Money": money_measure,
    "Range": range_measure,
    "SampledData": sampled_measure,
}


def _writer(element_type: str) -> Callable[[Rows, Parameter, Any], None]:
    measure = MEASURES[element_type]

    def write(rows: Rows, parameter: Parameter, value: dict[str, Any]) -> None:
        found = measure(value)
        if found is not None:
            rows.ranges[TABLE].add((parameter.id, *columns(rows.context.secret, found)))

    return write


WRITERS: Mapping[str, Writer] = {element_type: _writer(element_type) for element_type in MEASURES}


def present(context: Context, parameter: Parameter) -> Condition:  # noqa: ARG001  (SearchType)
    """Return the condition that the parameter has a value."""
    return Row(TABLE, parameter.id, ())


def condition(context: Context, clause: Clause) -> Condition:
    """Return the condition of the clause's alternatives."""
    groups = [searched(context, clause, value) for value in clause.values]
    return either([Row(TABLE, clause.parameter.id, g) for g in groups])


def searched(context: Context, clause: Clause, value: str) -> Groups:
    """Return the tests that one searched value stands for."""
    text, *unit = (clause.unescape(part) for part in split(value, "|"))
    prefix, text = clause.prefix(text)
    number = read(clause, text)
    low, high = searched_range(prefix, text, number, context)
    if not unit:
        return point_groups(prefix, *searched_keys(prefix, order_key(low), order_key(high)))
    if len(unit) != 2 or not unit[1]:  # noqa: PLR2004  (system and code)
        raise clause.refuse("A quantity is written number, number|system|code or number||code.")
    system, code = unit
    if not system:
        equal = term(context.secret, 0, "unit", code)
        named = (Test("code", "=", equal), Test("unit", "=", equal))
        keys = searched_keys(prefix, order_key(low), order_key(high))
        return (*point_groups(prefix, *keys), named)
    names, convert = canonical(system, code)
    same = (Test("canonical", "=", term(context.secret, 0, *names)),)
    keys = searched_keys(prefix, convert(low), convert(high))
    return (same, *point_groups(prefix, *keys, column="canonical_"))
