"""DTM, TS, DT and TM as FHIR dates and times, with the precision that was sent.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-datatype-dtm-to-datetime.html
"""

import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import lru_cache

from adapters.hl7.mapping.code_tables import EXTENSION
from adapters.hl7.mapping.context import Context, Json
from adapters.hl7.message.accounting import INVALID_VALUE, PRECISION
from adapters.hl7.message.tokenizer import Repetition, Segment

_DTM = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d\d)(?:(?P<day>\d\d)"
    r"(?:(?P<hour>\d\d)(?:(?P<minute>\d\d)(?:(?P<second>\d\d)(?P<fraction>\.\d{1,9})?)?)?)?)?)?"
    r"(?P<offset>[+-]\d\d(?:\d\d)?|Z)?\Z",
    re.ASCII,
)
_TM = re.compile(r"(\d\d)(?:(\d\d)(?:(\d\d)(\.\d{1,9})?)?)?(?:[+-]\d{4})?\Z", re.ASCII)
_MAX_OFFSET = 14


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time as FHIR text; `filled` tells that minutes or seconds were added."""

    text: str
    filled: bool = False

    @property
    def timed(self) -> bool:
        """Whether it is more than a date."""
        return "T" in self.text

    @property
    def exact(self) -> bool:
        """Whether it has the seconds that an instant needs."""
        return self.timed and not self.filled


@lru_cache(4096)
def moment(text: str, offset: str, zone: tzinfo) -> Moment | None:
    """Return the point in time, None where it is none.

    A time without an offset of its own takes `offset`, else that of `zone` on its
    day. Month or day `00` make it shorter.
    """
    match = _DTM.match(text)
    if match is None or match["year"] == "0000":
        return None
    year, month, day, hour = match["year"], match["month"], match["day"], match["hour"]
    if month in {None, "00"} or day in {None, "00"}:
        return _short(year, month)
    minute, second = match["minute"] or "00", match["second"] or "00"
    try:
        # 60 is a leap second; FHIR allows it where Python does not.
        local = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute),
            min(int(second), 59) if second == "60" else int(second),
            tzinfo=zone,
        )
    except ValueError:
        return None
    if hour is None:
        return Moment(f"{year}-{month}-{day}")
    own = match["offset"]
    suffix = _offset(own) if own else offset or _offset(local.strftime("%z"))
    if not suffix:
        return None
    fraction = match["fraction"] or ""
    clock = f"{hour}:{minute}:{second}{fraction}{suffix}"
    return Moment(f"{year}-{month}-{day}T{clock}", filled=match["second"] is None)


def _short(year: str, month: str | None) -> Moment | None:
    if month in {None, "00"}:
        return Moment(year)
    return Moment(f"{year}-{month}") if "01" <= str(month) <= "12" else None


def _offset(text: str | None) -> str:
    if not text:
        return ""
    if text == "Z":
        return "Z"
    hours, minutes = text[1:3], text[3:5] or "00"
    if int(hours) > _MAX_OFFSET or minutes > "59":
        return ""
    return f"{text[0]}{hours}:{minutes}"


def offset_of(text: str) -> str:
    """Return the UTC offset that a time carries, as FHIR writes it; "" without one."""
    match = _DTM.match(text)
    return _offset(match["offset"]) if match else ""


def read(ctx: Context, text: str) -> Moment | None:
    """Return the point in time under the message's offset, else the sender's zone."""
    return moment(text, ctx.offset, ctx.profile.zone)


def date_time(ctx: Context, rep: Repetition, component: int, path: str) -> str:
    """Return a dateTime from a component, "" where it is empty or invalid."""
    text = rep.peek(component)
    if not text:
        return ""
    found = read(ctx, text)
    if found is None:
        rep.refuse(component, INVALID_VALUE)
        return ""
    rep.mark(component, path)
    return found.text


def date_range(ctx: Context, rep: Repetition, component: int, path: str) -> Json:
    """Return the Period of a DR that is one component: its ends are subcomponents."""
    period: Json = {}
    for sub, name in ((1, "start"), (2, "end")):
        text = rep.peek(component, sub)
        found = read(ctx, text) if text else None
        if found is not None:
            rep.mark(component, f"{path}.{name}", sub)
            period[name] = found.text
        elif text:
            rep.refuse(component, INVALID_VALUE, sub)
    return period


def put_date_time(
    ctx: Context, target: Json, name: str, segment: Segment, number: int, path: str = ""
) -> None:
    """Set a dateTime from a field; a time that was completed keeps its original text.

    `path` is the target's, where that is no resource.
    """
    rep = segment.first(number)
    if rep is None:
        return
    text = date_time(ctx, rep, 1, f"{path or target.get('resourceType', '')}.{name}")
    if not text:
        return
    rep.refuse(2, PRECISION)
    target[name] = text
    found = read(ctx, rep.peek())
    if found is not None and found.filled:
        target[f"_{name}"] = {"extension": [original_text(rep.peek())]}


def put_instant(ctx: Context, target: Json, name: str, segment: Segment, number: int) -> None:
    """Set an instant from a field that has seconds; another one is listed."""
    rep = segment.first(number)
    if rep is None:
        return
    found = read(ctx, rep.peek())
    if found is None or not found.exact:
        rep.refuse(1, INVALID_VALUE if found is None else PRECISION)
        return
    rep.mark(1, f"{target['resourceType']}.{name}")
    target[name] = found.text


def put_date(ctx: Context, target: Json, name: str, segment: Segment, number: int) -> None:
    """Set a date from a field; the time of day is not part of it."""
    rep = segment.first(number)
    if rep is None:
        return
    text = date_time(ctx, rep, 1, f"{target['resourceType']}.{name}")
    if text:
        target[name] = text[:10]


def time(text: str) -> str:
    """Return a time of day, "" where it is none."""
    match = _TM.match(text)
    if match is None:
        return ""
    hour, minute, second = match[1], match[2] or "00", match[3] or "00"
    if hour > "23" or minute > "59" or second > "59":
        return ""
    return f"{hour}:{minute}:{second}{match[4] or ''}"


def original_text(text: str) -> Json:
    """Return the extension that keeps what was sent."""
    return {"url": EXTENSION + "originalText", "valueString": text}
