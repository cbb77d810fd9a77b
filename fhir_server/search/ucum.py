"""Units of measure in canonical form, exactly.

ucumvert's grammar parses the unit; the definitions of the UCUM essence that
comes with it are multiplied out as fractions, since a float would move values
over the edge of a searched range (1 mmol/L is not 0.9999999999999999 mol/m3).

https://ucum.org/ucum
"""

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

SYSTEM: Final = "http://unitsofmeasure.org"

_NAMESPACE = "{http://unitsofmeasure.org/ucum-essence}"
# Scales that are a straight line over a proper unit: factor and offset of
# `canonical = factor * (value + offset)` in kelvin.
_AFFINE: Mapping[str, tuple[Fraction, Fraction]] = {
    "Cel": (Fraction(1), Fraction("273.15")),
    "[degF]": (Fraction(5, 9), Fraction("459.67")),
    "[degRe]": (Fraction(5, 4), Fraction("218.52")),
}
_PLAIN = re.compile(r"[!-z|~]+|\S*\{[^{}]*\}\S*")
_LONGEST = 100
_LARGEST_BITS = 10_000


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


class _UnknownUnitError(ValueError):
    """Not a unit that can be multiplied out."""


@lru_cache(maxsize=4096)
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
    ucumvert, parser = _parser()
    try:
        return _evaluate(ucumvert.parse_ucum(code, parser))
    except (ucumvert.InvalidUcumError, _UnknownUnitError):
        return None


@cache
def _parser() -> tuple[Any, Any]:
    """Return ucumvert and its parser; it loads pint, which takes 0.4 s, so only when needed."""
    ucumvert = importlib.import_module("ucumvert")
    return ucumvert, ucumvert.get_ucum_parser()


@cache
def _essence() -> tuple[Mapping[str, Fraction], Mapping[str, ET.Element], frozenset[str]]:
    """Return the prefixes, the definitions of units, and the base units."""
    ucumvert, _ = _parser()
    path = Path(ucumvert.__file__).parent / "vendor" / "ucum-essence.xml"
    root = ET.parse(path).getroot()  # noqa: S314  (a file of an installed package)
    prefixes = {
        prefix.attrib["Code"]: Fraction(_value(prefix).attrib["value"])
        for prefix in root.iter(f"{_NAMESPACE}prefix")
    }
    units = {u.attrib["Code"]: u for u in root.iter(f"{_NAMESPACE}unit")}
    bases = frozenset(b.attrib["Code"] for b in root.iter(f"{_NAMESPACE}base-unit"))
    return prefixes, units, bases


def _value(element: ET.Element) -> ET.Element:
    found = element.find(f"{_NAMESPACE}value")
    assert found is not None
    return found


@cache
def _atom(name: str) -> Unit:
    _, units, bases = _essence()
    if name in bases:
        return Unit(Fraction(1), {name: 1})
    definition = units[name]
    if name == "[IU]":  # the same unit in another spelling
        return Unit(Fraction(1), {"[iU]": 1})
    if "yes" in (definition.get("isArbitrary"), definition.get("isSpecial")):
        return Unit(Fraction(1), {name: 1})
    value = _value(definition)
    ucumvert, parser = _parser()
    inner = _evaluate(ucumvert.parse_ucum(value.attrib["Unit"], parser))
    return Unit(inner.factor * Fraction(value.attrib["value"]), inner.dimensions)


def _evaluate(tree: Any) -> Unit:  # noqa: ANN401  (lark's trees are untyped)
    """Return the unit of a tree of ucumvert's grammar."""
    if not hasattr(tree, "data"):
        return Unit(Fraction(1))  # an annotation alone is the unity
    match str(tree.data), tree.children:
        case "main_term", [_, term]:  # "/" and a term
            return _power(_evaluate(term), -1)
        case "main_term" | "component", [inner, *_]:
            return _evaluate(inner)
        case "term", [left, operator, right]:
            sign = -1 if str(operator) == "/" else 1
            return _product(_evaluate(left), _power(_evaluate(right), sign))
        case "annotatable", [inner, exponent]:
            return _power(_evaluate(inner), int(exponent))
    return _simple(tree.children)


def _simple(children: list[Any]) -> Unit:
    *prefix, last = children
    if last.type == "FACTOR":
        return Unit(Fraction(int(last)))
    found = _atom(str(last))
    if prefix:
        return Unit(found.factor * _essence()[0][str(prefix[0])], found.dimensions)
    return found


def _power(base: Unit, exponent: int) -> Unit:
    size = base.factor.numerator.bit_length() + base.factor.denominator.bit_length()
    if size * abs(exponent) > _LARGEST_BITS:
        raise _UnknownUnitError("an exponent beyond reason")
    powers = {name: power * exponent for name, power in base.dimensions.items()}
    return Unit(base.factor**exponent, powers)


def _product(left: Unit, right: Unit) -> Unit:
    powers = dict(left.dimensions)
    for name, power in right.dimensions.items():
        powers[name] = powers.get(name, 0) + power
    return Unit(left.factor * right.factor, powers)
