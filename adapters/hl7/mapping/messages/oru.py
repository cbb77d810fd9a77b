"""ORU^R01 as Patient, orders, specimens, reports and Observations.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-message-oru-r01-to-bundle.html
"""

from collections.abc import Sequence
from typing import Any, Final

from adapters.hl7.mapping import event_time
from adapters.hl7.mapping.code_tables import (
    EXTENSION,
    REPORT_STATUS,
    STATUS_RANK,
    THO,
    UNMAPPABLE_REPORT_STATUS,
)
from adapters.hl7.mapping.context import Context, Json, Refusal, add, extend, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.messages import control
from adapters.hl7.mapping.messages.subject import Subject, subject_of
from adapters.hl7.mapping.segments import (
    nte,
    obx,
    order,
    orderer,
    parent_result,
    practitioner,
    spm,
    spread,
)
from adapters.hl7.mapping.segments.obx import Observed, Surroundings
from adapters.hl7.mapping.segments.parent_result import Reported
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.accounting import DUPLICATE, INVALID_VALUE
from adapters.hl7.message.grouping import OrderGroup, PatientGroup, SpecimenGroup, grouped
from adapters.hl7.message.tokenizer import Segment

_PERFORMER: Final = {34: "SPRF", 35: "TRANS"}


def results(ctx: Context) -> None:
    """Add the resources of all patients of the message; raises Refusal."""
    for group in grouped(ctx.message, ctx.profile.obx_after_spm):
        _patient(ctx, group)


def _patient(ctx: Context, group: PatientGroup) -> None:
    found = control.separated(ctx, group)
    if found is None:
        return
    group = found
    subject = subject_of(ctx, group)
    asked = [order.order(ctx, g.orc, g.obr, g.notes, g.named("TQ1")) for g in group.orders]
    shared = _shared_numbers(asked)
    reported = [
        _order(ctx, one, part, subject, scope_by_code=one.number in shared)
        for one, part in zip(asked, group.orders, strict=True)
    ]
    parent_result.link(ctx, reported)
    for alone in group.specimens:
        _specimen(ctx, alone, subject)


def _specimen(ctx: Context, group: SpecimenGroup, subject: Subject) -> None:
    """A specimen for which nothing was asked, with what was seen on it."""
    key = ctx.key("Specimen", subject.reference, ctx.message.header.raw(10), str(group.spm.index))
    reference = spm.specimen(ctx, group, None, subject.reference, key)
    around = Surroundings(key=key, patient=subject.reference, specimen=reference)
    for result in group.results:
        obx.observation(ctx, result, around, focus=reference)


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
    subject: Subject,
    *,
    scope_by_code: bool,
) -> Reported:
    patient, encounter = subject.reference, subject.encounter
    ctx.event_time = event_time.of_result(ctx, asked.obr)
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
        numbers=parent_result.numbers_of(asked),
        timed=obx.timed(result.obx for result in group.results),
    )
    results = [(result, "") for result in spread.joined(ctx, group.results)]
    results += [
        (result, reference)
        for described, reference in zip(group.specimens, specimens, strict=False)
        for result in spread.joined(ctx, described.results)
    ]
    observed = [obx.observation(ctx, result, around, focus=focus) for result, focus in results]
    status = _report(ctx, asked, around, observed, specimens, subject)
    if request:
        answers = [found.reference for found in observed if found.question]
        order.answer(ctx.writes[request].resource, asked, status, answers)
    pairs = [
        (result.obx, found.reference) for (result, _), found in zip(results, observed, strict=True)
    ]
    return Reported(asked, patient, request or "", around.specimen, tuple(pairs))


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
        parts = (who(ctx, patient), asked.code, asked.obr.raw(7) or control_id)
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
        dtm.put_date_time(ctx, period, name, obr, number, "DiagnosticReport.effectivePeriod")
    start, end = period.get("start", ""), period.get("end", "")
    if end and (not start or start < end):
        return (("effectivePeriod", period),)
    if start and end:
        obr.disown(8, INVALID_VALUE if start > end else DUPLICATE)
    found: Json = {}
    dtm.put_date_time(ctx, found, "effectiveDateTime", obr, 7, "DiagnosticReport")
    return tuple(found.items())


def _report(
    ctx: Context,
    asked: order.Order,
    around: Surroundings,
    observed: Sequence[Observed],
    specimens: Sequence[str],
    subject: Subject,
) -> str:
    """Add the report of an order and return its status."""
    obr = asked.obr
    resource: Json = {"resourceType": "DiagnosticReport"}
    _contain_visit(resource, around, subject)
    groups = order.group_numbers(ctx, asked.orc, "DiagnosticReport.identifier")
    put(resource, "identifier", [*asked.placers, *asked.fillers, *groups])
    if asked.orc.raw(28):
        orderer.put_security(ctx, asked.orc, 28, resource)
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


def _contain_visit(resource: Json, around: Surroundings, subject: Subject) -> None:
    if subject.contained is not None:
        resource["contained"] = [subject.contained]
        resource["encounter"] = {"reference": subject.encounter}
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
