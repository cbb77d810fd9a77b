"""OBX-5 by OBX-2 as Observation.value.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-obx-to-observation.html
"""

from collections.abc import Callable
from typing import Any, Final

from adapters.hl7.mapping import translation, units
from adapters.hl7.mapping.context import Context, Json, put
from adapters.hl7.mapping.datatypes import cwe, dtm, ed, nm
from adapters.hl7.mapping.datatypes.dtm import original_text
from adapters.hl7.message.accounting import CONDITION_FALSE
from adapters.hl7.message.tokenizer import Repetition, Segment, leaves

_PATH: Final = "Observation.value"
_STRING_LIMIT: Final = 1 << 20  # characters of a FHIR string

_SECONDS: Final = 6  # digits of a TM that has them
_FILLED: Final = frozenset(("valueDateTime", "valueTime"))

Valued = tuple[str, Any]
"""A member such as `valueQuantity` and its value."""


def put_value(ctx: Context, obx: Segment, resource: Json) -> list[Json]:
    """Set the value of an Observation from OBX-5; return its attachments.

    Text types are one string, other types that repeat are components.
    """
    kind = obx.raw(2).strip()
    repetitions = obx.repetitions(5)
    if not repetitions:
        _unit_unused(obx)
        return []
    if kind in {"ED", "RP"}:
        return [found for rep in repetitions if (found := _attachment(rep, kind))]
    if kind == "NA":
        name, value = _sampled(ctx, obx, repetitions)
        put(resource, name, value)
    elif obx.is_text(5) and not _is_number(ctx, kind, repetitions):
        return _put_text(ctx, obx, repetitions, resource)
    elif len(repetitions) == 1:
        name, value = _one(ctx, obx, repetitions[0], kind or "NM")
        put(resource, name, value)
        if name in _FILLED:
            _keep_text(ctx, repetitions[0], resource, name)
    else:
        for rep in repetitions:
            name, value = _one(ctx, obx, rep, kind)
            component: Json = {"code": resource["code"]}
            put(component, name, value)
            resource.setdefault("component", []).append(component)
    return []


def _is_number(ctx: Context, kind: str, repetitions: list[Repetition]) -> bool:
    """Whether a value without a type is to be a number."""
    if kind or not ctx.profile.infer_type or len(repetitions) > 1:
        return False
    return _number(ctx, repetitions[0]) is not None


def _keep_text(ctx: Context, rep: Repetition, resource: Json, name: str) -> None:
    """Keep the text of a time whose minutes or seconds were filled."""
    text = rep.peek()
    found = dtm.read(ctx, text) if name == "valueDateTime" else None
    if (found is not None and found.filled) or (name == "valueTime" and _is_short(text)):
        resource[f"_{name}"] = {"extension": [original_text(text)]}


def _is_short(time: str) -> bool:
    """Whether a TM has no seconds."""
    return len(time.partition("+")[0].partition("-")[0]) < _SECONDS


def unit(ctx: Context, obx: Segment) -> Json:
    """Return the unit of OBX-6 as members of a Quantity: as sent, and its UCUM code.

    A test that is sent without one has the unit that is agreed for it.
    """
    raw = obx.raw(6)
    if not raw:
        usual = translation.usual_unit(ctx, obx)
        return units.members(usual) if usual else {}
    known: Json | None = ctx.once.get(("OBX-6", raw))
    if known is None:
        known = ctx.once[("OBX-6", raw)] = _unit(ctx, obx)
    return known


def _unit(ctx: Context, obx: Segment) -> Json:
    rep = obx.first(6)
    if rep is None:
        return {}
    code, text, system = units.parts(rep)
    declared = system == "UCUM"
    agreed = ctx.profile.dictionary.unit_codes
    coded = code if declared or not text else ""
    found = units.members(text or code, coded, agreed, declared=declared)
    if "code" not in found and found:
        translation.unknown_unit(ctx, found["unit"])
    return found


def _unit_used(obx: Segment) -> None:
    rep = obx.first(6)
    if rep is not None:
        for component in (1, 2, 3):
            rep.mark(component, f"{_PATH}Quantity.unit")


def _unit_unused(obx: Segment) -> None:
    if obx.raw(6):
        obx.refuse(6, CONDITION_FALSE)


def _one(ctx: Context, obx: Segment, rep: Repetition, kind: str) -> Valued:
    reader = _READERS.get(kind)
    found = reader(ctx, obx, rep) if reader is not None else None
    if found is not None:
        if kind not in _MEASURED:
            _unit_unused(obx)
        return found
    return "valueString", _readable(ctx, obx, rep, measured=kind in _MEASURED)


def _put_text(
    ctx: Context, obx: Segment, repetitions: list[Repetition], resource: Json
) -> list[Json]:
    text = "\n".join(part for rep in repetitions if (part := rep.take(1, f"{_PATH}String")))
    if len(text) > _STRING_LIMIT:
        _unit_unused(obx)
        return [ed.attachment(text.encode(), "text/plain; charset=utf-8")]
    put(resource, "valueString", _with_unit(ctx, obx, text, always=False))
    return []


def _with_unit(ctx: Context, obx: Segment, text: str, *, always: bool) -> str:
    """Return a number with its unit, as a bare number would lose it."""
    said = unit(ctx, obx).get("unit")
    if not said:
        return text
    wanted = any(c.isdigit() for c in text) if always else nm.number(text) is not None
    if not wanted:
        _unit_unused(obx)
        return text
    _unit_used(obx)
    return f"{text} {said}"


def _readable(ctx: Context, obx: Segment, rep: Repetition, *, measured: bool) -> str:
    """Return what stands in a repetition as one line, every leaf of it."""
    message = rep.message
    _mark_all(obx, rep)
    sub = message.delimiters.subcomponent
    parts = [leaf for component in rep.components for leaf in component.split(sub)]
    text = " ".join(word for part in parts if (word := message.unescaped(part).strip()))
    if measured:
        return _with_unit(ctx, obx, text, always=True)
    _unit_unused(obx)
    return text


def _mark_all(obx: Segment, rep: Repetition) -> None:
    for address in leaves(obx, rep.number):
        if address[2] == rep.repetition:
            rep.message.mapped[address] = f"{_PATH}String"


def _number(ctx: Context, rep: Repetition) -> nm.Number | None:
    return nm.number(_decimal(ctx, rep.peek()))


def _decimal(ctx: Context, text: str) -> str:
    """Return a number with a decimal point, where a comma is agreed to be one."""
    if ctx.profile.decimal_comma and text.count(",") == 1 and "." not in text:
        return text.replace(",", ".")
    return text


def limits(ctx: Context, obx: Segment, text: str, *, measured: bool) -> Json:
    """Return the reference range of OBX-7; one of a value that is `measured` has its unit."""
    known = unit(ctx, obx) if measured else {}
    if ctx.profile.decimal_comma and "." not in text:
        return {**nm.reference_range(text.replace(",", "."), known), "text": text}
    return nm.reference_range(text, known)


def _has_parts(rep: Repetition) -> bool:
    """Whether more than the first leaf of a repetition says something."""
    first, *others = rep.components
    _, _, rest = first.partition(rep.message.delimiters.subcomponent)
    return bool(rest) or any(others)


def _nm(ctx: Context, obx: Segment, rep: Repetition) -> Valued | None:
    if _has_parts(rep):
        # A NM has one part: `10^5` is neither 10 nor 5.
        _mark_all(obx, rep)
        text = rep.message.unescaped(rep.text).strip()
        return "valueString", _with_unit(ctx, obx, text, always=True)
    number = _number(ctx, rep)
    if number is None:
        return None
    rep.mark(1, f"{_PATH}Quantity.value")
    _unit_used(obx)
    return "valueQuantity", nm.quantity(number, unit(ctx, obx))


def _sn(ctx: Context, obx: Segment, rep: Repetition) -> Valued | None:
    one, two = (_decimal(ctx, rep.peek(component)) for component in (2, 4))
    parts = (rep.peek(1), one, rep.peek(3), two)
    found = nm.structured(parts, unit(ctx, obx))
    if found is None:
        return None
    for component in (1, 2, 3, 4):
        rep.mark(component, f"Observation.{found[0]}")
    _unit_used(obx)
    name, value = found
    if parts[2] or parts[3]:
        text = " ".join(part for n in (1, 2, 3, 4) if (part := rep.peek(n)))
        value = {"extension": [original_text(text)], **value}
    return name, value


def _nr(ctx: Context, obx: Segment, rep: Repetition) -> Valued | None:
    found: Json = {}
    for component, name in ((1, "low"), (2, "high")):
        text = _decimal(ctx, rep.peek(component))
        number = nm.number(text) if text else None
        if text and (number is None or number.comparator):
            return None
        if number is not None:
            found[name] = nm.quantity(number, unit(ctx, obx))
    if not found:
        return None
    for component in (1, 2):
        rep.mark(component, f"{_PATH}Range")
    _unit_used(obx)
    return "valueRange", found


def _sampled(ctx: Context, obx: Segment, repetitions: list[Repetition]) -> Valued:
    message = obx.message
    rows = [[message.unescaped(part).strip() for part in rep.components] for rep in repetitions]
    found = nm.sampled(rows)
    if found is None:
        texts = [_readable(ctx, obx, rep, measured=False) for rep in repetitions]
        return "valueString", _with_unit(ctx, obx, "\n".join(texts), always=True)
    for address in leaves(obx, 5):
        message.mapped[address] = f"{_PATH}SampledData"
    if members := unit(ctx, obx):
        _unit_used(obx)
        found["origin"] = {"value": 0, **members}
    return "valueSampledData", found


def _concept(ctx: Context, _: Segment, rep: Repetition) -> Valued | None:
    found = cwe.concept(ctx, rep, f"{_PATH}CodeableConcept")
    return ("valueCodeableConcept", found) if found else None


def _date_time(ctx: Context, _: Segment, rep: Repetition) -> Valued | None:
    found = dtm.read(ctx, rep.peek())
    if found is None:
        return None
    rep.mark(1, f"{_PATH}DateTime")
    return "valueDateTime", found.text


def _time(_: Context, __: Segment, rep: Repetition) -> Valued | None:
    found = dtm.time(rep.peek())
    if not found:
        return None
    rep.mark(1, f"{_PATH}Time")
    return "valueTime", found


def _period(ctx: Context, _: Segment, rep: Repetition) -> Valued | None:
    period: Json = {}
    for component, name in ((1, "start"), (2, "end")):
        text = rep.peek(component)
        found = dtm.read(ctx, text) if text else None
        if text and found is None:
            return None
        if found is not None:
            period[name] = found.text
    if not period:
        return None
    for component in (1, 2):
        rep.mark(component, f"{_PATH}Period")
    return "valuePeriod", period


def _verified_range(_: Context, __: Segment, rep: Repetition) -> Valued | None:
    parts = [part for n in (1, 2) if (part := rep.take(n, f"{_PATH}String"))]
    return ("valueString", "-".join(parts)) if parts else None


def _attachment(rep: Repetition, kind: str) -> Json | None:
    path = "DiagnosticReport.presentedForm"
    return ed.ed(rep, path) if kind == "ED" else ed.rp(rep, path)


_Reader = Callable[[Context, Segment, Repetition], Valued | None]
_READERS: Final[dict[str, _Reader]] = {
    "NM": _nm,
    "SN": _sn,
    "NR": _nr,
    "CE": _concept,
    "CWE": _concept,
    "CNE": _concept,
    "CF": _concept,
    "IS": _concept,
    "ID": _concept,
    "DT": _date_time,
    "DTM": _date_time,
    "TS": _date_time,
    "TM": _time,
    "DR": _period,
    "VR": _verified_range,
}
_MEASURED: Final = frozenset(("NM", "SN", "NR"))
