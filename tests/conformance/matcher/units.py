"""The units of the examples, by hand, in the base units of UCUM.

https://ucum.org/ucum
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

Dimensions = Mapping[str, int]

PREFIXES = {
    "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1,
    "d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15,
}  # fmt: skip
BASES = {"m", "s", "g", "rad", "K", "C", "cd"}
PI = Fraction("3.1415926535897932384626433832795028841971693993751058209749445923")
# Each: a number times a unit. Only metric ones take prefixes.
METRIC: dict[str, tuple[str, str]] = {
    "L": ("1", "dm3"), "l": ("1", "dm3"), "mol": ("6.0221367", "10*23"), "eq": ("1", "mol"),
    "N": ("1", "kg.m/s2"), "Pa": ("1", "N/m2"), "J": ("1", "N.m"), "V": ("1", "J/C"),
    "A": ("1", "C/s"), "Ohm": ("1", "V/A"), "U": ("1", "umol/min"), "cal": ("4.184", "J"),
    "m[Hg]": ("133.3220", "kPa"), "m[H2O]": ("9.80665", "kPa"), "Hz": ("1", "s-1"),
    "W": ("1", "J/s"), "bar": ("100000", "Pa"), "kat": ("1", "mol/s"), "osm": ("1", "mol"),
    "t": ("1000", "kg"), "T": ("1", "N.s/C/m"),
}  # fmt: skip
OTHER: dict[str, tuple[str, str]] = {
    "%": ("1", "10*-2"), "min": ("60", "s"), "h": ("60", "min"), "d": ("24", "h"),
    "wk": ("7", "d"), "a": ("365.25", "d"), "[in_i]": ("2.54", "cm"), "[ft_i]": ("12", "[in_i]"),
    "[gr]": ("64.79891", "mg"), "[lb_av]": ("7000", "[gr]"), "[diop]": ("1", "/m"),
    "[gal_us]": ("231", "[in_i]3"), "[HPF]": ("1", "1"), "[LPF]": ("100", "1"),
    "[pptr]": ("1", "10*-12"), "[ppm]": ("1", "10*-6"), "[oz_av]": ("437.5", "[gr]"),
}  # fmt: skip
PARTS = {"mo": ("a", 12), "[foz_us]": ("[gal_us]", 128), "[tsp_us]": ("[gal_us]", 768)}
ARBITRARY = {"[IU]": "[iU]", "[iU]": "[iU]", "[arb'U]": "[arb'U]", "[pH]": "[pH]", "[drp]": "[drp]"}
AFFINE = {
    "Cel": (Fraction(1), Fraction("273.15")),
    "[degF]": (Fraction(5, 9), Fraction("459.67")),
}
# Written in the data under UCUM's name, and no units of it.
UNKNOWN = {
    "mcg", "ea", "TAB", "tbl", "month", "ml/hr", "drop", "mEq", "Geq", "hours", "CAP", "PUFF",
    "IU", "lbs", "day", "year", "units", "c", "ng/mL{typo", "foo",
}  # fmt: skip
COMPONENT = re.compile(r"(?P<atom>(?:\[[^]]*\]|[^0-9{}+\-])+?)(?P<exponent>[+-]?\d+)?")
POWER = re.compile(r"10[*^](?P<exponent>[+-]?\d+)?")


@dataclass(frozen=True)
class Unit:
    """`factor * (value + offset)` in base units."""

    factor: Fraction
    dimensions: Dimensions = field(default_factory=dict)
    offset: Fraction = Fraction(0)


def measured(code: str) -> tuple[object, Callable[[Fraction], Fraction]] | None:
    """Return what a unit can be compared with, and its numbers in base units."""
    if code in UNKNOWN:
        return None
    found = unit(code)
    powers = frozenset((name, power) for name, power in found.dimensions.items() if power)
    return powers, lambda number: found.factor * (number + found.offset)


@cache
def unit(code: str) -> Unit:
    """Return the unit of a code; ValueError when the tables do not have it."""
    if code in AFFINE:
        factor, offset = AFFINE[code]
        return Unit(factor, {"K": 1}, offset)
    found = Unit(Fraction(1))
    for operator, component in re.findall(r"([./]?)((?:\{[^}]*\}|\[[^]]*\]|[^./])+)", code):
        found = _times(found, _component(component), -1 if operator == "/" else 1)
    return found


def _component(text: str) -> Unit:
    plain = re.sub(r"\{[^}]*\}", "", text)
    if not plain or plain == "1":
        return Unit(Fraction(1))
    if plain.isdigit():
        return Unit(Fraction(int(plain)))
    if power := POWER.fullmatch(plain):
        return Unit(Fraction(10) ** int(power["exponent"] or 1))
    found = COMPONENT.fullmatch(plain)
    if found is None:
        raise ValueError(f"no such unit: {text}")
    return _times(Unit(Fraction(1)), _atom(found["atom"]), int(found["exponent"] or 1))


def _atom(name: str) -> Unit:
    if (found := _metric(name) or _other(name)) is not None:
        return found
    for prefix, power in PREFIXES.items():
        rest = name.removeprefix(prefix)
        if rest != name and (found := _metric(rest)) is not None:
            return Unit(Fraction(10) ** power * found.factor, found.dimensions)
    raise ValueError(f"no such unit: {name}")


def _metric(name: str) -> Unit | None:
    if name in BASES:
        return Unit(Fraction(1), {name: 1})
    if name in ("[IU]", "[iU]"):
        return Unit(Fraction(1), {"[iU]": 1})
    return _defined(*METRIC[name]) if name in METRIC else None


def _other(name: str) -> Unit | None:
    if name in ARBITRARY:
        return Unit(Fraction(1), {ARBITRARY[name]: 1})
    if name in PARTS:
        whole, count = PARTS[name]
        return _times(Unit(Fraction(1, count)), unit(whole), 1)
    if name == "deg":
        return Unit(2 * PI / 360, {"rad": 1})
    return _defined(*OTHER[name]) if name in OTHER else None


def _defined(number: str, code: str) -> Unit:
    return _times(Unit(Fraction(number)), unit(code), 1)


def _times(left: Unit, right: Unit, power: int) -> Unit:
    dimensions = dict(left.dimensions)
    for name, own in right.dimensions.items():
        dimensions[name] = dimensions.get(name, 0) + own * power
    return Unit(left.factor * right.factor**power, dimensions)
