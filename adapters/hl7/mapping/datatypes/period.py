"""DR, and a start and an end in two places, as Period.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-datatype-dr-to-period.html
"""

from datetime import datetime

from adapters.hl7.mapping.context import Context, Json
from adapters.hl7.mapping.datatypes import dtm
from adapters.hl7.message.accounting import INVALID_VALUE
from adapters.hl7.message.tokenizer import Repetition

Place = tuple[Repetition | None, int]
"""A repetition, None where it is absent, and the component in it."""


def period(ctx: Context, start: Place, end: Place, path: str) -> Json:
    """Return the Period from start to end; an end before its start is listed (per-1)."""
    found: Json = {}
    rep, component = start
    if rep is not None and (text := dtm.date_time(ctx, rep, component, f"{path}.start")):
        found["start"] = text
    rep, component = end
    if rep is None:
        return found
    last = dtm.read(ctx, rep.peek(component))
    if last is not None and _is_before(last.text, found.get("start", "")):
        rep.refuse(component, INVALID_VALUE)
    elif text := dtm.date_time(ctx, rep, component, f"{path}.end"):
        found["end"] = text
    return found


def clock(text: str) -> datetime:
    """Return a time of FHIR as Python has it, which knows no leap second."""
    return datetime.fromisoformat(f"{text[:17]}59{text[19:]}" if text[17:19] == "60" else text)


def _is_before(end: str, start: str) -> bool:
    """Whether an end is before a start, as far as both are told."""
    if "T" in end and "T" in start:
        return clock(end) < clock(start)
    length = min(len(end), len(start), len("2026-01-01"))
    return end[:length] < start[:length]
