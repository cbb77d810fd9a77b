"""Months and years narrow a search and lose nothing."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from fhir_server.search import months
from fhir_server.search.date import EARLIEST, LATEST
from fhir_server.search.parameter import Parameter
from fhir_server.search.rows import Rows
from fhir_server.search.terms import term
from tests.fhir_server.search.matching import REGISTRY

DATE = Parameter(7, "Observation", "date", "date", "", "")
DAY = months.DAY


def at(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def stored(low: int, high: int) -> set[int]:
    rows = Rows(REGISTRY.context)
    months.write(rows, DATE, low, high)
    return rows.terms


def asked(low: int | None, high: int | None) -> set[int] | None:
    found = months.overlapping(low, high)
    if found is None:
        return None
    form, names = found
    return {term(REGISTRY.context.secret, DATE.id, form, name) for name in names}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ("2021-03-01", "2021-04-01", ("month", ["2021-03", "long"])),
        ("2021-03-31", "2021-04-02", ("month", ["2021-03", "2021-04", "long"])),
        ("2020-12-31", "2021-01-01", ("month", ["2020-12", "long"])),
        ("2019-01-01", "2021-01-01", ("year", ["2019", "2020", "long"])),
        ("1700-01-01", "1704-01-01", ("year", ["1900", "long"])),
        ("1960-01-01", "2020-01-01", None),
        ("2021-04-01", "2021-03-01", None),
    ],
)
def test_a_range_is_asked_by_its_months_or_years(
    low: str, high: str, expected: tuple[str, list[str]] | None
) -> None:
    assert months.overlapping(at(low), at(high)) == expected


def test_an_open_side_is_asked_by_years_up_to_the_last() -> None:
    assert months.overlapping(at("2033-05-01"), None) == ("year", ["2033", "2034", "2035", "long"])
    assert months.overlapping(None, at("1902-05-01")) == ("year", ["1900", "1901", "1902", "long"])
    assert months.overlapping(None, None) is None


def test_whatever_overlaps_a_range_has_one_of_its_terms() -> None:
    chance = random.Random(5)
    narrowed = 0
    for _ in range(20_000):
        low = chance.choice([EARLIEST, at("1850-01-01"), at("1999-06-01"), at("2034-01-01")])
        low += chance.randrange(3 * 365) * DAY + chance.randrange(DAY)
        high = chance.choice([low + 1, low + DAY, low + 31 * DAY, low + 5000 * DAY, LATEST])
        start = chance.choice([None, low + chance.randrange(-900, 900) * DAY])
        end = chance.choice([None, high + chance.randrange(-900, 900) * DAY])
        overlaps = (start is None or high > start) and (end is None or low < end)
        wanted = asked(start, end)
        if overlaps and wanted is not None:
            narrowed += 1
            assert stored(low, high) & wanted
    assert narrowed > 1_000
