"""ORC and OBR as ServiceRequest, and the order numbers that name it and its report.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-orc-to-servicerequest.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-obr-to-servicerequest.html
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from adapters.hl7.mapping import partial
from adapters.hl7.mapping.code_tables import (
    EXTENSION,
    EXTENSION_R5,
    PRIORITY,
    REPORT_STATUS,
    THO,
)
from adapters.hl7.mapping.context import Context, Json, Link, add, coding, extend, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.datatypes.xtn import xtn
from adapters.hl7.mapping.segments import nte, order_status, orderer, tq1
from adapters.hl7.message.accounting import CONDITION_FALSE, DUPLICATE, INVALID_VALUE
from adapters.hl7.message.tokenizer import Message, Segment

UNSPECIFIED: Final = "unspecified"
_INTENT: Final = {"G": "reflex-order"}
_ORDER_TYPE: Final = "0482"
_PLACES: Final = {  # 0482
    "I": (THO + "v3-RoleCode", "HOSP"),
    "O": (THO + "v3-RoleCode", "OF"),
}
_FASTING: Final = "HL70916"
_TIMED: Final = tq1.Elements(
    "ServiceRequest.occurrenceTiming",
    "ServiceRequest.quantityQuantity",
    "ServiceRequest.note.text",
)
_INFORMATION: Final = EXTENSION_R5 + "ServiceRequest.supportingInfo"
_CALLBACK: Final = EXTENSION + "servicerequest-order-callback-phone-number"
_CLEARED_BY_ORC: Final = {
    4: ("requisition",),
    12: ("requester",),
    14: (f"extension(url={_CALLBACK})",),
    16: (f"extension(url={EXTENSION}request-statusReason)",),
    29: ("locationCode",),
}
_CLEARED_BY_OBR: Final = {
    5: ("priority",),
    6: ("occurrenceDateTime",),
    13: (f"extension(url={_INFORMATION})",),
    31: ("reasonCode",),
    46: ("orderDetail",),
}


@dataclass(frozen=True, slots=True)
class Order:
    """ORC and OBR (blank where absent) with the numbers and the code that they share.

    `placers` and `fillers` are typed identifiers, ORC before OBR; `code` tells
    orders apart that share a number. `timings` are the TQ1.
    """

    orc: Segment
    obr: Segment
    placers: tuple[Json, ...]
    fillers: tuple[Json, ...]
    code: str
    notes: Sequence[Segment] = ()
    timings: Sequence[Segment] = ()

    @property
    def number(self) -> str:
        """The placer number, else the filler number, as a token; "" without either."""
        numbers = (*self.placers, *self.fillers)
        return hd.token(numbers[0]) if numbers else ""


def blank(message: Message, name: str) -> Segment:
    """Return a segment that says nothing, to stand where one is absent."""
    return Segment(message, [name], -1, 0)


def order(
    ctx: Context,
    orc: Segment | None,
    obr: Segment | None,
    notes: Sequence[Segment],
    timings: Sequence[Segment] = (),
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
        timings=timings,
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

    A result creates the order that it answers where none is known. Of a known one it
    changes the status and what answers its questions. `scope_by_code` tells that
    orders with this number differ by their code.
    """
    if not asked.number:
        return None
    resource, identity = described(ctx, asked, patient, encounter, scope_by_code=scope_by_code)
    # When a result came is not when its order was told of: the order is not late after it.
    told, ctx.event_time = ctx.event_time, None
    there = len(ctx.writes)
    reference = ctx.write("PUT", identity, resource, effect=order_status.answered)
    ctx.event_time = told
    if len(ctx.writes) == there:
        _told_before(asked)
    return reference


def _told_before(asked: Order) -> None:
    """An order of this number and code was made before: what more is said of it is listed.

    Numbers and code are in the report too.
    """
    mapped = asked.obr.message.mapped
    indices = {asked.orc.index, asked.obr.index}
    for address, path in list(mapped.items()):
        if address[0] in indices and path.startswith("ServiceRequest."):
            if path.startswith("ServiceRequest.identifier"):
                continue
            del mapped[address]
            asked.obr.message.refused.setdefault(address, CONDITION_FALSE)


def described(
    ctx: Context, asked: Order, patient: str, encounter: str, *, scope_by_code: bool
) -> tuple[Json, tuple[str, ...]]:
    """Return the ServiceRequest of an order, and its identity: () without a number."""
    resource: Json = {"resourceType": "ServiceRequest"}
    put(resource, "identifier", [*asked.placers, *asked.fillers])
    identity: tuple[str, ...] = (asked.number,) if asked.number else ()
    if asked.number and (scope_by_code or _is_group(ctx, asked)):
        key = ctx.key("ServiceRequest", asked.number, asked.code)
        resource["identifier"].append(ctx.key_identifier(key))
        identity = (ctx.key_token(key),)
    order_status.put_status(asked.orc, asked.obr, resource)
    _intent(asked.obr, resource)
    resource["code"] = code(ctx, asked.obr, "ServiceRequest.code")
    resource["subject"] = {"reference": patient}
    if encounter and not encounter.startswith("#"):
        resource["encounter"] = {"reference": encounter}
    _from_orc(ctx, asked.orc, resource)
    other_numbers(ctx, asked, resource, "requisition")
    _from_obr(ctx, asked, resource)
    _timing(ctx, asked, resource)
    _callback(ctx, asked, resource)
    if requester := orderer.requester(ctx, asked.orc, asked.obr.first(16), resource):
        resource["requester"] = {"reference": requester}
    notes = nte.annotations(ctx, asked.notes, resource, "ServiceRequest.note")
    put(resource, "note", [*resource.get("note", ()), *notes])
    return resource, identity


def _is_group(ctx: Context, asked: Order) -> bool:
    """Whether the number is one of several orders; of records ORC has that of the order alone."""
    known = ctx.message.source is not None and asked.orc.valued(2)
    return ctx.profile.placer_scope == "group" and not known


def cleared(asked: Order) -> frozenset[str]:
    """Return the paths of the elements that ORC and OBR delete."""
    return partial.nulls(asked.orc, _CLEARED_BY_ORC) | partial.nulls(asked.obr, _CLEARED_BY_OBR)


def link_parents(ctx: Context, full_url: str, resource: Json) -> None:
    """Ask that the orders on which this one is based become literal references."""
    for parent in resource.get("basedOn", ()):
        if "identifier" in parent:
            token = (hd.token(parent["identifier"]),)
            ctx.links.append(Link(full_url, "basedOn", "ServiceRequest", token))


def code(ctx: Context, obr: Segment, path: str) -> Json:
    """Return the code of OBR-4, "unspecified" where it is empty."""
    found = cwe.first_concept(ctx, obr, 4, path)
    return found or {"text": UNSPECIFIED}


def answer(resource: Json, asked: Order, report_status: str, references: Sequence[str]) -> None:
    """Complete an order by its report: what RE means, and the answers to its questions."""
    order_status.put_answered(resource, asked.orc, report_status)
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
    if reason := cwe.first_concept(ctx, orc, 16, "ServiceRequest.extension", table="0949"):
        url = EXTENSION + "request-statusReason"
        extend(resource, {"url": url, "valueCodeableConcept": reason})
    if orc.raw(28):
        orderer.put_security(ctx, orc, 28, resource)
    if orc.raw(29):
        path = "ServiceRequest.locationCode"
        kinds = cwe.concepts(ctx, orc, 29, path, table=_ORDER_TYPE, translate=_PLACES)
        put(resource, "locationCode", kinds)


def other_numbers(ctx: Context, asked: Order, resource: Json, group: str) -> None:
    """Set ORC-4 as `group`, the numbers of ORC-33 and OBR-53 (the placer's) and of ORC-38."""
    orc, obr = asked.orc, asked.obr
    if orc.raw(4):
        _group(ctx, orc, resource, group)
    path = f"{resource['resourceType']}.identifier"
    for segment, number in ((orc, 33), (obr, 53)):
        for rep in segment.repetitions(number):
            if identifier := hd.cx(ctx, rep, path, "placer"):
                _identify(resource, {**identifier, "type": hd.fixed_type("PLAC")})
    rest = orc.first(38)
    if rest is not None and (filler := hd.ei(ctx, rest, path, "filler-group")):
        _identify(resource, {"type": hd.fixed_type("FGN"), **filler})


def _identify(resource: Json, identifier: Json) -> None:
    """Add an identifier that is not there yet."""
    known = {(one["system"], one["value"]) for one in resource.get("identifier", ())}
    if (identifier["system"], identifier["value"]) not in known:
        add(resource, "identifier", identifier)


def _group(ctx: Context, orc: Segment, resource: Json, name: str) -> None:
    """ORC-4, an EI but in versions 2.8 and 2.8.2 an EIP, which shows by its subcomponents."""
    rep = orc.first(4)
    if rep is None:
        return
    path = f"{resource['resourceType']}.{name}"
    mark = ctx.message.delimiters.subcomponent
    if mark not in rep.text:
        placer = hd.ei(ctx, rep, path, "placer-group")
    else:
        placer = hd.ei_part(ctx, rep, 1, path, "placer-group")
        if orc.valued(38):
            rep.refuse(2, CONDITION_FALSE)
        elif filler := hd.ei_part(ctx, rep, 2, path, "filler-group"):
            _identify(resource, {"type": hd.fixed_type("FGN"), **filler})
    if placer:
        resource[name] = {"type": hd.fixed_type("PGN"), **placer}


def group_numbers(ctx: Context, orc: Segment, path: str) -> list[Json]:
    """Return the numbers of the group, ORC-4, as identifiers PGN and (of an EIP) FGN."""
    rep = orc.first(4)
    if rep is None:
        return []
    if ctx.message.delimiters.subcomponent not in rep.text:
        found = {"PGN": hd.ei(ctx, rep, path, "placer-group")}
    else:
        found = {
            "PGN": hd.ei_part(ctx, rep, 1, path, "placer-group"),
            "FGN": hd.ei_part(ctx, rep, 2, path, "filler-group"),
        }
    return [{"type": hd.fixed_type(code), **number} for code, number in found.items() if number]


def _moment(ctx: Context, segment: Segment, number: int, path: str) -> str:
    rep = segment.first(number)
    return dtm.date_time(ctx, rep, 1, path) if rep is not None else ""


def _from_obr(ctx: Context, asked: Order, resource: Json) -> None:
    obr = asked.obr
    dtm.put_date_time(ctx, resource, "occurrenceDateTime", obr, 6)
    _reason(ctx, obr, resource)
    if obr.raw(13):
        _clinical_information(ctx, obr, resource)
    for number in (46, 47):
        for detail in cwe.concepts(ctx, obr, number, "ServiceRequest.orderDetail"):
            add(resource, "orderDetail", detail)
    for segment, number in ((obr, 29), (obr, 54), (asked.orc, 8)):
        _parent(ctx, segment, number, resource)


def _parent(ctx: Context, segment: Segment, number: int, resource: Json) -> None:
    """The order that this one follows from, by its placer and its filler number."""
    rep = segment.first(number)
    if rep is None:
        return
    path = "ServiceRequest.basedOn.identifier"
    known = [one["identifier"]["value"] for one in resource.get("basedOn", ())]
    for component, kind, default in ((1, "PLAC", "placer"), (2, "FILL", "filler")):
        identifier = hd.ei_part(ctx, rep, component, path, default)
        if identifier and identifier["value"] not in known:
            typed = {"type": hd.fixed_type(kind), **identifier}
            add(resource, "basedOn", {"type": "ServiceRequest", "identifier": typed})


def _clinical_information(ctx: Context, obr: Segment, resource: Json) -> None:
    """OBR-13, but whether the patient fasted, which the specimen has (table 0916)."""
    for rep in obr.repetitions(13):
        if rep.peek(3) == _FASTING:
            continue
        if concept := cwe.concept(ctx, rep, "ServiceRequest.extension"):
            part = {"url": "concept", "valueCodeableConcept": concept}
            extend(resource, {"url": _INFORMATION, "extension": [part]})


def _timing(ctx: Context, asked: Order, resource: Json) -> None:
    """TQ1, else ORC-7, else OBR-27."""
    timings = list(asked.timings)
    older = asked.orc.repetitions(7) if asked.orc.raw(7) else []
    if not older and asked.obr.raw(27):
        older = asked.obr.repetitions(27)
    elif asked.obr.raw(27):
        same = asked.obr.raw(27) == asked.orc.raw(7)
        asked.obr.refuse(27, DUPLICATE if same else CONDITION_FALSE)
    if timings or older:
        found = tq1.first_timing(ctx, _TIMED, timings, older)
        _settle(asked.obr, resource, found)
        used = found.priority in PRIORITY and "priority" not in resource
        if used:
            resource["priority"] = PRIORITY[found.priority]
        elif found.priority and not {"priority", "_priority"} & resource.keys():
            resource["_priority"], used = cwe.alternate("0485", found.priority), True
        tq1.take_priority(timings, older, used=used)


def _settle(obr: Segment, resource: Json, found: tq1.Timed) -> None:
    """Put a timing where a ServiceRequest has it: occurrence is a timing or the time of OBR-6."""
    if found.timing:
        if resource.pop("occurrenceDateTime", None):
            resource.pop("_occurrenceDateTime", None)
            obr.disown(6, CONDITION_FALSE)
        resource["occurrenceTiming"] = found.timing
    put(resource, "quantityQuantity", found.quantity)
    for note in found.notes:
        add(resource, "note", note)


def _reason(ctx: Context, obr: Segment, resource: Json) -> None:
    """OBR-31, unless a sender that lost count put the result status there."""
    bare = obr.raw(31)
    if not obr.valued(25) and bare in REPORT_STATUS:
        ctx.warn("OBR-31 holds a result status")
        obr.refuse(31, INVALID_VALUE)
        return
    put(resource, "reasonCode", cwe.concepts(ctx, obr, 31, "ServiceRequest.reasonCode"))


def _callback(ctx: Context, asked: Order, resource: Json) -> None:
    """ORC-14, else OBR-17."""
    used = (asked.orc, 14) if asked.orc.valued(14) else (asked.obr, 17)
    for rep in used[0].repetitions(used[1]):
        if point := xtn(ctx, rep, "ServiceRequest.extension"):
            extend(resource, {"url": _CALLBACK, "valueContactPoint": point})
    if used[0] is asked.orc:
        same = asked.obr.raw(17) == asked.orc.raw(14)
        asked.obr.refuse(17, DUPLICATE if same else CONDITION_FALSE)
