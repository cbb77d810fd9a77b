"""ORU^R01 as Patient, orders, specimens, reports and Observations.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-message-oru-r01-to-bundle.html
"""

from collections.abc import Sequence
from typing import Any, Final

from adapters.hl7.mapping.code_tables import (
    EXTENSION,
    REPORT_STATUS,
    STATUS_RANK,
    THO,
    UNMAPPABLE_REPORT_STATUS,
)
from adapters.hl7.mapping.context import Context, Json, Refusal, add, extend, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.segments import nte, obx, order, practitioner, pv1, spm
from adapters.hl7.mapping.segments.obx import Observed, Surroundings
from adapters.hl7.mapping.segments.pid import patient as patient_of
from adapters.hl7.message.accounting import INVALID_VALUE
from adapters.hl7.message.grouping import OrderGroup, PatientGroup, grouped
from adapters.hl7.message.tokenizer import Segment

_PERFORMER: Final = {34: "SPRF", 35: "TRANS"}


def results(ctx: Context) -> None:
    """Add the resources of all patients of the message; raises Refusal."""
    for group in grouped(ctx.message, ctx.profile.obx_after_spm):
        _patient(ctx, group)


def _patient(ctx: Context, group: PatientGroup) -> None:
    subject = patient_of(ctx, group.pid)
    encounter, visit = pv1.encounter(ctx, group.pv1, subject)
    around = Surroundings(key=ctx.key("Patient", subject), patient=subject)
    for result in group.results:
        obx.observation(ctx, result, around)
    if group.notes:
        text = "\x1f".join(note.raw(3) for note in group.notes)
        nte.observation(ctx, group.notes, ctx.key("PID-NTE", subject, text), subject, "final")
    orders = [order.order(ctx, g.orc, g.obr, g.notes) for g in group.orders]
    shared = _shared_numbers(orders)
    for asked, part in zip(orders, group.orders, strict=True):
        scope_by_code = asked.number in shared
        _order(ctx, asked, part, subject, (encounter, visit), scope_by_code=scope_by_code)


def _shared_numbers(orders: Sequence[order.Order]) -> set[str]:
    """Return the numbers under which this message sends orders of several codes."""
    codes: dict[str, set[str]] = {}
    for asked in orders:
        codes.setdefault(asked.number, set()).add(asked.code)
    return {number for number, found in codes.items() if len(found) > 1}


def _order(
    ctx: Context,
    asked: order.Order,
    group: OrderGroup,
    patient: str,
    visit: tuple[str, Json | None],
    *,
    scope_by_code: bool,
) -> None:
    encounter = visit[0]
    request = None
    if ctx.profile.orders_from_results:
        request = order.service_request(ctx, asked, patient, encounter, scope_by_code=scope_by_code)
    key = _report_key(ctx, asked, patient)
    specimens = [spm.specimen(ctx, g, asked.obr, patient, key) for g in group.specimens]
    if not specimens and (only := spm.of_obr(ctx, asked.obr, patient, key)):
        specimens = [only]
    around = Surroundings(
        key=key,
        patient=patient,
        report=key,
        encounter="" if encounter.startswith("#") else encounter,
        specimen=specimens[0] if specimens else "",
        request=request or "",
        effective=_effective(ctx, asked.obr),
        report_status=asked.obr.peek(25),
    )
    observed = [obx.observation(ctx, result, around) for result in group.results]
    observed += [
        obx.observation(ctx, result, around, focus=reference)
        for described, reference in zip(group.specimens, specimens, strict=False)
        for result in described.results
    ]
    status = _report(ctx, asked, around, observed, specimens, visit)
    if request:
        answers = [found.reference for found in observed if found.question]
        order.answer(ctx.writes[request].resource, asked, status, answers)


def _report_key(ctx: Context, asked: order.Order, patient: str) -> str:
    """Return the key of the report: filler and code, else placer, code and time.

    A second OBR of the same name in one message is a report of its own.
    """
    parts: tuple[str, ...]
    if asked.fillers:
        parts = (hd.token(asked.fillers[0]), asked.code)
    elif asked.placers:
        parts = (hd.token(asked.placers[0]), asked.code, asked.obr.raw(7))
    else:
        control_id = ctx.message.header.raw(10)
        parts = (patient, asked.code, asked.obr.raw(7) or control_id)
    key = ctx.key("DiagnosticReport", *parts)
    nth = ctx.once.get(("DiagnosticReport", key), 0) + 1
    ctx.once[("DiagnosticReport", key)] = nth
    return key if nth == 1 else ctx.key("DiagnosticReport", key, str(nth))


def _effective(ctx: Context, obr: Segment) -> tuple[tuple[str, Any], ...]:
    """Return the effective members: OBR-7, or a period where OBR-8 ends it.

    An end without a start is a period too; an end before the start is listed.
    """
    period: Json = {}
    for number, name in ((7, "start"), (8, "end")):
        dtm.put_date_time(ctx, period, name, obr, number)
    start, end = period.get("start", ""), period.get("end", "")
    if end and (not start or start < end):
        return (("effectivePeriod", period),)
    if start and end and start > end:
        obr.disown(8, INVALID_VALUE)
    found: Json = {}
    dtm.put_date_time(ctx, found, "effectiveDateTime", obr, 7)
    return tuple(found.items())


def _report(
    ctx: Context,
    asked: order.Order,
    around: Surroundings,
    observed: Sequence[Observed],
    specimens: Sequence[str],
    visit: tuple[str, Json | None],
) -> str:
    """Add the report of an order and return its status."""
    obr = asked.obr
    resource: Json = {"resourceType": "DiagnosticReport"}
    _contain_visit(resource, around, visit)
    put(resource, "identifier", [*asked.placers, *asked.fillers])
    if around.request:
        resource["basedOn"] = [{"reference": around.request}]
    _report_status(ctx, obr, observed, resource)
    category = cwe.concepts(ctx, obr, 24, "DiagnosticReport.category", table="0074")
    put(resource, "category", category)
    resource["code"] = order.code(ctx, obr, "DiagnosticReport.code")
    resource["subject"] = {"reference": around.patient}
    resource.update(around.effective)
    dtm.put_instant(ctx, resource, "issued", obr, 22)
    _performers(ctx, obr, resource)
    put(resource, "specimen", [{"reference": r} for r in dict.fromkeys(specimens)])
    if reason := cwe.first_concept(ctx, asked.orc, 16, "DiagnosticReport.extension"):
        url = EXTENSION + "event-statusReason"
        extend(resource, {"url": url, "valueCodeableConcept": reason})
    found = [{"reference": o.reference} for o in observed if not o.question]
    status = "final" if resource["status"] == "partial" else resource["status"]
    comment = nte.observation(
        ctx, asked.notes, ctx.key("OBR-NTE", around.key), around.patient, status, around.key
    )
    if comment:
        found.append({"reference": comment})
    put(resource, "result", found)
    put(resource, "presentedForm", [a for o in observed for a in o.attachments])
    ctx.put_keyed(around.key, resource, around.key)
    return str(resource["status"])


def _contain_visit(resource: Json, around: Surroundings, visit: tuple[str, Json | None]) -> None:
    reference, contained = visit
    if contained is not None:
        resource["contained"] = [contained]
        resource["encounter"] = {"reference": reference}
    elif around.encounter:
        resource["encounter"] = {"reference": around.encounter}


def _report_status(
    ctx: Context, obr: Segment, observed: Sequence[Observed], resource: Json
) -> None:
    code = obr.peek(25)
    if code in UNMAPPABLE_REPORT_STATUS:
        raise Refusal("UNMAPPABLE_STATUS", "The result status has no meaning here", "OBR-25")
    if code in REPORT_STATUS:
        obr.take(25, "DiagnosticReport.status")
        resource["status"] = REPORT_STATUS[code]
        resource["_status"] = cwe.alternate("0123", code)
        return
    if code:
        obr.refuse(25, INVALID_VALUE)
        ctx.warn("OBR-25 is not in table 0123")
    statuses = [found.status for found in observed]
    resource["status"] = min(statuses, key=STATUS_RANK.__getitem__) if statuses else "unknown"


def _performers(ctx: Context, obr: Segment, resource: Json) -> None:
    layout = practitioner.CNN
    for reference in practitioner.roles(ctx, obr, 32, resource, ("", ""), layout):
        add(resource, "resultsInterpreter", {"reference": reference})
    for number, code in _PERFORMER.items():
        function = {"coding": [{"system": THO + "v3-ParticipationType", "code": code}]}
        url = EXTENSION + "event-performerFunction"
        for reference in practitioner.roles(ctx, obr, number, resource, ("", ""), layout):
            extension = [{"url": url, "valueCodeableConcept": function}]
            add(resource, "performer", {"extension": extension, "reference": reference})
