"""Positions within a distance.

https://hl7.org/fhir/R4/location.html#positional
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from math import asin, cos, degrees, inf, radians, sin
from typing import Any, Final

from fhir_server.search.clause import Clause, split
from fhir_server.search.condition import Condition, Near, Row, either
from fhir_server.search.context import Context
from fhir_server.search.parameter import Parameter
from fhir_server.search.rows import Rows, Writer
from terminology.ucum import unit as ucum

TABLE = "idx_position"
MODIFIERS: frozenset[str] = frozenset()

RADIUS: Final = 6_371_008.8
"""Meters; the mean radius of the WGS84 ellipsoid (IUGG R1)."""

_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?", re.ASCII)
_ROUNDING = 0.001  # meters, by which sines of doubles may be off
_SLACK = 1e-9  # degrees, for the same reason: the box must not be tighter than the circle
_EVERYWHERE = (-180.0, 180.0)
_METER = "m1"


def _write_position(rows: Rows, parameter: Parameter, value: dict[str, Any]) -> None:
    """Index a position; one that is nowhere on the globe has no row."""
    latitude, longitude = (float(value.get(name, inf)) for name in ("latitude", "longitude"))
    if abs(latitude) <= 90 and abs(longitude) <= 180:  # noqa: PLR2004  (degrees)
        rows.ranges[TABLE].add((parameter.id, latitude, longitude))


WRITERS: Mapping[str, Writer] = {"Location.position": _write_position}


def present(context: Context, parameter: Parameter) -> Condition:  # noqa: ARG001  (SearchType)
    """Return the condition that there is a position."""
    return Row(TABLE, parameter.id, ())


def condition(context: Context, clause: Clause) -> Condition:
    """Return the condition of the clause's alternatives."""
    return either([_searched(context, clause, value) for value in clause.values])


def _searched(context: Context, clause: Clause, value: str) -> Near:
    parts = [clause.unescape(part) for part in split(value, "|")]
    if not 2 <= len(parts) <= 4:  # noqa: PLR2004  (as the refusal says)
        raise clause.refuse("A place is written latitude|longitude|distance|unit.")
    latitude, longitude, distance, unit = (*parts, "", "")[:4]
    meters = _meters(context, clause, distance, unit or "km")
    north, east = _number(clause, latitude), _number(clause, longitude)
    if abs(north) > 90 or abs(east) > 180:  # noqa: PLR2004  (degrees)
        raise clause.refuse("Latitudes are from -90 to 90, longitudes from -180 to 180.")
    return around(clause.parameter.id, float(north), float(east), meters)


def _number(clause: Clause, text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise clause.refuse("Latitude, longitude and distance are decimal numbers.")
    return Decimal(text)


def _meters(context: Context, clause: Clause, distance: str, code: str) -> float:
    unit = ucum.unit(code)
    if unit is None or unit.dimension != _METER:
        raise clause.refuse("The unit is a UCUM unit of length, such as km, m or [mi_i].")
    if not distance:
        return context.near_km * 1000
    number = _number(clause, distance)
    if number < 0:
        raise clause.refuse("A distance is not negative.")
    return float(unit.canonical(number))


def around(param: int, latitude: float, longitude: float, meters: float) -> Near:
    """Return the condition of lying within `meters` of a place, with the box around the circle.

    Where the circle holds a pole, every longitude is in it; where it crosses the
    antimeridian, the box is in two parts.
    """
    meters += _ROUNDING
    angle = degrees(meters / RADIUS) + _SLACK
    south, north = latitude - angle, latitude + angle
    first = second = _EVERYWHERE
    if south > -90 and north < 90:  # noqa: PLR2004  (degrees)
        half = degrees(asin(min(1.0, sin(radians(angle)) / cos(radians(latitude))))) + _SLACK
        west, east = longitude - half, longitude + half
        first = second = (west, east)
        if west < -180:  # noqa: PLR2004  (degrees)
            first, second = (-180.0, east), (west + 360, 180.0)
        elif east > 180:  # noqa: PLR2004  (degrees)
            first, second = (west, 180.0), (-180.0, east - 360)
    return Near(param, latitude, longitude, meters, south, north, (first, second))
