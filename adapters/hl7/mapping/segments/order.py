"""ORC and OBR as ServiceRequest, and the order numbers that name it and its report.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-orc-to-servicerequest.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-obr-to-servicerequest.html
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from adapters.hl7.mapping.code_tables import (
    EXTENSION,
    ORDER_CONTROL_STATUS,
    ORDER_STATUS,
    PRIORITY,
    REPORT_STATUS,
    THO,
)
from adapters.hl7.mapping.context import Context, Json, add, coding, extend, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.datatypes.xtn import xtn
from adapters.hl7.mapping.segments import nte, practitioner
from adapters.hl7.message.accounting import CONDITION_FALSE, DUPLICATE, INVALID_VALUE
from adapters.hl7.message.tokenizer import Message, Segment

UNSPECIFIED: Final = "unspecified"
_INTENT: Final = {"G": "reflex-order"}
_ANSWERED: Final = {
    "final": "completed",
    "amended": "completed",
    "corrected": "completed",
    "cancelled": "revoked",
}
_ORDER_TYPE: Final = "0482"


@dataclass(frozen=True, slots=True)
class Order:
    """ORC and OBR (blank where absent) with the numbers and the code that they share.

    `placers` and `fillers` are typed identifiers, ORC before OBR; `code` tells
    orders apart that share a number.
    """

    orc: Segment
    obr: Segment
    placers: tuple[Json, ...]
    fillers: tuple[Json, ...]
    code: str
    notes: Sequence[Segment] = ()

    @property
    def number(self) -> str:
        """The placer number, else the filler number, as a token; "" without either."""
        numbers = (*self.placers, *self.fillers)
        return hd.token(numbers[0]) if numbers else ""


def blank(message: Message, name: str) -> Segment:
    """Return a segment that says nothing, to stand where one is absent."""
    return Segment(message, [name], -1, 0)


def order(
    ctx: Context, orc: Segment | None, obr: Segment | None, notes: Sequence[Segment]
) -> Order:
    """Return the order of a group."""
    orc = orc or blank(ctx.message, "ORC")
    obr = obr or blank(ctx.message, "OBR")
    code = obr.first(4)
    return Order(
        orc,
        obr,
        placers=_numbers(ctx, (orc, obr), 2, "PLAC", "placer"),
        fillers=_numbers(ctx, (orc, obr), 3, "FILL", "filler"),
        code=code_key(code.text, ctx) if code else "",
        notes=notes,
    )


def code_key(text: str, ctx: Context) -> str:
    """Return what tells a coded field apart: its first code and system, else its text."""
    parts = text.split(ctx.message.delimiters.component)
    parts += [""] * (6 - len(parts))
    if parts[0]:
        return f"{parts[2]}|{parts[0]}"
    return f"{parts[5]}|{parts[3]}" if parts[3] else text


def _numbers(
    ctx: Context, segments: Sequence[Segment], number: int, code: str, default: str
) -> tuple[Json, ...]:
    found: dict[tuple[str, str], Json] = {}
    for segment in segments:
        for rep in segment.repetitions(number):
            identifier = hd.ei(ctx, rep, "ServiceRequest.identifier", default)
            if identifier is not None:
                typed = {"type": hd.fixed_type(code), **identifier}
                found.setdefault((identifier["system"], identifier["value"]), typed)
    return tuple(found.values())


def service_request(
    ctx: Context, asked: Order, patient: str, encounter: str, *, scope_by_code: bool
) -> str | None:
    """Return a reference to the ServiceRequest; None for one that has no number.

    A result creates the order that it answers where none is known, and leaves a
    known one as it is. `scope_by_code` tells that orders with this number differ
    by their code.
    """
    if not asked.number:
        return None
    resource: Json = {"resourceType": "ServiceRequest"}
    resource["identifier"] = [*asked.placers, *asked.fillers]
    identity: tuple[str, ...] = (asked.number,)
    if scope_by_code or ctx.profile.placer_scope == "group":
        key = ctx.key("ServiceRequest", asked.number, asked.code)
        resource["identifier"].append(ctx.key_identifier(key))
        identity = (ctx.key_token(key),)
    _status(asked, resource)
    _intent(asked.obr, resource)
    resource["code"] = code(ctx, asked.obr, "ServiceRequest.code")
    resource["subject"] = {"reference": patient}
    if encounter and not encounter.startswith("#"):
        resource["encounter"] = {"reference": encounter}
    _from_orc(ctx, asked.orc, resource)
    _from_obr(ctx, asked.obr, resource)
    _requester(ctx, asked, resource)
    put(resource, "note", nte.annotations(ctx, asked.notes, resource, "ServiceRequest.note"))
    return ctx.write("POST", identity, resource)


def code(ctx: Context, obr: Segment, path: str) -> Json:
    """Return the code of OBR-4, "unspecified" where it is empty."""
    found = cwe.first_concept(ctx, obr, 4, path)
    return found or {"text": UNSPECIFIED}


def _status(asked: Order, resource: Json) -> None:
    status = asked.orc.peek(5)
    if status in ORDER_STATUS:
        asked.orc.take(5, "ServiceRequest.status")
        resource["status"] = ORDER_STATUS[status]
        resource["_status"] = cwe.alternate("0038", status)
        return
    if status:
        asked.orc.refuse(5, INVALID_VALUE)
    resource["status"] = ORDER_CONTROL_STATUS.get(asked.orc.peek(1), "unknown")


def answer(resource: Json, asked: Order, report_status: str, references: Sequence[str]) -> None:
    """Complete an order by its report: what RE means, and the answers to its questions."""
    if asked.orc.peek(1) == "RE" and "_status" not in resource:
        resource["status"] = _ANSWERED.get(report_status, "active")
    put(resource, "supportingInfo", [{"reference": reference} for reference in references])


def _intent(obr: Segment, resource: Json) -> None:
    action = obr.peek(11)
    resource["intent"] = _INTENT.get(action, "order")
    if action == "A":
        obr.take(11, "ServiceRequest.orderDetail")
        resource["orderDetail"] = [{"text": "add-on"}]
    elif action in _INTENT:
        obr.take(11, "ServiceRequest.intent")
    priority = obr.peek(5)
    if priority in PRIORITY:
        resource["priority"] = PRIORITY[obr.take(5, "ServiceRequest.priority")]
    elif priority:
        resource["_priority"] = cwe.alternate("0485", obr.take(5, "ServiceRequest.priority"))


def _from_orc(ctx: Context, orc: Segment, resource: Json) -> None:
    event: Json = {}
    if control := orc.take(1, "ServiceRequest.extension"):
        concept = {"coding": [coding(THO + "v2-0119", control)]}
        event = {"url": EXTENSION + "businessEvent"}
        add(event, "extension", {"url": "value", "valueCodeableConcept": concept})
        if when := _moment(ctx, orc, 9, "ServiceRequest.extension"):
            add(event, "extension", {"url": "date", "valueDateTime": when})
    extend(resource, event)
    if control == "NW":
        dtm.put_date_time(ctx, resource, "authoredOn", orc, 9)
    group = orc.first(4)
    if group is not None and (
        number := hd.ei(ctx, group, "ServiceRequest.requisition", "placer-group")
    ):
        resource["requisition"] = {"type": hd.fixed_type("PGN"), **number}
    if reason := cwe.first_concept(ctx, orc, 16, "ServiceRequest.extension", table="0949"):
        url = EXTENSION + "request-statusReason"
        extend(resource, {"url": url, "valueCodeableConcept": reason})
    kinds = cwe.concepts(ctx, orc, 29, "ServiceRequest.locationCode", table=_ORDER_TYPE)
    put(resource, "locationCode", kinds)


def _moment(ctx: Context, segment: Segment, number: int, path: str) -> str:
    rep = segment.first(number)
    return dtm.date_time(ctx, rep, 1, path) if rep is not None else ""


def _from_obr(ctx: Context, obr: Segment, resource: Json) -> None:
    dtm.put_date_time(ctx, resource, "occurrenceDateTime", obr, 6)
    _reason(ctx, obr, resource)
    for number in (46, 47):
        for detail in cwe.concepts(ctx, obr, number, "ServiceRequest.orderDetail"):
            add(resource, "orderDetail", detail)
    parent = obr.first(29)
    if parent is not None:
        path = "ServiceRequest.basedOn.identifier"
        for component, kind, default in ((1, "PLAC", "placer"), (2, "FILL", "filler")):
            if identifier := hd.ei_part(ctx, parent, component, path, default):
                typed = {"type": hd.fixed_type(kind), **identifier}
                add(resource, "basedOn", {"type": "ServiceRequest", "identifier": typed})


def _reason(ctx: Context, obr: Segment, resource: Json) -> None:
    """OBR-31, unless a sender that lost count put the result status there."""
    bare = obr.raw(31)
    if not obr.valued(25) and bare in REPORT_STATUS:
        ctx.warn("OBR-31 holds a result status")
        obr.refuse(31, INVALID_VALUE)
        return
    put(resource, "reasonCode", cwe.concepts(ctx, obr, 31, "ServiceRequest.reasonCode"))


def _requester(ctx: Context, asked: Order, resource: Json) -> None:
    _callback(ctx, asked, resource)
    source = asked.orc.first(12) or asked.obr.first(16)
    if source is None:
        return
    if source.number == 12 and asked.obr.raw(16) == asked.orc.raw(12):  # noqa: PLR2004  (ORC-12)
        asked.obr.refuse(16, DUPLICATE)
    elif source.number == 12:  # noqa: PLR2004
        asked.obr.refuse(16, CONDITION_FALSE)
    person = practitioner.practitioner(ctx, source, resource)
    if person is None:
        return
    if source.number == 12:  # noqa: PLR2004
        person = practitioner.role(ctx, person, ("", ""), _facility(ctx, asked.orc))
    resource["requester"] = {"reference": person}


def _callback(ctx: Context, asked: Order, resource: Json) -> None:
    """ORC-14, else OBR-17."""
    used = (asked.orc, 14) if asked.orc.valued(14) else (asked.obr, 17)
    for rep in used[0].repetitions(used[1]):
        if point := xtn(ctx, rep, "ServiceRequest.extension"):
            url = EXTENSION + "servicerequest-order-callback-phone-number"
            extend(resource, {"url": url, "valueContactPoint": point})
    if used[0] is asked.orc:
        same = asked.obr.raw(17) == asked.orc.raw(14)
        asked.obr.refuse(17, DUPLICATE if same else CONDITION_FALSE)


def _facility(ctx: Context, orc: Segment) -> str | None:
    rep = orc.first(21)
    if rep is None:
        return None
    return practitioner.organization(ctx, rep, orc.repetitions(22))
