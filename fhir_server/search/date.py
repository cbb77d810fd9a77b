"""Date parameters.

https://hl7.org/fhir/R4/search.html#date
"""

import calendar
import datetime as dt
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_server.errors import BadRequest
from fhir_server.search import months
from fhir_server.search.clause import Clause
from fhir_server.search.condition import Condition, Row, Updated, either
from fhir_server.search.context import Context
from fhir_server.search.context import zone as zone_of
from fhir_server.search.interval import Groups, span_groups
from fhir_server.search.months import DAY, EPOCH_DAY
from fhir_server.search.parameter import Parameter
from fhir_server.search.rows import Rows, Writer

TABLE = "idx_date"
MODIFIERS: frozenset[str] = frozenset()

Span = tuple[int, int]
"""Half-open [start, end) in microseconds since 1970-01-01T00:00Z."""

EARLIEST = -(1 << 62)
LATEST = 1 << 62
SECOND = 1_000_000
WRITTEN = "A date is written YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss[.f]][Z|+hh:mm]."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
_DATE = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"(T(?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)(\.(?P<fraction>\d+))?)?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
# A stored date is read by the same rules as a searched one; a plus sign of an
# offset arrives as a blank when the client did not encode it.
_BLANK_OFFSET = re.compile(r" (?=\d\d:\d\d$)")


def span(text: str, context: Context) -> Span:
    """Return the interval that a date, dateTime or instant stands for.

    A year, month, day, minute, second or the written fraction of a second;
    without an offset in the context's zone. ValueError when it is none.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError("not a date")
    year, month, day, hour = match.group("year", "month", "day", "hour")
    if day is None:
        first, last = _days(int(year), int(month) if month else 0)
        return _midnight(first, context), _midnight(last, context)
    ordinal = dt.date(int(year), int(month), int(day)).toordinal()
    if hour is None:
        return _midnight(ordinal, context), _midnight(ordinal + 1, context)
    return _moment(ordinal, match, context)


def interval(text: str, zone: str) -> tuple[datetime, datetime]:
    """Return the interval of a date as datetimes; BadRequest when it is none.

    `zone` is an IANA name; what lies outside of the years 1 to 9999 is cut off.
    """
    try:
        start, end = span(_BLANK_OFFSET.sub("+", text), Context(zone=zone_of(zone)))
    except ValueError:
        raise BadRequest(WRITTEN, code="value") from None
    return moment(start), moment(end)


def moment(microseconds: int) -> datetime:
    """Return the datetime in UTC, cut off at the years 1 and 9999."""
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if microseconds < 0 else _LAST


def _days(year: int, month: int) -> tuple[int, int]:
    """Return the ordinals of the first day and of the day after the last."""
    if not month:
        first = dt.date(year, 1, 1).toordinal()
        return first, first + (366 if calendar.isleap(year) else 365)
    first = dt.date(year, month, 1).toordinal()
    return first, first + calendar.monthrange(year, month)[1]


def _moment(ordinal: int, match: re.Match[str], context: Context) -> Span:
    hour, minute, second, fraction, zone = match.group(
        "hour", "minute", "second", "fraction", "zone"
    )
    # A leap second, 60, is read as the first second of the next minute.
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:  # noqa: PLR2004  (clock)
        raise ValueError("no such time of day")
    clock = (int(hour) * 3600 + int(minute) * 60 + int(second or 0)) * SECOND
    offset = _offset(ordinal, clock, context) if zone is None else _written_offset(zone)
    start = (ordinal - EPOCH_DAY) * DAY + clock - offset
    if fraction is not None:
        width = 10 ** max(6 - len(fraction), 0)
        start += int(fraction[:6].ljust(6, "0"))
    else:
        width = SECOND if second is not None else 60 * SECOND
    return start, start + width


def _written_offset(zone: str) -> int:
    if zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:])
    if hours > 14 or minutes > 59:  # noqa: PLR2004  (XML Schema: at most 14:00)
        raise ValueError("no such offset")
    seconds = (hours * 60 + minutes) * 60
    return (-seconds if zone[0] == "-" else seconds) * SECOND


def _offset(ordinal: int, clock: int, context: Context) -> int:
    """Return the offset of the context's zone at this local time."""
    if context.zone is UTC:
        return 0
    if not dt.date.min.toordinal() < ordinal < dt.date.max.toordinal():
        return 0
    moment = datetime.fromordinal(ordinal) + timedelta(microseconds=clock)
    offset = context.zone.utcoffset(moment.replace(tzinfo=context.zone))
    return (offset or timedelta()) // timedelta(microseconds=1)


def _midnight(ordinal: int, context: Context) -> int:
    return (ordinal - EPOCH_DAY) * DAY - _offset(ordinal, 0, context)


def period_span(period: dict[str, Any], context: Context) -> Span | None:
    """Return a Period's interval, open where a side is missing; None without both sides."""
    start, end = period.get("start"), period.get("end")
    if start is None and end is None:
        return None
    low = EARLIEST if start is None else span(start, context)[0]
    high = LATEST if end is None else span(end, context)[1]
    return (low, high) if low < high else None


def timing_span(timing: dict[str, Any], context: Context) -> Span | None:
    """Return the outer limits of a Timing's events and bounds."""
    spans = [span(event, context) for event in timing.get("event", ()) if event is not None]
    bounds = period_span((timing.get("repeat") or {}).get("boundsPeriod") or {}, context)
    if bounds:
        spans.append(bounds)
    return (min(s[0] for s in spans), max(s[1] for s in spans)) if spans else None


def _instant_span(text: str, context: Context) -> Span:
    """Return [t, t + 1 µs): an instant is a moment, whatever its digits."""
    start, _ = span(text, context)
    return start, start + 1


SPANS: Mapping[str, Callable[[Any, Context], Span | None]] = {
    "date": span,
    "dateTime": span,
    "instant": _instant_span,
    "Period": period_span,
    "Timing": timing_span,
}
"""The interval of a value, by element type; other types have none (specification 4.2)."""


def _writer(element_type: str) -> Writer:
    measure = SPANS[element_type]

    def write(rows: Rows, parameter: Parameter, value: Any) -> None:  # noqa: ANN401  (JSON)
        found = measure(value, rows.context)
        if found is not None:
            rows.ranges[TABLE].add((parameter.id, *found))
            months.write(rows, parameter, *found)

    return write


WRITERS: Mapping[str, Writer] = {element_type: _writer(element_type) for element_type in SPANS}


def present(context: Context, parameter: Parameter) -> Condition:  # noqa: ARG001  (SearchType)
    """Return the condition that the parameter has a value."""
    return Row(TABLE, parameter.id, ())


def condition(context: Context, clause: Clause) -> Condition:
    """Return the condition of the clause's alternatives."""
    groups = [searched(context, clause, value) for value in clause.values]
    if clause.parameter.code == "_lastUpdated":
        return either([Updated(g) for g in groups])
    return either([Row(TABLE, clause.parameter.id, g) for g in groups])


def overlapping(context: Context, clause: Clause) -> Condition:
    """Return the condition that a stored interval overlaps one of the clause's, without prefix."""
    spans = [_read(context, clause, clause.unescape(value)) for value in clause.values]
    groups = [span_groups("ap", start, end) for start, end in spans]
    if clause.parameter.code == "_lastUpdated":
        return either([Updated(g) for g in groups])
    return either([Row(TABLE, clause.parameter.id, g) for g in groups])


def _read(context: Context, clause: Clause, text: str) -> Span:
    try:
        return span(_BLANK_OFFSET.sub("+", text), context)
    except ValueError:
        raise clause.refuse(WRITTEN) from None


def searched(context: Context, clause: Clause, value: str) -> Groups:
    """Return the tests that one searched value stands for."""
    prefix, text = clause.prefix(clause.unescape(value))
    start, end = _read(context, clause, text)
    if prefix == "ap":
        margin = max(start - clause.now, clause.now - end, 0) // 10
        start, end = start - margin, end + margin
    return span_groups(prefix, start, end)
