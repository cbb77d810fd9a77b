from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import BadRequest, NotSupported
from fhir_server.search.context import Context
from fhir_server.search.date import EARLIEST, LATEST, interval, span
from fhir_server.search.interval import span_groups

from .matching import INDIAN, REGISTRY, Json, finds, query

UTC_CONTEXT = Context()


def micros(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2020", "2020-01-01T00:00Z", "2021-01-01T00:00Z"),
        ("2020-02", "2020-02-01T00:00Z", "2020-03-01T00:00Z"),
        ("2020-02-29", "2020-02-29T00:00Z", "2020-03-01T00:00Z"),
        ("2020-12-31", "2020-12-31T00:00Z", "2021-01-01T00:00Z"),
        ("2020-02-29T10:30", "2020-02-29T10:30Z", "2020-02-29T10:31Z"),
        ("2020-02-29T10:30+05:30", "2020-02-29T05:00Z", "2020-02-29T05:01Z"),
        ("2020-02-29T23:30:00-05:00", "2020-03-01T04:30:00Z", "2020-03-01T04:30:01Z"),
        ("2020-02-29T10:30:15.25Z", "2020-02-29T10:30:15.25Z", "2020-02-29T10:30:15.26Z"),
        ("2020-02-29T10:30:15.1234567Z", "2020-02-29T10:30:15.123456Z", "2020-02-29T10:30:15.123457Z"),  # noqa: E501
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", "2017-01-01T00:00:01Z"),
        ("0001-01-01", "0001-01-01T00:00Z", "0001-01-02T00:00Z"),
    ],
)  # fmt: skip
def test_a_date_is_the_interval_of_its_precision(text: str, start: str, end: str) -> None:
    assert span(text, UTC_CONTEXT) == (micros(start), micros(end))


def test_the_year_9999_ends_after_all_its_days() -> None:
    start, end = span("9999", UTC_CONTEXT)
    assert end - start == 365 * 86_400_000_000
    assert span("9999-12-31", UTC_CONTEXT)[1] == end


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20",
        "2020-13",
        "2020-02-30",
        "2020-2-3",
        "2020-01-01T10",
        "2020-01-01T24:00",
        "2020-01-01T10:60",
        "2020-01-01T10:00:61Z",
        "2020-01-01T10:00Z+01:00",
        "2020-01-01T10:00+15:00",
        "0000",
        "now",
        "२०२०",
    ],
)
def test_what_is_not_a_date_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        query("Patient", f"birthdate=eq{text}")
    assert refused.value.issues[0].expression == "birthdate"
    assert refused.value.issues[0].code == "value"
    assert text not in refused.value.text or not text


def test_an_unknown_prefix_is_not_supported() -> None:
    with pytest.raises(NotSupported):
        query("Patient", "birthdate=xx2020")


def test_a_date_without_offset_is_of_the_servers_zone() -> None:
    late_in_india = {"resourceType": "Observation", "effectiveDateTime": "2020-03-01T20:00:00Z"}
    assert finds("date=2020-03-02", late_in_india, INDIAN)
    assert not finds("date=2020-03-02", late_in_india, REGISTRY)
    assert finds("date=2020-03-01", late_in_india, REGISTRY)


def test_a_blank_before_an_offset_is_a_plus_sign() -> None:
    stored = {"resourceType": "Observation", "effectiveDateTime": "2020-03-01T10:00:00+05:30"}
    assert finds("date=2020-03-01T10:00:00+05:30", stored)  # form decoding makes it a blank
    assert finds("date=2020-03-01T10:00:00%2B05:30", stored)


# Written from the table of prefixes: the searched interval is [s, e), the stored one [a, b).
REFERENCE = {
    "eq": "a >= s and b <= e",
    "ne": "not (a >= s and b <= e)",
    "gt": "b > e",
    "lt": "a < s",
    "ge": "b > e or (a >= s and b <= e)",
    "le": "a < s or (a >= s and b <= e)",
    "sa": "a >= e",
    "eb": "b <= s",
    "ap": "a < e and b > s",
}
COMPARE = {
    "<": lambda x, y: x < y,
    "<=": lambda x, y: x <= y,
    ">": lambda x, y: x > y,
    ">=": lambda x, y: x >= y,
}
INTERVAL = st.tuples(st.integers(-6, 6), st.integers(1, 5)).map(lambda t: (t[0], t[0] + t[1]))


@given(prefix=st.sampled_from(sorted(REFERENCE)), searched=INTERVAL, stored=INTERVAL)
def test_each_prefix_is_the_condition_of_the_table(
    prefix: str, searched: tuple[int, int], stored: tuple[int, int]
) -> None:
    row = {"low": stored[0], "high": stored[1]}
    passed = all(
        any(COMPARE[test.comparison](row[test.column], test.value) for test in group)
        for group in span_groups(prefix, *searched)
    )
    names = dict(zip("seab", (*searched, *stored), strict=True))
    assert passed is eval(REFERENCE[prefix], names)


def encounter(**period: str) -> Json:
    return {"resourceType": "Encounter", "period": period}


DAY = encounter(start="2020-05-10", end="2020-05-10")
WEEK = encounter(start="2020-05-08", end="2020-05-14")
SINCE = encounter(start="2020-05-10")
UNTIL = encounter(end="2020-05-10")


@pytest.mark.parametrize(
    ("value", "day", "week", "since", "until"),
    [
        ("2020-05-10", True, False, False, False),
        ("2020-05", True, True, False, False),
        ("ne2020-05-10", False, True, True, True),
        ("gt2020-05-10", False, True, True, False),
        ("lt2020-05-10", False, True, False, True),
        ("ge2020-05-10", True, True, True, False),
        ("le2020-05-10", True, True, False, True),
        ("sa2020-05-09", True, False, True, False),
        ("sa2020-05-10", False, False, False, False),
        ("eb2020-05-11", True, False, False, True),
        ("eb2020-05-10", False, False, False, False),
        ("ge2020-05-11", False, True, True, False),
        ("le2020-05-09", False, True, False, True),
        ("2020-05-10T12:00", False, False, False, False),
        ("gt2020-05-10T12:00", True, True, True, True),
    ],
)
def test_periods(value: str, *, day: bool, week: bool, since: bool, until: bool) -> None:
    found = [finds(f"date={value}", one) for one in (DAY, WEEK, SINCE, UNTIL)]
    assert found == [day, week, since, until]


def test_a_period_without_sides_is_missing() -> None:
    assert finds("date:missing=true", encounter())
    assert finds("date:missing=false", SINCE)
    assert not finds("date:missing=true", SINCE)


def test_a_closed_period_is_no_row_when_it_ends_before_it_starts() -> None:
    assert finds("date:missing=true", encounter(start="2020-05-10", end="2020-05-01"))


def test_an_open_period_has_infinite_sides() -> None:
    assert span("0001", UTC_CONTEXT)[0] > EARLIEST
    assert span("9999", UTC_CONTEXT)[1] < LATEST


def test_approximately_widens_by_a_tenth_of_the_distance_from_now() -> None:
    year = datetime.now(UTC).year
    ten_years_ago = {"resourceType": "Patient", "birthDate": f"{year - 10}-06-15"}
    assert finds(f"birthdate=ap{year - 10}-03", ten_years_ago)
    assert not finds(f"birthdate=ap{year - 13}", ten_years_ago)
    assert not finds(f"birthdate={year - 10}-03", ten_years_ago)


def test_values_are_alternatives_and_repeats_are_all_demanded() -> None:
    assert finds("date=2019,2020-05", DAY)
    assert not finds("date=2019&date=2020-05", DAY)
    assert finds("date=ge2020-05-01&date=lt2020-06-01", DAY)


def test_timing_is_indexed_by_its_outer_limits() -> None:
    timing = {
        "event": ["2020-01-05", "2020-03-07"],
        "repeat": {"boundsPeriod": {"start": "2020-02-01", "end": "2020-02-03"}},
    }
    resource = {"resourceType": "Observation", "effectiveTiming": timing}
    assert finds("date=2020", resource)
    assert finds("date=sa2020-01-04", resource)
    assert finds("date=eb2020-03-08", resource)
    assert not finds("date=2020-02", resource)


def test_element_types_that_are_no_date_give_no_row() -> None:
    assert finds("onset-date:missing=true", {"resourceType": "Condition", "onsetString": "x"})


def test_an_instant_is_a_moment() -> None:
    stored = {"resourceType": "Observation", "effectiveInstant": "2020-01-01T10:00:00Z"}
    assert finds("date=2020-01-01T10:00:00.000Z", stored)
    assert finds("date=le2020-01-01T10:00:00Z", stored)
    assert not finds("date=sa2020-01-01T10:00:00Z", stored)


def test_interval_as_datetimes_is_cut_off_where_datetimes_end() -> None:
    assert interval("2020-05-10", "UTC") == (
        datetime(2020, 5, 10, tzinfo=UTC),
        datetime(2020, 5, 11, tzinfo=UTC),
    )
    assert interval("9999", "UTC")[1] == datetime.max.replace(tzinfo=UTC)
    with pytest.raises(BadRequest):
        interval("yesterday", "UTC")
