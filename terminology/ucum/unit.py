"""Units in canonical form, exactly, and values converted between them.

Definitions are multiplied out as fractions: a float would move values over the edge of a
searched range (1 mmol/L is not 0.9999999999999999 mol/m3).

https://ucum.org/ucum#section-Semantics
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache, lru_cache
from typing import Final

from terminology.ucum.essence import essence
from terminology.ucum.grammar import BadUnit, Simple, Term, parse

SYSTEM: Final = "http://unitsofmeasure.org"

# Scales that are a straight line over a proper unit: factor and offset of
# `canonical = factor * (value + offset)` in kelvin.
_AFFINE: Mapping[str, tuple[Fraction, Fraction]] = {
    "Cel": (Fraction(1), Fraction("273.15")),
    "[degF]": (Fraction(5, 9), Fraction("459.67")),
    "[degRe]": (Fraction(5, 4), Fraction("218.52")),
}
_LONGEST = 100
_LARGEST_BITS = 10_000
_LARGEST_EXPONENT = 300
DIGITS = 12
"""Significant digits of a converted value."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as a multiple of base units: `factor * (value + offset)` of `dimension`."""

    factor: Fraction
    dimensions: Mapping[str, int] = field(default_factory=dict)
    offset: Fraction = Fraction(0)

    @property
    def dimension(self) -> str:
        """Return the base units and their exponents as text, in one order."""
        powers = sorted((name, power) for name, power in self.dimensions.items() if power)
        return ".".join(f"{name}{power}" for name, power in powers)

    def canonical(self, value: Decimal) -> Fraction:
        """Return `value` of this unit in the base units."""
        return self.factor * (Fraction(value) + self.offset)


@lru_cache(maxsize=8192)
def unit(code: str) -> Unit | None:
    """Return the unit of a UCUM code; None where UCUM does not know it.

    Arbitrary units ([IU]) and logarithmic ones stand for themselves as a
    dimension, so that they compare only with themselves.
    """
    if not code or len(code) > _LONGEST:
        return None
    if code in _AFFINE:
        factor, offset = _AFFINE[code]
        return Unit(factor, {"K": 1}, offset)
    try:
        return _product_of(parse(code))
    except BadUnit:
        return None


def canonical(code: str) -> tuple[str, Fraction] | None:
    """Return the unit in base units as a code, with the factor; None for what is no unit.

    `1` is the unit of what has no dimension. Where the scale has an offset (`Cel`) the
    factor is that of differences.
    """
    found = unit(code)
    if found is None:
        return None
    powers = sorted((name, power) for name, power in found.dimensions.items() if power)
    text = ".".join(name if power == 1 else f"{name}{power}" for name, power in powers)
    return text or "1", found.factor


def convert(value: Decimal, source: str, target: str) -> Decimal | None:
    """Return the value in the other unit to 12 significant digits; None where there is none.

    The same unit gives the value as it was.
    """
    given, wanted = unit(source), unit(target)
    if given is None or wanted is None or given.dimension != wanted.dimension:
        return None
    if given == wanted:
        return value
    if not value.is_finite() or abs(value.adjusted()) > _LARGEST_EXPONENT:
        return None
    exact = given.canonical(value) / wanted.factor - wanted.offset
    context = Context(prec=DIGITS)
    rounded = context.divide(Decimal(exact.numerator), Decimal(exact.denominator))
    return rounded.normalize(context)


@cache
def _atom(code: str) -> Unit:
    atom = essence().atoms[code]
    if code == "[IU]":  # the same unit in another spelling
        return Unit(Fraction(1), {"[iU]": 1})
    if atom.unit is None:
        return Unit(Fraction(1), {code: 1})
    inner = _product_of(parse(atom.unit))
    return Unit(inner.factor * atom.factor, inner.dimensions)


def _product_of(term: Term) -> Unit:
    found = Unit(Fraction(1))
    for part, sign in term.parts:
        one = _product_of(part) if isinstance(part, Term) else _simple(part)
        found = _product(found, one if sign > 0 else _power(one, -1))
    return found


def _simple(part: Simple) -> Unit:
    if part.atom is None:
        return Unit(Fraction(part.number))
    found = _atom(part.atom.code)
    if part.prefix:
        factor, _ = essence().prefixes[part.prefix]
        found = Unit(found.factor * factor, found.dimensions)
    return _power(found, part.exponent)


def _power(base: Unit, exponent: int) -> Unit:
    size = base.factor.numerator.bit_length() + base.factor.denominator.bit_length()
    if size * abs(exponent) > _LARGEST_BITS:
        raise BadUnit("an exponent beyond reason")
    powers = {name: power * exponent for name, power in base.dimensions.items()}
    return Unit(base.factor**exponent, powers)


def _product(left: Unit, right: Unit) -> Unit:
    powers = dict(left.dimensions)
    for name, power in right.dimensions.items():
        powers[name] = powers.get(name, 0) + power
    factor = left.factor * right.factor
    if factor.numerator.bit_length() + factor.denominator.bit_length() > _LARGEST_BITS:
        raise BadUnit("a factor beyond reason")
    return Unit(factor, powers)
