"""DICOM dates and times as FHIR dates and date-times.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#sect_6.2
https://hl7.org/fhir/R4/datatypes.html#dateTime
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

_DA = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})", re.ASCII)
_TM = re.compile(r"(\d{2}):?(?:(\d{2}):?(?:(\d{2})(?:\.(\d{1,6}))?)?)?", re.ASCII)
_DT = re.compile(r"(\d{4})(\d{2})?(\d{2})?([\d.]*)([+-]\d{4})?", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})", re.ASCII)
_WEST = timedelta(hours=-12)
_EAST = timedelta(hours=14)
_LEAP_SECOND = 60


def day(text: str) -> date | None:
    """Return a DA value, `YYYYMMDD` or the old `YYYY.MM.DD`; None when there is no such day."""
    match = _DA.fullmatch(text.strip())
    try:
        return date(int(match[1]), int(match[2]), int(match[3])) if match else None
    except ValueError:
        return None


def offset(text: str) -> timezone | None:
    """Return the offset of (0008,0201), `+HHMM` within -1200 to +1400, else None."""
    match = _OFFSET.fullmatch(text.strip())
    if match is None:
        return None
    size = timedelta(hours=int(match[2]), minutes=int(match[3]))
    east = -size if match[1] == "-" else size
    return timezone(east) if _WEST <= east <= _EAST else None


def date_time(da: str, tm: str, zone: tzinfo = UTC) -> str | None:
    """Return a FHIR dateTime in `zone`; a time of hours only, or a wrong one, is left out.

    Second 60 becomes 59, fractions are cut to milliseconds; None without a date.
    """
    on = day(da)
    if on is None:
        return None
    match = _TM.fullmatch(tm.strip())
    if match is None or match[2] is None:
        return on.isoformat()
    second = int(match[3] or 0)
    try:
        at = datetime(
            on.year,
            on.month,
            on.day,
            int(match[1]),
            int(match[2]),
            second - (second == _LEAP_SECOND),
            int((match[4] or "").ljust(6, "0")),
            tzinfo=zone,
        )
    except ValueError:
        return on.isoformat()
    return at.isoformat(timespec="milliseconds" if match[4] else "seconds")


def moment(dt: str, zone: tzinfo) -> str | None:
    """Return a DT value as a FHIR dateTime, None when there is no such day.

    Its own offset wins over `zone`; year, and year and month, stay as they are.
    """
    match = _DT.fullmatch(dt.strip())
    if match is None:
        return None
    year, month, of_month, clock, own = match.groups()
    if month is None:
        return year if int(year) else None
    if of_month is None:
        whole = day(f"{year}{month}01")
        return whole.isoformat()[:7] if whole else None
    return date_time(f"{year}{month}{of_month}", clock, offset(own or "") or zone)
