"""Years and months as terms, which narrow a search by date before its rows are compared.

A range of time is an open question to a B-tree over starts or over ends; months
are terms like codes, so that "this code in that month" meets few resources at once.
The rows decide; docs/decisions/0016 has what it saves.
"""

from collections.abc import Iterator
from datetime import date

from fhir_server.search.parameter import Parameter
from fhir_server.search.rows import Rows

DAY = 86_400_000_000
EPOCH_DAY = date(1970, 1, 1).toordinal()
_LAST_DAY = date.max.toordinal()
# What lies outside counts as the first or the last year.
_FIRST, _LAST = 1900, 2035
_MOST_YEARS = 3
_MONTH_DAYS = 32
# With more alternatives it would be asked first how few resources have one (settle.py).
_MOST_TERMS = 16

YEAR, MONTH = "year", "month"
LONG = "long"
"""Stands for the months or years of what extends over many."""


def write(rows: Rows, parameter: Parameter, low: int, high: int) -> None:
    """Index the months and years that [low, high), in µs since 1970 UTC, has a part in."""
    first, last = _day(low), _day(high - 1)
    years = range(_year(first), _year(last) + 1)
    for year in map(str, years) if len(years) <= _MOST_YEARS else (LONG,):
        rows.add(parameter, YEAR, year)
    months = _months(first, last) if high - low <= _MONTH_DAYS * DAY else (LONG,)
    for month in months:
        rows.add(parameter, MONTH, month)


def overlapping(low: int | None, high: int | None) -> tuple[str, list[str]] | None:
    """Return the form and the terms, one of which whatever overlaps [low, high) has.

    A side that is None is open. None where the range has so many months and years
    that to ask for them would not narrow the search.
    """
    first = date(_FIRST, 1, 1) if low is None else _day(low)
    last = date(_LAST, 12, 31) if high is None else _day(high - 1)
    if first > last:
        return None
    if low is None or high is None:
        return _of_years(first, last)
    months = (last.year - first.year) * 12 + last.month - first.month + 1
    if months < _MOST_TERMS:
        return MONTH, [*_months(first, last), LONG]
    return _of_years(first, last)


def _of_years(first: date, last: date) -> tuple[str, list[str]] | None:
    years = range(_year(first), _year(last) + 1)
    return (YEAR, [*map(str, years), LONG]) if len(years) < _MOST_TERMS else None


def _day(moment: int) -> date:
    return date.fromordinal(max(1, min(_LAST_DAY, moment // DAY + EPOCH_DAY)))


def _year(day: date) -> int:
    return max(_FIRST, min(_LAST, day.year))


def _months(first: date, last: date) -> Iterator[str]:
    for month in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        yield f"{month // 12:04}-{month % 12 + 1:02}"
