"""Quantity parameters by the rules of the specification, 4.2 and 4.3."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from . import number
from .definitions import UCUM, Json
from .escaping import split, unescape
from .fhirpath import Node
from .number import passes, searched, side
from .units import measured

QUANTITIES = {"Quantity", "Age", "Duration", "Distance", "Count", "SimpleQuantity"}
CURRENCIES = "urn:iso:std:iso:4217"


@dataclass(frozen=True)
class Value:
    """An interval of numbers in a unit."""

    numbers: number.Value
    system: str | None = None
    code: str | None = None
    unit: str | None = None


def values(node: Node) -> list[Value]:
    """Return what is indexed of an element."""
    value = node.value
    if node.type in QUANTITIES:
        return _quantity(value)
    match node.type:
        case "Money" if "value" in value:
            amount = Fraction(value["value"])
            return [Value(number.Value(amount, amount), CURRENCIES, value.get("currency"))]
        case "Range":
            low, high = value.get("low", {}), value.get("high", {})
            return _between(side(low), side(high), {**high, **low})
        case "SampledData" if "lowerLimit" in value or "upperLimit" in value:
            limits = (value.get(name) for name in ("lowerLimit", "upperLimit"))
            low, high = (None if one is None else Fraction(one) for one in limits)
            return _between(low, high, value["origin"])
        case "SampledData":
            return _quantity(value["origin"])
    return []


def _quantity(value: Json) -> list[Value]:
    if "value" not in value:
        return []
    amount = Fraction(value["value"])
    interval = number.Value(amount, amount)
    match value.get("comparator"):
        case "<" | "<=" as comparator:
            interval = number.Value(None, amount, high_open=comparator == "<")
        case ">" | ">=" as comparator:
            interval = number.Value(amount, None, low_open=comparator == ">")
    return [Value(interval, value.get("system"), value.get("code"), value.get("unit"))]


def _between(low: Fraction | None, high: Fraction | None, unit: Json) -> list[Value]:
    if low is None and high is None:
        return []
    numbers = number.Value(low, high)
    return [Value(numbers, unit.get("system"), unit.get("code"), unit.get("unit"))]


def predicate(text: str) -> Callable[[Value], bool]:
    """Return whether a value passes a searched quantity."""
    amount, *unit = [unescape(part) for part in split(text, "|")]
    asked = searched(amount)
    if not unit:
        return lambda value: passes(value.numbers, asked)
    system, code = unit
    if not system:
        return lambda v: code in (v.code, v.unit) and passes(v.numbers, asked)
    known = measured(code) if system == UCUM else None
    if known is None:
        return lambda v: (v.system, v.code) == (system, code) and passes(v.numbers, asked)
    dimension, measure = known

    def matches(value: Value) -> bool:
        stored = measured(value.code) if value.system == UCUM and value.code else None
        if stored is None or stored[0] != dimension:
            return False
        return passes(_converted(value.numbers, stored[1]), asked, measure)

    return matches


def _converted(value: number.Value, measure: Callable[[Fraction], Fraction]) -> number.Value:
    return replace(
        value,
        low=None if value.low is None else measure(value.low),
        high=None if value.high is None else measure(value.high),
    )
