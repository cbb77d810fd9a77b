"""TQ1, and the TQ of ORC-7 and OBR-27, as Timing, priority, quantity and notes.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-tq1-to-servicerequest.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from adapters.hl7.mapping import units
from adapters.hl7.mapping.code_tables import THO
from adapters.hl7.mapping.context import Context, Json, add
from adapters.hl7.mapping.datatypes import cq, dtm, nm, period
from adapters.hl7.message.accounting import CONDITION_FALSE, DUPLICATE, INVALID_VALUE
from adapters.hl7.message.tokenizer import Repetition, Segment

UCUM: Final = "http://unitsofmeasure.org"
_ABBREVIATION: Final = {  # 0335 in v3-GTSAbbreviation
    **{code: code for code in ("BID", "TID", "QID", "QOD")},
    **{f"Q{n}H": f"Q{n}H" for n in (1, 2, 3, 4, 6, 8)},
    "Q1D": "QD",
    "QD": "QD",
    "Q1W": "WK",
    "Q1L": "MO",
}
_PATTERN: Final = re.compile(
    r"Q\d+[SMHDWL]|Q\d+J\d*|\d+ID|BID|TID|QID|QAM|QSHIFT|QOD|QHS|QPM|C|PRN.*|ONCE|[API]C?[MDV]?\Z",
    re.IGNORECASE,
)
_UNIT: Final = {
    **dict.fromkeys(("S", "SEC"), "s"),
    **dict.fromkeys(("M", "MIN"), "min"),
    **dict.fromkeys(("H", "HR", "HOUR"), "h"),
    **dict.fromkeys(("D", "DAY"), "d"),
    **dict.fromkeys(("W", "WK"), "wk"),
    **dict.fromkeys(("L", "MO"), "mo"),
    **dict.fromkeys(("A", "Y", "YR"), "a"),
}
_MINUTES: Final[Mapping[str, Decimal]] = {
    "s": Decimal(1) / 60,
    "min": Decimal(1),
    "h": Decimal(60),
    "d": Decimal(1_440),
    "wk": Decimal(10_080),
}
# Day 1 is Monday: `Q2J2` with `DW^2` is every second Tuesday (v2.9 chapter 2A, RPT, RI).
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WHEN: Final = frozenset(  # 0528
    ("HS", "WAKE", "C", "CM", "CD", "CV", "AC", "ACM", "ACD", "ACV", "PC", "PCM", "PCD", "PCV")
)
_NO_OFFSET: Final = frozenset(("C", "CM", "CD", "CV"))  # tim-9
_DURATION: Final = re.compile(r"([SMHDWL])(\d+)\Z")


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of a resource to which a timing, its quantity and its text go."""

    timing: str
    quantity: str
    text: str


@dataclass(slots=True)
class Timed:
    """What a timing says: a Timing, a quantity, a priority, texts and a condition."""

    timing: Json = field(default_factory=dict)
    quantity: Json | None = None
    priority: str = ""
    notes: list[Json] = field(default_factory=list)
    condition: str = ""

    @property
    def repeat(self) -> Json:
        """The repeat of the timing, which comes to be when it is asked for."""
        found: Json = self.timing.setdefault("repeat", {})
        return found


def of_tq1(ctx: Context, tq1: Segment, elements: Elements) -> Timed:
    """Return what a TQ1 says; `elements` are those in which it is put."""
    path = elements.timing
    found = Timed(quantity=cq.cq(tq1.first(2), elements.quantity))
    pattern = tq1.first(3)
    if pattern is not None:
        _pattern(found, pattern, path)
    _times_of_day(found, tq1, path)
    where = f"{path}.repeat.boundsPeriod"
    _put_bounds(found, period.period(ctx, (tq1.first(7), 1), (tq1.first(8), 1), where))
    _service_duration(found, tq1, path)
    _occurrence_duration(found, tq1.first(13), path)
    _count(found, tq1.first(14), 1, path)
    priority = tq1.first(9)
    found.priority = priority.peek() if priority is not None else ""
    if text := tq1.take(11, elements.text):
        found.notes.append({"text": text})
    found.condition = tq1.peek(10)
    return _without_empty(found)


def of_tq(ctx: Context, rep: Repetition, elements: Elements) -> Timed:
    """Return what a TQ of a version before 2.5 says."""
    path = elements.timing
    found = Timed(quantity=_tq_quantity(rep, elements.quantity))
    if code := rep.peek(2):
        rep.mark(2, f"{path}.code")
        found.timing["code"] = _code(code)
    _tq_duration(found, rep, path)
    where = f"{path}.repeat.boundsPeriod"
    _put_bounds(found, period.period(ctx, (rep, 4), (rep, 5), where))
    _count(found, rep, 12, path)
    found.priority = rep.peek(6)
    if text := rep.take(8, elements.text):
        found.notes.append({"text": text})
    return _without_empty(found)


def _without_empty(found: Timed) -> Timed:
    if not found.timing.get("repeat", True):
        del found.timing["repeat"]
    return found


def _tq_quantity(rep: Repetition, path: str) -> Json | None:
    """TQ.1 is a CQ of which the parts are subcomponents."""
    number = nm.number(rep.peek(1))
    if number is None or number.comparator:
        return None
    rep.mark(1, f"{path}.value")
    unit = rep.take(1, f"{path}.unit", 2)
    return nm.quantity(number, units.members(unit))


def _code(pattern: str) -> Json:
    """Return a repeat pattern (0335) as a CodeableConcept, a text where it is none."""
    code = pattern.upper()
    if code in _ABBREVIATION:
        found = {"system": THO + "v3-GTSAbbreviation", "code": _ABBREVIATION[code]}
        original = {"system": THO + "v2-0335", "code": pattern}
        return {"coding": [found] if found["code"] == pattern else [found, original]}
    if _PATTERN.match(pattern):
        return {"coding": [{"system": THO + "v2-0335", "code": " ".join(pattern.split())}]}
    return {"text": pattern}


def _pattern(found: Timed, rpt: Repetition, path: str) -> None:
    """RPT: code, days of the week, period, event and its offset."""
    code, text = rpt.peek(1), rpt.peek(1, 2)
    if code or text:
        found.timing["code"] = _code(code or text)
        rpt.mark(1, f"{path}.code")
        if code and text:
            found.timing["code"]["text"] = text
        rpt.mark(1, f"{path}.code", 2)
        rpt.mark(1, f"{path}.code", 3)
    _days(found, rpt, path)
    number, unit = nm.number(rpt.peek(5)), _UNIT.get(rpt.peek(6).upper())
    if number is not None and not number.comparator and unit and number.value >= 0:
        found.repeat["period"], found.repeat["periodUnit"] = number.value, unit
        rpt.mark(5, f"{path}.repeat.period")
        rpt.mark(6, f"{path}.repeat.periodUnit")
    elif rpt.peek(5):
        rpt.refuse(5, INVALID_VALUE)
        rpt.refuse(6, INVALID_VALUE)
    when = rpt.peek(8).upper()
    if when in _WHEN:
        rpt.mark(8, f"{path}.repeat.when")
        found.repeat["when"] = [when]
        _offset(found, rpt, path)


def _days(found: Timed, rpt: Repetition, path: str) -> None:
    """RPT.2 DW: RPT.3 to RPT.4 are days of the week."""
    begin, end = rpt.peek(3), rpt.peek(4) or rpt.peek(3)
    days = {str(number): number for number in range(1, 8)}
    if rpt.peek(2) != "DW" or begin not in days or end not in days:
        return
    first, last = days[begin] - 1, days[end] - 1
    count = (last - first) % 7 + 1
    found.repeat["dayOfWeek"] = [_DAYS[(first + n) % 7] for n in range(count)]
    for component in (2, 3, 4):
        rpt.mark(component, f"{path}.repeat.dayOfWeek")


def _offset(found: Timed, rpt: Repetition, path: str) -> None:
    if found.repeat["when"][0] in _NO_OFFSET:
        rpt.refuse(9, CONDITION_FALSE)
        return
    number, unit = nm.number(rpt.peek(9)), _UNIT.get(rpt.peek(10).upper() or "MIN", "")
    if number is None or number.comparator or unit not in _MINUTES or number.value < 0:
        return
    minutes = number.value * _MINUTES[unit]
    if minutes == int(minutes):
        found.repeat["offset"] = int(minutes)
        rpt.mark(9, f"{path}.repeat.offset")
        rpt.mark(10, f"{path}.repeat.offset")


def _times_of_day(found: Timed, tq1: Segment, path: str) -> None:
    """TQ1-4; R4 has either times of the day or events of it (tim-10)."""
    for rep in tq1.repetitions(4):
        said = dtm.time(rep.peek())
        if "when" in found.timing.get("repeat", {}):
            rep.refuse(1, CONDITION_FALSE)
        elif said:
            rep.mark(1, f"{path}.repeat.timeOfDay")
            add(found.repeat, "timeOfDay", said)
        else:
            rep.refuse(1, INVALID_VALUE)


def _put_bounds(found: Timed, bounds: Json) -> None:
    if bounds:
        found.repeat["boundsPeriod"] = bounds


def _duration(rep: Repetition | None) -> tuple[Decimal, str] | None:
    """Return the number and UCUM unit of a CQ that is a time."""
    if rep is None:
        return None
    number, unit = nm.number(rep.peek(1)), _UNIT.get(rep.peek(2).upper())
    if number is None or number.comparator or unit is None or number.value < 0:
        rep.refuse(1, INVALID_VALUE)
        rep.refuse(2, INVALID_VALUE)
        return None
    return number.value, unit


def _service_duration(found: Timed, tq1: Segment, path: str) -> None:
    """TQ1-6: the bounds, or where one end is known the other one."""
    said = _duration(tq1.first(6))
    rep = tq1.first(6)
    if said is None or rep is None:
        return
    bounds = found.timing.get("repeat", {}).get("boundsPeriod", {})
    if len(bounds) > 1:
        tq1.refuse(6, CONDITION_FALSE)
        return
    if bounds:
        known = "start" if "start" in bounds else "end"
        other = "end" if known == "start" else "start"
        moved = _moved(bounds[known], said, 1 if known == "start" else -1)
        if not moved:
            tq1.refuse(6, CONDITION_FALSE)
            return
        bounds[other] = moved
    else:
        value, unit = said
        found.repeat["boundsDuration"] = {
            "value": value, "unit": unit, "system": UCUM, "code": unit,
        }  # fmt: skip
    for component in (1, 2):
        rep.mark(component, f"{path}.repeat.bounds")


def _moved(moment: str, duration: tuple[Decimal, str], sign: int) -> str:
    """Return a time or a date moved by a duration, "" where that cannot be said exactly."""
    value, unit = duration
    minutes = _MINUTES.get(unit)
    if minutes is None:
        return ""
    span = timedelta(minutes=float(value * minutes)) * sign
    if "T" in moment:
        return (period.clock(moment) + span).isoformat()
    if len(moment) == len("2026-01-01") and not span.seconds:
        return (datetime.fromisoformat(moment) + span).date().isoformat()
    return ""


def _occurrence_duration(found: Timed, rep: Repetition | None, path: str) -> None:
    said = _duration(rep)
    if said is None or rep is None:
        return
    found.repeat["duration"], found.repeat["durationUnit"] = said
    rep.mark(1, f"{path}.repeat.duration")
    rep.mark(2, f"{path}.repeat.durationUnit")


def _count(found: Timed, rep: Repetition | None, component: int, path: str) -> None:
    """The total of occurrences; a countMax alone is not valid (tim-8)."""
    text = rep.peek(component) if rep is not None else ""
    if rep is None or not text:
        return
    number = nm.whole(text)
    if number is None:
        rep.refuse(component, INVALID_VALUE)
        return
    found.repeat["count"] = number
    rep.mark(component, f"{path}.repeat.count")


def _tq_duration(found: Timed, rep: Repetition, path: str) -> None:
    """TQ.3: a unit and a number, such as D10; X3 is a count; INDEF sets no bounds."""
    text = rep.peek(3).upper()
    match = _DURATION.match(text)
    if match and not rep.peek(4) and not rep.peek(5):
        unit = _UNIT[match[1]]
        found.repeat["boundsDuration"] = {
            "value": Decimal(match[2]), "unit": unit, "system": UCUM, "code": unit,
        }  # fmt: skip
        rep.mark(3, f"{path}.repeat.boundsDuration")
    elif text.startswith("X") and (number := nm.whole(text[1:])):
        found.repeat["count"] = number
        rep.mark(3, f"{path}.repeat.count")


def first_timing(
    ctx: Context, elements: Elements, timings: list[Segment], older: list[Repetition]
) -> Timed:
    """Return what the first timing says; a second one has no place in R4.

    `timings` are TQ1, `older` the repetitions of ORC-7 or else of OBR-27, which TQ1
    replaces.
    """
    if not timings:
        return of_tq(ctx, older[0], elements)
    for rep in older:
        rep.segment.refuse(rep.number, CONDITION_FALSE)
    return of_tq1(ctx, timings[0], elements)


def take_priority(
    timings: list[Segment],
    older: list[Repetition],
    *,
    used: bool,
    path: str = "ServiceRequest.priority",
) -> None:
    """Mark the priority where it was used, else say that another one was."""
    if timings:
        rep, component = timings[0].first(9), 1
    else:
        rep, component = (older[0] if older else None), 6
    if rep is None:
        return
    if used:
        rep.mark(component, path)
    else:
        rep.refuse(component, DUPLICATE)
