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


def at(**effective: object) -> Json:
    return {"resourceType": "Observation", **{f"effective{k}": v for k, v in effective.items()}}


def period(**sides: str) -> Json:
    return at(Period=sides)


STORED: dict[str, Json] = {
    "year": at(DateTime="2020"),
    "month": at(DateTime="2020-05"),
    "day": at(DateTime="2020-05-10"),
    "minute": at(DateTime="2020-05-10T12:30Z"),
    "second": at(DateTime="2020-05-10T12:30:15Z"),
    "instant": at(Instant="2020-05-10T12:30:15.250Z"),
    "closed": period(start="2020-05-09", end="2020-05-10"),
    "since": period(start="2020-05-10"),
    "until": period(end="2020-05-10"),
    "before": period(start="2018", end="2019"),
    "after": period(start="2021"),
}
# For each searched date the prefixes by which each stored value passes.
_BEFORE, _AFTER, _INSIDE, _ACROSS = "ne lt le eb", "ne gt ge sa", "eq ge le", "ne gt lt ge le"
PASSING: dict[str, dict[str, str]] = {
    "2020": {
        **dict.fromkeys(("year", "month", "day", "minute", "second", "instant", "closed"), _INSIDE),
        "since": "ne gt ge",
        "until": "ne lt le",
    },
    "2020-05": {
        **dict.fromkeys(("month", "day", "minute", "second", "instant", "closed"), _INSIDE),
        "year": _ACROSS,
        "since": "ne gt ge",
        "until": "ne lt le",
    },
    "2020-05-10": {
        **dict.fromkeys(("day", "minute", "second", "instant"), _INSIDE),
        **dict.fromkeys(("year", "month"), _ACROSS),
        "closed": "ne lt le",
        "since": "ne gt ge",
        "until": "ne lt le",
    },
    "2020-05-10T12:30Z": {
        **dict.fromkeys(("minute", "second", "instant"), _INSIDE),
        **dict.fromkeys(("year", "month", "day", "closed", "since", "until"), _ACROSS),
    },
    "2020-05-10T12:30:15Z": {
        **dict.fromkeys(("second", "instant"), _INSIDE),
        **dict.fromkeys(("year", "month", "day", "minute", "closed", "since", "until"), _ACROSS),
    },
    "2020-05-10T12:30:15.25Z": {
        "instant": _INSIDE,
        **dict.fromkeys(("year", "month", "day", "minute", "second"), _ACROSS),
        **dict.fromkeys(("closed", "since", "until"), _ACROSS),
    },
}


@pytest.mark.parametrize(
    ("text", "stored", "expected"),
    [
        (
            f"date={prefix}{searched}",
            STORED[name],
            prefix in passing.get(name, _BEFORE if name == "before" else _AFTER).split(),
        )
        for searched, passing in PASSING.items()
        for name in STORED
        for prefix in ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")
    ],
)
def test_each_prefix_with_each_precision(text: str, stored: Json, *, expected: bool) -> None:
    assert finds(text, stored) is expected


LEAP = at(DateTime="2016-12-31T23:59:60Z")
MIDNIGHT = at(DateTime="2020-03-01T00:30:00+05:30")  # 2020-02-29T19:00Z
FIRST, LAST = at(DateTime="0001-01-01"), at(DateTime="9999-12-31")
NINE = at(DateTime="9999-12-31T23:59:59.999999Z")


@pytest.mark.parametrize(
    ("text", "stored", "expected"),
    [
        # A leap second is the first second of the next minute.
        ("date=2016-12-31T23:59:60Z", LEAP, True),
        ("date=2017-01-01T00:00:00Z", LEAP, True),
        ("date=2017", LEAP, True),
        ("date=2016", LEAP, False),
        ("date=2016-12-31T23:59:59Z", LEAP, False),
        ("date=gt2016-12-31T23:59:59Z", LEAP, True),
        ("date=2017-01-01T05:29:60%2B05:30", LEAP, True),
        # The first and the last year of the calendar, also where a zone leads out of it.
        ("date=0001", FIRST, True),
        ("date=0001-01-01", FIRST, True),
        ("date=lt0001-01-02", FIRST, True),
        ("date=lt0001-01-01", FIRST, False),
        ("date=eb0001-01-01", FIRST, False),
        ("date=ge0001-01-01T00:00:00%2B14:00", FIRST, True),
        ("date=sa0001-01-01T00:00:00%2B14:00", FIRST, True),
        ("date=9999", LAST, True),
        ("date=9999-12-31", LAST, True),
        ("date=gt9999-12-31", LAST, False),
        ("date=ge9999-12-31T23:59:59-12:00", LAST, False),
        ("date=eb9999-12-31T23:59:59-12:00", LAST, True),
        ("date=9999-12-31T23:59:59.999999Z", NINE, True),
        ("date=sa9999", NINE, False),
        ("date=ap9999", LAST, True),
        # A zone moves a date over midnight, and over the end of February.
        ("date=2020-02-29", MIDNIGHT, True),
        ("date=2020-03-01", MIDNIGHT, False),
        ("date=2020-03-01T00:30:00%2B05:30", MIDNIGHT, True),
        ("date=2020-03-01T00:30:00+05:30", MIDNIGHT, True),
        ("date=2020-02-29T19:00:00Z", MIDNIGHT, True),
        ("date=2020-02-29T14:00-05:00", MIDNIGHT, True),
        ("date=2020-03-01T00:30:00Z", MIDNIGHT, False),
        ("date=2020-03-01T00:30:00", MIDNIGHT, False),
        # Any of several values may match, each with its own prefix.
        ("date=lt2019,gt2020-02-28", MIDNIGHT, True),
        ("date=lt2019,gt2020-03-01", MIDNIGHT, False),
    ],
)
def test_dates_at_edges(text: str, stored: Json, *, expected: bool) -> None:
    assert finds(text, stored) is expected


@pytest.mark.parametrize(
    "text", ["2020\\-05", "2020-05\\", "ge", "2020-05 ", "2020-05-10T12:30+0530"]
)
def test_what_only_looks_like_a_date_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        query("Patient", f"birthdate={text}")
    assert refused.value.issues[0].code == "value"


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
