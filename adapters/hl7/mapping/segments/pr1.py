"""PR1 as Procedure.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-pr1-to-procedure.html
"""

from datetime import datetime, timedelta
from typing import Final

from adapters.hl7.mapping.context import Context, Json, add, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd, nm
from adapters.hl7.mapping.segments import practitioner
from adapters.hl7.mapping.segments.al1 import cwe_key
from adapters.hl7.mapping.segments.location import location
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.accounting import CONDITION_FALSE, INVALID_VALUE
from adapters.hl7.message.tokenizer import Segment

_SNOMED: Final = "http://snomed.info/sct"
_PERFORMERS: Final = ((8, "88189002"), (11, "304292004"), (12, ""))  # anaesthetist, surgeon, other


def procedure(ctx: Context, pr1: Segment, patient: str, encounter: str = "") -> str:
    """Return a reference to the Procedure, which a later PR1 of the same key updates.

    The key is PR1-19, else the patient's identifier, the visit, code and time.
    """
    path = "Procedure"
    resource: Json = {"resourceType": path, "status": _status(ctx, pr1)}
    if category := cwe.first_concept(ctx, pr1, 6, f"{path}.category", table="0230"):
        resource["category"] = category
    resource["code"] = _code(ctx, pr1)
    resource["subject"] = {"reference": patient}
    visit = "" if encounter.startswith("#") else encounter
    put(resource, "encounter", {"reference": visit} if visit else None)
    _performed(ctx, pr1, resource)
    for number, code in _PERFORMERS:
        for rep in pr1.repetitions(number):
            if person := practitioner.practitioner(ctx, rep, resource):
                function = {"function": {"coding": [{"system": _SNOMED, "code": code}]}}
                actor = {"actor": {"reference": person}}
                add(resource, "performer", {**function, **actor} if code else actor)
    place = pr1.first(23)
    if place:
        put(resource, "location", location(ctx, place))
    put(resource, "reasonCode", cwe.concepts(ctx, pr1, 15, f"{path}.reasonCode"))
    parent = pr1.first(25)
    if parent and (whole := hd.ei(ctx, parent, f"{path}.partOf", "procedure")):
        resource["partOf"] = [{"type": path, "identifier": whole}]
    number_rep = pr1.first(19)
    identifier = hd.ei(ctx, number_rep, f"{path}.identifier", "procedure") if number_rep else None
    if identifier:
        resource["identifier"] = [identifier]
        return ctx.write("PUT", (hd.token(identifier),), resource)
    key = ctx.key(path, who(ctx, patient), who(ctx, visit), cwe_key(pr1) or pr1.raw(4), pr1.raw(5))
    return ctx.put_keyed(key, resource)


def _status(ctx: Context, pr1: Segment) -> str:
    """Completed if it was before the message was sent, else nobody says."""
    if pr1.peek(20) == "D":
        pr1.take(20, "Procedure.status")
        return "entered-in-error"
    began, sent = (_instant(ctx, text) for text in (pr1.peek(5), ctx.message.header.peek(7)))
    return "completed" if began and sent and began <= sent else "unknown"


def _instant(ctx: Context, text: str) -> datetime | None:
    found = dtm.read(ctx, text) if text else None
    if found is None or len(found.text) < len("2026-01-01"):
        return None
    moment = datetime.fromisoformat(found.text.replace(":60", ":59"))
    return moment if moment.tzinfo else moment.replace(tzinfo=ctx.profile.zone)


def _code(ctx: Context, pr1: Segment) -> Json:
    """PR1-3 with the modifiers of PR1-16 after its code, and PR1-4 where it has no text."""
    path = "Procedure.code"
    code = dict(cwe.first_concept(ctx, pr1, 3, path) or {})
    modifiers = [rep for rep in pr1.repetitions(16) if rep.peek()]
    if modifiers and "coding" in code:
        first = code["coding"][0]
        marks = ":".join(rep.take(1, f"{path}.coding.code") for rep in modifiers)
        code["coding"] = [{**first, "code": f"{first['code']}:{marks}"}, *code["coding"][1:]]
    if "text" not in code and (text := pr1.take(4, f"{path}.text")):
        code["text"] = text
    return code or {"text": "unspecified"}


def _performed(ctx: Context, pr1: Segment, resource: Json) -> None:
    minutes = nm.whole(pr1.peek(7))
    start = dtm.read(ctx, pr1.peek(5)) if pr1.peek(5) else None
    if minutes is None or start is None or not start.timed:
        dtm.put_date_time(ctx, resource, "performedDateTime", pr1, 5)
        if pr1.valued(7):
            pr1.refuse(7, INVALID_VALUE if minutes is None else CONDITION_FALSE)
        return
    period: Json = {}
    dtm.put_date_time(ctx, period, "start", pr1, 5, "Procedure.performedPeriod")
    begin = datetime.fromisoformat(start.text.replace(":60", ":59"))
    period["end"] = (begin + timedelta(minutes=minutes)).isoformat()
    pr1.take(7, "Procedure.performedPeriod.end")
    resource["performedPeriod"] = period
