"""Date parameters by the rules of the specification, 4.3."""

import calendar
import re
from collections.abc import Callable
from datetime import date
from fractions import Fraction

from .definitions import Json
from .escaping import unescape
from .fhirpath import Node

Value = tuple[Fraction, Fraction]
"""[start, end) in seconds since the first day of the calendar."""

INFINITE = Fraction(10**15)
PREFIX = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)", re.DOTALL)
TIME = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?")


def interval(text: str) -> Value:
    """Return the interval that a date of any precision is; without a zone it is UTC."""
    day, _, time = text.replace(" ", "+").partition("T")
    numbers = [int(part) for part in day.split("-")]
    if time:
        start, width = _time(time)
        return _midnight(*numbers) + start, _midnight(*numbers) + start + width
    match numbers:
        case [year]:
            return _midnight(year, 1, 1), _midnight(year, 12, 31) + 86400
        case [year, month]:
            last = calendar.monthrange(year, month)[1]
            return _midnight(year, month, 1), _midnight(year, month, last) + 86400
        case [year, month, number]:
            return _midnight(year, month, number), _midnight(year, month, number) + 86400
    raise ValueError(text)


def _midnight(year: int, month: int, day: int) -> Fraction:
    return Fraction(date(year, month, day).toordinal() * 86400)


def _time(text: str) -> Value:
    """Return where in the day a time starts, in UTC, and how long it is."""
    found = TIME.fullmatch(text)
    assert found is not None, text
    hour, minute, second, fraction, zone = found.groups()
    start = Fraction(int(hour) * 3600 + int(minute) * 60 + int(second or 0))
    width = Fraction(60 if second is None else 1)
    if fraction is not None:
        digits = fraction[:6]  # the store keeps microseconds
        start += Fraction(int(digits), 10 ** len(digits))
        width = Fraction(1, 10 ** len(digits))
    if zone not in (None, "Z"):
        offset = int(zone[1:3]) * 3600 + int(zone[4:]) * 60
        start += offset if zone[0] == "-" else -offset
    return start, width


def values(node: Node) -> list[Value]:
    """Return the interval of an element; an empty one is no value."""
    found = _stored(node)
    return [found] if found is not None and found[0] < found[1] else []


def _stored(node: Node) -> Value | None:
    match node.type:
        case "date" | "dateTime":
            return interval(node.value)
        case "instant":
            start = interval(node.value)[0]
            return start, start + Fraction(1, 10**6)
        case "Period":
            return _period(node.value)
        case "Timing":
            return _timing(node.value)
    return None


def _period(period: Json) -> Value | None:
    if "start" not in period and "end" not in period:
        return None
    start = interval(period["start"])[0] if "start" in period else -INFINITE
    return start, interval(period["end"])[1] if "end" in period else INFINITE


def _timing(timing: Json) -> Value | None:
    found = [interval(event) for event in timing.get("event", ()) if event is not None]
    bounds = _period(timing.get("repeat", {}).get("boundsPeriod", {}))
    found += [bounds] if bounds else []
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def predicate(text: str, now: Fraction) -> Callable[[Value], bool]:
    """Return whether a value passes a searched date with its prefix."""
    found = PREFIX.fullmatch(unescape(text))
    assert found is not None
    s, e = interval(found[2])
    prefix = found[1] or "eq"
    margin = max(s - now, now - e, Fraction(0)) / 10

    inside = s, e
    conditions: dict[str, Callable[[Fraction, Fraction], bool]] = {
        "eq": lambda a, b: _within((a, b), inside),
        "ne": lambda a, b: not _within((a, b), inside),
        "gt": lambda _, b: b > e,
        "lt": lambda a, _: a < s,
        "ge": lambda a, b: b > e or _within((a, b), inside),
        "le": lambda a, b: a < s or _within((a, b), inside),
        "sa": lambda a, _: a >= e,
        "eb": lambda _, b: b <= s,
        "ap": lambda a, b: a < e + margin and b > s - margin,
    }
    return lambda value: conditions[prefix](*value)


def _within(stored: Value, searched: Value) -> bool:
    return stored[0] >= searched[0] and stored[1] <= searched[1]
