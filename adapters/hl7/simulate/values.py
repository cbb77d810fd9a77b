"""Values that imagined analyzers measure: mostly usual, some not, few critical.

A value lies about the middle of its reference range, four standard deviations to its width, so
that of twenty-five tests one or two are high or low. Of the messages that hold any of the tests
of `_LIMITS`, a share has one of these at or beyond a limit at which laboratories call.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CRITICAL_SHARE: Final = 0.015
"""The share of messages with a critical value."""

# Limits at which laboratories call: by local code, low and high in the test's unit.
_LIMITS: Final[dict[str, tuple[float | None, float | None]]] = {
    "GLU": (50, 450),
    "NA": (120, 160),
    "K": (2.8, 6.2),
    "CO2": (10, 40),
    "CA": (6.5, 13),
    "MG": (1.0, 4.7),
    "PHOS": (1.0, 8.9),
    "CREA": (None, 7.4),
    "WBC": (2.0, 50),
    "HGB": (7, 20),
    "PLT": (40, 1000),
    "pH": (7.2, 7.6),
    "pCO2": (20, 70),
    "pO2": (40, None),
    "LAC": (None, 4),
}
# Up to here a value is unusual only: a limit is half or twice that of the range (decision 0033).
_LEAST: Final = 0.6
_MOST: Final = 1.8
_BEYOND: Final = 0.1


@dataclass(frozen=True, slots=True)
class Test:
    """A test: its LOINC and local code, its name, and what is usual."""

    loinc: str
    local: str
    name: str
    unit: str
    decimals: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One value as an analyzer prints it, with its flag (table 0078)."""

    test: Test
    value: str
    flag: str


def tests(text: str) -> tuple[Test, ...]:
    """Return the tests of lines: LOINC code|local code|name|unit|decimals|low|high."""
    found = []
    for line in text.splitlines():
        loinc, local, name, unit, decimals, low, high = line.split("|")
        found.append(Test(loinc, local, name, unit, int(decimals), float(low), float(high)))
    return tuple(found)


def measured(
    dice: random.Random, wanted: Sequence[Test], critical_share: float = CRITICAL_SHARE
) -> tuple[Measured, ...]:
    """Return a value of each test; with the probability `critical_share` one is critical."""
    may_be = [place for place, test in enumerate(wanted) if test.local in _LIMITS]
    is_critical = dice.random() < critical_share and may_be
    critical = dice.choice(may_be) if is_critical else None
    return tuple(
        _critical(dice, test) if place == critical else _usual(dice, test)
        for place, test in enumerate(wanted)
    )


def _usual(dice: random.Random, test: Test) -> Measured:
    value = dice.gauss((test.low + test.high) / 2, (test.high - test.low) / 4)
    shown = f"{min(max(value, test.low * _LEAST), test.high * _MOST):.{test.decimals}f}"
    flag = "L" if float(shown) < test.low else "H" if float(shown) > test.high else "N"
    return Measured(test, shown, flag)


def _critical(dice: random.Random, test: Test) -> Measured:
    low, high = _LIMITS[test.local]
    is_low = high is None or (low is not None and dice.random() < 1 / 2)
    limit = low if is_low else high
    assert limit is not None
    away = dice.uniform(0, _BEYOND * (test.high - test.low))
    value = limit - away if is_low else limit + away
    return Measured(test, f"{value:.{test.decimals}f}", "LL" if is_low else "HH")
