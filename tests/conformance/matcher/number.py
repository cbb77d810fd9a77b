"""Number parameters by the rules of the specification, 4.3."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .escaping import unescape
from .fhirpath import Node

SEARCHED = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?([+-]?\d+(?:\.(\d+))?(?:[eE]([+-]?\d+))?)")
INTEGERS = {"integer", "positiveInt", "unsignedInt"}


@dataclass(frozen=True)
class Value:
    """An interval of numbers; a side of None is infinite, an open one leaves its end out."""

    low: Fraction | None
    high: Fraction | None
    low_open: bool = False
    high_open: bool = False
    integer: bool = False

    def within(self, low: Fraction, high: Fraction) -> bool:
        """Return whether all of it lies in [low, high)."""
        if self.low is None or self.high is None or self.low < low:
            return False
        return self.high < high or (self.high_open and self.high == high)

    def above(self, number: Fraction, *, equal: bool) -> bool:
        """Return whether some of it is greater than a number, or equal."""
        if self.high is None or self.high > number:
            return True
        return equal and self.high == number and not self.high_open

    def below(self, number: Fraction, *, equal: bool) -> bool:
        """Return whether some of it is less than a number, or equal."""
        if self.low is None or self.low < number:
            return True
        return equal and self.low == number and not self.low_open


def values(node: Node) -> list[Value]:
    """Return what is indexed of an element."""
    if node.type in INTEGERS or node.type == "decimal":
        number = Fraction(node.value)
        return [Value(number, number, integer=node.type in INTEGERS)]
    if node.type != "Range":
        return []
    low, high = side(node.value.get("low")), side(node.value.get("high"))
    return [] if low is None and high is None else [Value(low, high)]


def side(quantity: Any) -> Fraction | None:
    """Return the number of one side of a Range."""
    return None if quantity is None or "value" not in quantity else Fraction(quantity["value"])


@dataclass(frozen=True)
class Searched:
    """A searched number, its prefix, and the range that its digits stand for."""

    prefix: str
    number: Fraction
    low: Fraction
    high: Fraction


def searched(text: str) -> Searched:
    """Return what is searched for."""
    found = SEARCHED.fullmatch(text)
    assert found is not None, text
    number = Fraction(found[2])
    last = int(found[4] or 0) - len(found[3] or "")
    if found[4] is not None and found[3] is None:
        last -= 1  # the specification prints [95, 105) for 1e2
    half = Fraction(10) ** last / 2
    return Searched(found[1] or "eq", number, number - half, number + half)


def passes(
    value: Value, asked: Searched, measure: Callable[[Fraction], Fraction] = lambda number: number
) -> bool:
    """Return whether a value passes; `measure` converts the searched numbers to its unit."""
    number = measure(asked.number)
    conditions: dict[str, Callable[[], bool]] = {
        "eq": lambda: _equal(value, asked, measure),
        "ne": lambda: not _equal(value, asked, measure),
        "gt": lambda: value.above(number, equal=False),
        "lt": lambda: value.below(number, equal=False),
        "ge": lambda: value.above(number, equal=True),
        "le": lambda: value.below(number, equal=True),
        "sa": lambda: not value.below(number, equal=True),
        "eb": lambda: not value.above(number, equal=True),
        "ap": lambda: _near(value, asked, measure),
    }
    return conditions[asked.prefix]()


def _near(value: Value, asked: Searched, measure: Callable[[Fraction], Fraction]) -> bool:
    margin = abs(asked.number) / 10
    low, high = measure(asked.number - margin), measure(asked.number + margin)
    return value.above(low, equal=True) and value.below(high, equal=True)


def _equal(value: Value, asked: Searched, measure: Callable[[Fraction], Fraction]) -> bool:
    if value.integer:
        return value.low == asked.number
    return value.within(measure(asked.low), measure(asked.high))


def predicate(text: str) -> Callable[[Value], bool]:
    """Return whether a value passes a searched number with its prefix."""
    asked = searched(unescape(text))
    return lambda value: passes(value, asked)
