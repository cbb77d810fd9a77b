"""XTN as ContactPoint.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-datatype-xtn-to-contactpoint.html
"""

from adapters.hl7.mapping.code_tables import EXTENSION, TELECOM_SYSTEM, TELECOM_USE
from adapters.hl7.mapping.context import Context, Json, add, put
from adapters.hl7.mapping.datatypes import nm
from adapters.hl7.mapping.datatypes.dtm import date_time
from adapters.hl7.message.accounting import INVALID_VALUE
from adapters.hl7.message.tokenizer import Repetition

_NUMBER_PARTS = (
    (5, "contactpoint-country"),
    (6, "contactpoint-area"),
    (7, "contactpoint-local"),
    (8, "contactpoint-extension"),
)


def xtn(ctx: Context, rep: Repetition, path: str, use: str = "") -> Json | None:
    """Return the ContactPoint of a XTN, None without a number or address.

    `use` is that of the field where the XTN names none.
    """
    equipment = rep.peek(3).upper()
    value = _value(rep, path, electronic=equipment in {"INTERNET", "X.400"})
    if not value:
        return None
    point: Json = {}
    for component, name in _NUMBER_PARTS:
        if part := rep.take(component, f"{path}.extension"):
            add(point, "extension", {"url": EXTENSION + name, "valueString": part})
    system = TELECOM_SYSTEM.get(equipment) or ("email" if rep.peek(4) == value else "phone")
    code = rep.peek(2)
    point["system"] = "pager" if code == "BPN" else system
    point["value"] = value
    put(point, "use", "mobile" if equipment == "CP" else TELECOM_USE.get(code, "") if code else use)
    if equipment in TELECOM_SYSTEM:
        rep.mark(3, f"{path}.system")
    if code in TELECOM_USE or code == "BPN":
        rep.mark(2, f"{path}.use")
    _rank(rep, point, path)
    period: Json = {}
    put(period, "start", date_time(ctx, rep, 13, f"{path}.period.start"))
    put(period, "end", date_time(ctx, rep, 14, f"{path}.period.end"))
    put(point, "period", period)
    return point


def _value(rep: Repetition, path: str, *, electronic: bool) -> str:
    path = f"{path}.value"
    if electronic and rep.peek(4):
        return rep.take(4, path)
    if rep.peek(12):
        return rep.take(12, path)
    if rep.peek(7):
        country, area, local, extension = (rep.take(part, path) for part in (5, 6, 7, 8))
        parts = (f"+{country.lstrip('+')}" if country else "", area, local)
        return " ".join(p for p in (*parts, f"X{extension}" if extension else "") if p)
    return rep.take(1, path) or rep.take(4, path)


def _rank(rep: Repetition, point: Json, path: str) -> None:
    text = rep.peek(18)
    if not text:
        return
    rank = nm.whole(text)
    if rank is None:
        rep.refuse(18, INVALID_VALUE)
    else:
        point["rank"] = rank
        rep.mark(18, f"{path}.rank")
