from datetime import UTC, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from adapters.dicom.dataset import datetimes


@pytest.mark.parametrize(
    ("da", "iso"),
    [
        ("20240229", "2024-02-29"),
        ("2024.02.29", "2024-02-29"),
        (" 20240101 ", "2024-01-01"),
        ("20230229", None),
        ("00000000", None),
        ("2024", None),
        ("", None),
        ("٢٠٢٤٠١٠١", None),
    ],
)
def test_a_date_is_a_day_of_the_calendar_or_left_out(da: str, iso: str | None) -> None:
    found = datetimes.day(da)
    assert (found.isoformat() if found else None) == iso


@pytest.mark.parametrize(
    ("tm", "iso"),
    [
        ("112749", "2024-01-31T11:27:49+00:00"),
        ("11:27:49", "2024-01-31T11:27:49+00:00"),
        ("1127", "2024-01-31T11:27:00+00:00"),
        ("11", "2024-01-31"),
        ("", "2024-01-31"),
        ("235960", "2024-01-31T23:59:59+00:00"),
        ("112749.123456", "2024-01-31T11:27:49.123+00:00"),
        ("112749.5", "2024-01-31T11:27:49.500+00:00"),
        ("250000", "2024-01-31"),
        ("noon", "2024-01-31"),
    ],
)
def test_a_time_adds_to_its_date_what_it_knows(tm: str, iso: str) -> None:
    assert datetimes.date_time("20240131", tm, UTC) == iso


def test_a_time_without_date_is_nothing() -> None:
    assert datetimes.date_time("", "112749", UTC) is None


def test_the_zone_counts_with_its_daylight_saving() -> None:
    zone = ZoneInfo("Europe/Berlin")
    assert datetimes.date_time("20240131", "1127", zone) == "2024-01-31T11:27:00+01:00"
    assert datetimes.date_time("20240731", "1127", zone) == "2024-07-31T11:27:00+02:00"


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("+0530", 330), ("-0500", -300), ("-1200", -720), ("+1400", 840), ("+0000 ", 0)],
)
def test_offsets(text: str, minutes: int) -> None:
    assert datetimes.offset(text) == timezone(timedelta(minutes=minutes))


@pytest.mark.parametrize("text", ["", "0530", "+1500", "-1230", "+05:30", "Z"])
def test_what_is_no_offset(text: str) -> None:
    assert datetimes.offset(text) is None
