"""Prefixes and unit atoms of the UCUM essence.

The essence is the one that comes with the package ucumvert, with its notice; the package
itself is not imported, as it takes half a second and tens of megabytes.

https://ucum.org/ucum#section-Tables-of-Terminal-Symbols
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

_NAMESPACE = "{http://unitsofmeasure.org/ucum-essence}"
# UCUM defines the mole as a number; laboratories measure an amount of substance by it, and
# 1 mol/L is not 6.02e23 of anything per litre.
_OWN_DIMENSION = frozenset({"mol"})


@dataclass(frozen=True, slots=True)
class Atom:
    """A unit atom: `factor` times the expression `unit`.

    Both are absent of what cannot be multiplied out: base units, arbitrary and logarithmic ones.
    """

    code: str
    name: str
    metric: bool
    factor: Fraction = Fraction(1)
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Essence:
    """All prefixes (code to factor and name) and atoms (by code)."""

    version: str
    prefixes: Mapping[str, tuple[Fraction, str]]
    atoms: Mapping[str, Atom]


@cache
def essence() -> Essence:
    """Return the essence; it takes some milliseconds, so it is read when first needed."""
    root = ET.parse(_path()).getroot()  # noqa: S314  (a file of an installed package)
    prefixes = {
        one.attrib["Code"]: (Fraction(_value(one).attrib["value"]), _text(one, "name") or "")
        for one in root.iter(f"{_NAMESPACE}prefix")
    }
    bases = (_base(one) for one in root.iter(f"{_NAMESPACE}base-unit"))
    units = (_atom(one) for one in root.iter(f"{_NAMESPACE}unit"))
    return Essence(root.attrib["version"], prefixes, {one.code: one for one in (*bases, *units)})


def _path() -> Path:
    found = importlib.util.find_spec("ucumvert")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "vendor" / "ucum-essence.xml"


def _base(element: ET.Element) -> Atom:
    return Atom(element.attrib["Code"], _text(element, "name") or "", metric=True)


def _atom(element: ET.Element) -> Atom:
    code = element.attrib["Code"]
    flags = {element.get("isArbitrary"), element.get("isSpecial")}
    value = _value(element)
    apart = "yes" in flags or code in _OWN_DIMENSION
    return Atom(
        code,
        _text(element, "name") or "",
        metric=element.get("isMetric") == "yes",
        factor=Fraction(1) if apart else Fraction(value.attrib["value"]),
        unit=None if apart else value.attrib["Unit"],
    )


def _value(element: ET.Element) -> ET.Element:
    found = element.find(f"{_NAMESPACE}value")
    assert found is not None
    return found


def _text(element: ET.Element, name: str) -> str | None:
    found = element.find(f"{_NAMESPACE}{name}")
    return "".join(found.itertext()).strip() or None if found is not None else None
