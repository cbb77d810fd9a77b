"""NM, SN, NR and NA as Quantity, Ratio, Range and SampledData.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-datatype-nm-to-quantity.html
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from adapters.hl7.mapping.context import Json

_INTEGER = 2**31 - 1
_INTEGER_DIGITS = 12  # leading zeros included
_COMPARATORS = frozenset(("", "<", "<=", ">=", ">"))
_RATIO = frozenset((":", "/"))
_NM = re.compile(r"(<=|>=|<|>)?\s*([+-]?)(\d+\.?\d*|\.\d+)\Z", re.ASCII)
_LIMIT = r"([+-]?\d+(?:\.\d+)?)"
# "a to b" is the form of ASTM (LIS02-A2, section 9.6); dashes are what printers make of it.
_INTERVAL = re.compile(
    rf"{_LIMIT}\s*(?:[-\u2010-\u2014\u2212]|to)\s*{_LIMIT}\Z", re.ASCII | re.IGNORECASE
)
_BELOW = re.compile(rf"(?:<\s*=?|\u2264|up\s?to)\s*{_LIMIT}\Z", re.ASCII | re.IGNORECASE)
_ABOVE = re.compile(rf"(?:>\s*=?|\u2265)\s*{_LIMIT}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal with the digits that were sent, and its comparator, "" without one."""

    value: Decimal
    comparator: str = ""


def number(text: str) -> Number | None:
    """Return the number of a NM, None where it is none: `1.40` keeps its zero."""
    match = _NM.match(text)
    if match is None:
        return None
    sign = "-" if match[2] == "-" else ""
    digits = match[3].removesuffix(".")
    return Number(Decimal(sign + digits), match[1] or "")


def whole(text: str) -> int | None:
    """Return a count of 1 to the largest integer of FHIR, None where it is none."""
    if not (text.isascii() and text.isdecimal()):
        return None
    return int(text) if len(text) <= _INTEGER_DIGITS and 0 < int(text) <= _INTEGER else None


def quantity(found: Number, unit: Json) -> Json:
    """Return the Quantity of a number with its unit members."""
    if found.comparator:
        return {"value": found.value, "comparator": found.comparator, **unit}
    return {"value": found.value, **unit}


def structured(parts: tuple[str, str, str, str], unit: Json) -> tuple[str, Json] | None:
    """Return the member and value of a SN: Quantity, Ratio or Range; None for a string.

    `parts` are comparator, first number, separator or suffix, second number.
    """
    comparator, first, separator, second = parts
    comparator = "" if comparator == "=" else comparator
    one = number(first) if first else None
    two = number(second) if second else None
    if comparator not in _COMPARATORS or one is None or (second and two is None):
        return None
    if separator == "" and two is None:
        return "valueQuantity", quantity(Number(one.value, comparator), unit)
    if two is None or (comparator and separator not in _RATIO):
        return None
    return _pair(Number(one.value, comparator), separator, two, unit)


def _pair(one: Number, separator: str, two: Number, unit: Json) -> tuple[str, Json] | None:
    low, high = quantity(one, unit), quantity(two, unit)
    if separator in _RATIO:
        return "valueRatio", {"numerator": low, "denominator": high}
    if separator == "-" and one.value <= two.value:
        return "valueRange", {"low": low, "high": high}
    return None


def reference_range(text: str, unit: Json) -> Json:
    """Return a reference range: its text and, where it can be read, low and high.

    The unit may stand in the text again; another unit makes it unreadable.
    """
    found: Json = {}
    stripped = text.strip().removesuffix(unit.get("unit", "")).strip()
    if match := _INTERVAL.match(stripped):
        low, high = Decimal(match[1]), Decimal(match[2])
        if low <= high:
            found["low"] = {"value": low, **unit}
            found["high"] = {"value": high, **unit}
    elif match := _BELOW.match(stripped):
        found["high"] = {"value": Decimal(match[1]), **unit}
    elif match := _ABOVE.match(stripped):
        found["low"] = {"value": Decimal(match[1]), **unit}
    found["text"] = text
    return found


def sampled(repetitions: list[list[str]]) -> Json | None:
    """Return the SampledData of a NA; None where a value is no number.

    Each repetition holds one value for each of its positions; its period is not
    known to HL7 v2.
    """
    rows = [[value or "E" for value in row] for row in repetitions]
    width = len(rows[0])
    if any(len(row) != width for row in rows):
        return None
    if any(value != "E" and number(value) is None for row in rows for value in row):
        return None
    absent = {
        "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
        "valueCode": "unknown",
    }
    single = len(rows) == 1
    return {
        "origin": {"value": 0},
        "_period": {"extension": [absent]},
        "dimensions": 1 if single else width,
        "data": " ".join(value for row in rows for value in row),
    }
