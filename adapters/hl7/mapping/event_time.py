"""When a message says that what it tells was so.

Results OBR-22, orders ORC-9, patients and visits EVN-6 or EVN-2, documents TXA-8 or
TXA-6; each else MSH-7. HL7 v2.9, chapters 2 to 9.

What was told cannot have been so after it was told: a time that is more than a month after
MSH-7 is a mistake, and would make all that comes until then late.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from adapters.hl7.mapping.context import Context
from adapters.hl7.mapping.datatypes.dtm import moment
from adapters.hl7.message.tokenizer import Segment

_OF_MESSAGE: Final = {
    "ADT": (("EVN", 6), ("EVN", 2)),
    "MDM": (("TXA", 8), ("TXA", 6)),
}
_DAY: Final = 10  # characters of a date
_AHEAD: Final = timedelta(days=31)  # clocks differ, and some plan ahead
AHEAD: Final = "A time is a month later than the message; MSH-7 counts"


def of_message(ctx: Context) -> datetime | None:
    """Return the time of all that a message tells, None where it has none."""
    header = ctx.message.header
    kind = header.first(9)
    places = _OF_MESSAGE.get(kind.peek(1), ()) if kind else ()
    for name, number in places:
        segment = next((one for one in ctx.message.segments if one.name == name), None)
        if segment is not None and (found := _of(ctx, segment, number)):
            return found
    return _of(ctx, header, 7)


def of_result(ctx: Context, obr: Segment | None) -> datetime | None:
    """Return the time of the results under an OBR; records of ASTM say it of each (R-13)."""
    told = _of(ctx, obr, 22) if obr else None
    if told is None and obr is not None and ctx.message.source is not None:
        told = _latest(ctx, obr)
    return told or of_message(ctx)


def _latest(ctx: Context, obr: Segment) -> datetime | None:
    """Return when the last of the results under an OBR was completed (OBX-14)."""
    found = []
    for segment in ctx.message.segments[obr.index + 1 :]:
        if segment.name == "OBR":
            break
        if segment.name == "OBX" and (when := _of(ctx, segment, 14)):
            found.append(when)
    return max(found, default=None)


def of_order(ctx: Context, orc: Segment | None) -> datetime | None:
    """Return the time of an order."""
    return (_of(ctx, orc, 9) if orc else None) or of_message(ctx)


def _of(ctx: Context, segment: Segment, number: int) -> datetime | None:
    found = _said(ctx, segment, number)
    if found is None or segment.name == "MSH":
        return found
    told = _said(ctx, ctx.message.header, 7)
    if told is None or found - told <= _AHEAD:
        return found
    ctx.warn(AHEAD)
    return told


def _said(ctx: Context, segment: Segment, number: int) -> datetime | None:
    text = segment.peek(number)
    return instant(text, ctx.offset, ctx.profile.zone) if text else None


@lru_cache(4_096)
def instant(text: str, offset: str, zone: tzinfo) -> datetime | None:
    """Return the instant of a DTM, None where it is none; a date is its first moment."""
    found = moment(text, offset, zone)
    if found is None:
        return None
    written = found.text
    if found.timed:
        # 60 is a leap second, which Python has not.
        leap = written[17:19] == "60"
        clock = datetime.fromisoformat(f"{written[:17]}59{written[19:]}" if leap else written)
        return (clock + timedelta(seconds=leap)).astimezone(UTC)
    whole = written + "-01" * ((_DAY - len(written)) // 3)
    return datetime.fromisoformat(whole).replace(tzinfo=zone).astimezone(UTC)
