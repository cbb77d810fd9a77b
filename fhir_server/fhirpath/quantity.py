"""Quantities: a number with a unit of UCUM or of the calendar.

https://hl7.org/fhirpath/N1/#quantity
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, Protocol

_CALENDAR_WORDS: Final = (
    ("year", "a"),
    ("month", "mo"),
    ("week", "wk"),
    ("day", "d"),
    ("hour", "h"),
    ("minute", "min"),
    ("second", "s"),
    ("millisecond", "ms"),
)
# Each word of the calendar, one or many, with its singular.
CALENDAR: Final = {name: word for word, _ in _CALENDAR_WORDS for name in (word, f"{word}s")}
_UCUM: Final = dict(_CALENDAR_WORDS)
_DEFINITE: Final = {code: word for word, code in _CALENDAR_WORDS}
# Calendar years and months have no length in seconds.
_MONTHS: Final = {"year": 12, "month": 1}


class Unit(Protocol):
    """A unit of UCUM: what it measures, and its values in base units."""

    @property
    def dimension(self) -> str:
        """Base units with their exponents, in one order."""

    def canonical(self, value: Decimal) -> Fraction:
        """Return a value of this unit in base units."""


Units = Callable[[str], Unit | None]


@dataclass(frozen=True, slots=True)
class Quantity:
    """`unit` is a UCUM code, or a word of the calendar where it is not `quoted`."""

    value: Decimal
    unit: str = "1"
    quoted: bool = True

    def __str__(self) -> str:
        return f"{self.value:f} '{self.unit}'" if self.quoted else f"{self.value:f} {self.unit}"


def calendar(quantity: Quantity) -> str | None:
    """Return the calendar's word for its unit; None for no time, and for UCUM's `a` and `mo`."""
    word = CALENDAR.get(quantity.unit)
    if word is None and quantity.quoted:
        word = _DEFINITE.get(quantity.unit)
        return None if word in _MONTHS else word
    return word


def measure(quantity: Quantity, units: Units, *, loose: bool = False) -> tuple[str, Fraction]:
    """Return what it measures, and how much in one unit for that.

    `loose` takes a calendar's year for UCUM's. An unknown unit measures itself.
    """
    word = CALENDAR.get(quantity.unit)
    if word in _MONTHS and not loose:
        return "calendar", Fraction(quantity.value) * _MONTHS[word]
    code = _UCUM[word] if word else quantity.unit
    if code == "1":
        return "", Fraction(quantity.value)
    unit = units(code)
    if unit is None:
        return f"?{code}", Fraction(quantity.value)
    return unit.dimension, unit.canonical(quantity.value)


def comparable(left: Quantity, right: Quantity, units: Units) -> bool:
    """Return whether the two measure one thing, in units that are known."""
    mine, yours = measure(left, units)[0], measure(right, units)[0]
    return mine == yours and not mine.startswith("?")


def product(left: Quantity, right: Quantity, units: Units) -> Quantity:
    """Return the product, in the product of the units."""
    if left.unit == "1":
        return Quantity(left.value * right.value, right.unit, right.quoted)
    if right.unit == "1":
        return Quantity(left.value * right.value, left.unit, left.quoted)
    return _known(Quantity(left.value * right.value, f"({left.unit}).({right.unit})"), units)


def quotient(left: Quantity, right: Quantity, units: Units) -> Quantity:
    """Return the quotient, in the quotient of the units."""
    value = left.value / right.value
    if left.unit == right.unit:
        return Quantity(value)
    if right.unit == "1":
        return Quantity(value, left.unit, left.quoted)
    return _known(Quantity(value, f"({left.unit})/({right.unit})"), units)


def _known(quantity: Quantity, units: Units) -> Quantity:
    unit = units(quantity.unit)
    if unit is not None and not unit.dimension:
        scaled = unit.canonical(quantity.value)
        return Quantity(Decimal(scaled.numerator) / Decimal(scaled.denominator))
    return quantity
