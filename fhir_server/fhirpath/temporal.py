"""Dates, times and dates with times, each to the precision it was written with.

https://hl7.org/fhirpath/N1/#datetime-equality
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from fhir_server.fhirpath.quantity import Quantity, calendar
from fhir_server.fhirpath.refusal import Misuse

_DATE: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(?:(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?)?"
    r"(Z|[+-]\d\d:\d\d)?)?)?)?T?\Z",
    re.ASCII,
)
_TIME: Final = re.compile(r"(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?\Z", re.ASCII)
_DAY, _SECOND = 3, 6
_MONTHS: Final = 12
_FIRST, _LAST = 1, 9999
_HOUR_LIMIT, _MINUTE_LIMIT, _SECOND_LIMIT = 24, 60, 61
# Digits that each component adds to the precision: YYYY MM DD hh mm ss.
_DIGITS: Final = (4, 2, 2, 2, 2, 2)
_MILLISECONDS: Final = 3
# Offsets run from -12:00 to +14:00: what is further apart is in order whatever they are.
_SPREAD: Final = Decimal(26 * 3600)
_SECONDS: Final = {
    "week": Decimal(604_800),
    "day": Decimal(86_400),
    "hour": Decimal(3_600),
    "minute": Decimal(60),
    "second": Decimal(1),
    "millisecond": Decimal("0.001"),
}


@dataclass(frozen=True, slots=True)
class Temporal:
    """A Date, DateTime or Time: its components as far as given; `offset` in minutes.

    A Time has hour, minute, second; the others begin with year, month, day.
    Seconds are a Decimal with the digits that were written.
    """

    kind: str
    parts: tuple[int | Decimal, ...]
    offset: int | None = None

    def __str__(self) -> str:
        return _written(self)

    @property
    def precision(self) -> int:
        """Return how many digits it has, of milliseconds too."""
        digits = _DIGITS[3:] if self.kind == "Time" else _DIGITS
        total = sum(digits[: len(self.parts)])
        seconds = self.parts[-1]
        if type(seconds) is Decimal and seconds.as_tuple().exponent:
            total += _MILLISECONDS
        return total


def temporal(kind: str, text: str) -> Temporal:
    """Return what a text of FHIR or of a literal says; Misuse where there is no such moment."""
    found = (_TIME if kind == "Time" else _DATE).match(text)
    if found is None or (kind == "Date" and "T" in text):
        raise Misuse("there is no such date or time")
    *digits, zone = found.groups() if kind != "Time" else (*found.groups(), None)
    parts = tuple(
        Decimal(part) if at == len(digits) - 1 else int(part)
        for at, part in enumerate(digits)
        if part is not None
    )
    _check(kind, parts)
    return Temporal(kind, parts, _offset(zone))


def moment(when: datetime) -> Temporal:
    """Return a moment with its offset, to the millisecond."""
    seconds = Decimal(when.second) + Decimal(when.microsecond // 1000).scaleb(-3)
    offset = when.utcoffset() or timedelta()
    parts = (when.year, when.month, when.day, when.hour, when.minute, seconds)
    return Temporal("DateTime", parts, int(offset.total_seconds()) // 60)


def compare(left: Temporal, right: Temporal) -> int | None:
    """Return -1, 0 or 1; None where the precisions or unknown offsets leave it open."""
    if (left.kind == "Time") != (right.kind == "Time"):
        raise Misuse("a time is not comparable with a date")
    if left.offset is not None and right.offset is not None:
        left, right = _in_utc(left), _in_utc(right)
    elif (left.offset is None) != (right.offset is None) and min(
        len(left.parts), len(right.parts)
    ) > _DAY:
        apart = _instant(left) - _instant(right)
        return None if abs(apart) <= _SPREAD else (1 if apart > 0 else -1)
    for mine, yours in zip(left.parts, right.parts, strict=False):
        if mine != yours:
            return 1 if mine > yours else -1
    return 0 if len(left.parts) == len(right.parts) else None


def key(value: Temporal) -> tuple[object, ...]:
    """Return what equal moments have in common."""
    plain = _in_utc(value) if value.offset is not None else value
    return ("t", value.kind == "Time", plain.parts, value.offset is not None)


def plus(value: Temporal, amount: Quantity, sign: int) -> Temporal:
    """Return the moment after (or before) a time-valued quantity.

    Above seconds its fraction is ignored; a month too short ends on its last day.
    Misuse where the unit is no time, or a definite month or year.
    """
    unit = calendar(amount)
    if unit is None:
        raise Misuse("a date or time is moved by a quantity of calendar time")
    count = amount.value if unit in {"second", "millisecond"} else Decimal(int(amount.value))
    if unit in {"year", "month"}:
        if value.kind == "Time":
            raise Misuse("a time is moved by hours, minutes or seconds")
        return _by_months(value, sign * int(count) * (_MONTHS if unit == "year" else 1))
    return _by_seconds(value, sign * count * _SECONDS[unit])


def boundary(value: Temporal, precision: int, *, high: bool) -> Temporal | None:
    """Return the first or last moment that this one may be, to that precision; None for none."""
    if value.kind == "Time":
        full = _filled(value.parts, (23, 59), (0, 0), high=high)
        return _cut(Temporal("Time", full), precision)
    year, *rest = value.parts
    month = int(rest[0]) if rest else (_MONTHS if high else 1)
    day = int(rest[1]) if len(rest) > 1 else (monthrange(int(year), month)[1] if high else 1)
    clock = _filled(value.parts[_DAY:], (23, 59), (0, 0), high=high)
    offset = value.offset if value.offset is not None else (-12 * 60 if high else 14 * 60)
    return _cut(Temporal(value.kind, (int(year), month, day, *clock), offset), precision)


def _filled(
    given: tuple[int | Decimal, ...],
    most: tuple[int, int],
    least: tuple[int, int],
    *,
    high: bool,
) -> tuple[int | Decimal, ...]:
    last = Decimal("59.999") if high else Decimal("0.000")
    full: tuple[int | Decimal, ...] = (*(most if high else least), last)
    if len(given) == len(full):
        seconds = Decimal(given[-1])
        if seconds == int(seconds):
            seconds += Decimal("0.999") if high else Decimal("0.000")
        return (*given[:-1], seconds)
    return (*given, *full[len(given) :])


def _cut(value: Temporal, precision: int) -> Temporal | None:
    for count in range(1, len(value.parts) + 1):
        offset = value.offset if count > _DAY else None
        short = Temporal(value.kind, value.parts[:count], offset)
        if short.precision == precision:
            return short
    return None


def _check(kind: str, parts: tuple[int | Decimal, ...]) -> None:
    clock = parts if kind == "Time" else parts[_DAY:]
    limits = (_HOUR_LIMIT, _MINUTE_LIMIT, _SECOND_LIMIT)
    good = all(part < limit for part, limit in zip(clock, limits, strict=False))
    if kind != "Time":
        padded: list[int | Decimal] = [*parts, 1, 1]
        year, month, day = int(padded[0]), int(padded[1]), int(padded[2])
        good = good and year >= _FIRST and 1 <= month <= _MONTHS
        good = good and 1 <= day <= monthrange(year, month)[1]
    if not good:
        raise Misuse("there is no such date or time")


def _offset(zone: str | None) -> int | None:
    if zone is None or zone == "Z":
        return None if zone is None else 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:])
    return -minutes if zone[0] == "-" else minutes


def _instant(value: Temporal) -> Decimal:
    """Return seconds since the first day, as if it had no offset."""
    given = len(value.parts)
    parts: list[int | Decimal] = [*value.parts, *([1] * (_DAY - given))]
    parts += [0] * (_SECOND - len(parts))
    days = date(int(parts[0]), int(parts[1]), int(parts[2])).toordinal()
    return Decimal(days * 86_400 + int(parts[3]) * 3_600 + int(parts[4]) * 60) + parts[5]


def _in_utc(value: Temporal) -> Temporal:
    if not value.offset or len(value.parts) <= _DAY:
        return value
    return _shifted(value, Decimal(-60 * value.offset))


def _shifted(value: Temporal, seconds: Decimal) -> Temporal:
    """Return it moved, with as many components and digits as before."""
    total = _instant(value) + seconds
    days, rest = int(total // 86_400), total % 86_400
    if not _FIRST <= days <= date.max.toordinal():
        raise Misuse("the date is out of range")
    day = date.fromordinal(days)
    clock = (int(rest // 3_600), int(rest % 3_600 // 60), rest % 60)
    parts: tuple[int | Decimal, ...] = (day.year, day.month, day.day, *clock)
    return Temporal(value.kind, parts[: len(value.parts)], value.offset)


def _by_seconds(value: Temporal, seconds: Decimal) -> Temporal:
    if value.kind == "Time":
        today = Temporal("DateTime", (_FIRST, 1, 2, *value.parts))
        inside = seconds % 86_400
        return Temporal("Time", _shifted(today, inside).parts[_DAY:])
    if len(value.parts) < _DAY:
        months = int(seconds / _SECONDS["day"] / 30)
        return _by_months(value, months if len(value.parts) > 1 else months // _MONTHS * _MONTHS)
    if len(value.parts) == _DAY:
        seconds = Decimal(int(seconds / 86_400)) * 86_400
    return _shifted(value, seconds)


def _by_months(value: Temporal, months: int) -> Temporal:
    year, *rest = value.parts
    month = int(rest[0]) if rest else 1
    total = int(year) * _MONTHS + month - 1 + months
    year, month = total // _MONTHS, total % _MONTHS + 1
    if not _FIRST <= year <= _LAST:
        raise Misuse("the date is out of range")
    parts: list[int | Decimal] = [year, month, *rest[1:]]
    if len(parts) >= _DAY:
        parts[2] = min(int(parts[2]), monthrange(year, month)[1])
    return Temporal(value.kind, tuple(parts[: len(value.parts)]), value.offset)


def _written(value: Temporal) -> str:
    if value.kind == "Time":
        return _clock(value.parts)
    day = "-".join(f"{part:0{size}d}" for part, size in zip(value.parts, (4, 2, 2), strict=False))
    clock = _clock(value.parts[_DAY:])
    return f"{day}T{clock}{_zone(value.offset)}" if clock else day


def _clock(parts: tuple[int | Decimal, ...]) -> str:
    return ":".join(
        f"{'0' if part < 10 else ''}{part:f}" if type(part) is Decimal else f"{part:02d}"  # noqa: PLR2004
        for part in parts
    )


def _zone(offset: int | None) -> str:
    if not offset:
        return "" if offset is None else "Z"
    hours, minutes = divmod(abs(offset), 60)
    return f"{'-' if offset < 0 else '+'}{hours:02d}:{minutes:02d}"


def now_utc() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)
