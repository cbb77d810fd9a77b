"""Places on the globe as SQL.

https://en.wikipedia.org/wiki/Haversine_formula
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, ColumnElement, Select, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION
from sqlalchemy.types import TypeEngine

from fhir_server import tables
from fhir_server.search.near import RADIUS

Take: TypeAlias = Callable[[TypeEngine[Any]], ColumnElement[Any]]
"""Gives the place of the next value."""

_SQUARE: ColumnElement[Any] = literal_column("2.0::float8")


def positions(take: Take) -> Select[Any]:
    """Return the keys of the resources that have a position within a circle.

    Values: parameter, south and north, west and east of two ranges, latitude and
    longitude of the middle, meters. The box, which the index knows, comes first.
    """
    row = tables.idx_position.alias()
    degrees: TypeEngine[Any] = DOUBLE_PRECISION()
    latitude, longitude = row.c.latitude, row.c.longitude
    box = [
        row.c.param == take(BigInteger()),
        latitude.between(take(degrees), take(degrees)),
        or_(*(longitude.between(take(degrees), take(degrees)) for _ in range(2))),
    ]
    apart = _meters(latitude, longitude, take(degrees), take(degrees))
    return select(row.c.key).where(*box, apart <= take(degrees))


def _meters(latitude: Any, longitude: Any, middle: Any, meridian: Any) -> ColumnElement[Any]:  # noqa: ANN401  (columns)
    """Return the great-circle distance, exact for short ones and safe for opposite places."""
    chord = func.power(_half_sine(latitude - middle), _SQUARE) + func.cos(
        func.radians(latitude)
    ) * (func.cos(func.radians(middle)) * func.power(_half_sine(longitude - meridian), _SQUARE))
    whole = func.asin(func.least(literal_column("1.0::float8"), func.sqrt(chord)))
    distance: ColumnElement[Any] = whole * literal_column(f"{2 * RADIUS}::float8")
    return distance


def _half_sine(angle: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.sin(func.radians(angle) * literal_column("0.5::float8"))
