"""EVN, and the last update of PID-33 and PID-34, as Provenance.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-evn-to-provenance.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-pid-to-provenance.html
"""

from collections.abc import Sequence
from typing import Final

from adapters.hl7.mapping.code_tables import EVENT_REASON, EXTENSION, THO
from adapters.hl7.mapping.context import Context, Json, add, put
from adapters.hl7.mapping.datatypes import cwe, dtm
from adapters.hl7.mapping.segments import practitioner
from adapters.hl7.mapping.segments.location import facility
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.accounting import DUPLICATE
from adapters.hl7.message.tokenizer import Segment

_AGENT: Final = THO + "provenance-participant-type"
_ABSENT: Final[Json] = {
    "extension": [{"url": EXTENSION + "data-absent-reason", "valueCode": "unknown"}]
}


def event(ctx: Context, evn: Segment, code: str, targets: Sequence[str]) -> None:
    """Add the Provenance of the trigger event `code`, by which the targets came to be so."""
    resource: Json = {
        "resourceType": "Provenance",
        "target": [{"reference": target} for target in targets],
    }
    if evn.peek(1) == code:
        evn.refuse(1, DUPLICATE)
    dtm.put_date_time(ctx, resource, "occurredDateTime", evn, 6)
    _recorded(ctx, resource, evn)
    reasons = cwe.concepts(ctx, evn, 4, "Provenance.reason", table="0062", translate=EVENT_REASON)
    put(resource, "reason", reasons)
    resource["activity"] = {"coding": [{"system": THO + "v2-0003", "code": code}]}
    for rep in evn.repetitions(5):
        if person := practitioner.practitioner(ctx, rep, resource):
            add(resource, "agent", _agent("enterer", {"reference": person}))
    if "agent" not in resource:
        resource["agent"] = [_sender(ctx)]
    place = evn.first(7)
    if place:
        put(resource, "location", facility(ctx, place))
    when = evn.raw(6) or evn.raw(2) or ctx.message.header.raw(7)
    _write(ctx, resource, ("EVN", code, when, *(who(ctx, target) for target in targets)))


def last_update(ctx: Context, pid: Segment, patient: str) -> None:
    """Add the Provenance of PID-33 and PID-34, nothing where both are empty."""
    if not pid.valued(33) and not pid.valued(34):
        return
    resource: Json = {"resourceType": "Provenance", "target": [{"reference": patient}]}
    dtm.put_date_time(ctx, resource, "occurredDateTime", pid, 33)
    _recorded(ctx, resource, None)
    activity = {"system": THO + "v3-DataOperation", "code": "UPDATE"}
    resource["activity"] = {"coding": [activity]}
    rep = pid.first(34)
    name = rep.take(1, "Provenance.agent.who") or rep.take(2, "Provenance.agent.who") if rep else ""
    if name:
        resource["agent"] = [_agent("performer", {"reference": _organization(ctx, name)})]
    else:
        resource["agent"] = [_sender(ctx)]
    _write(ctx, resource, ("PID-33", who(ctx, patient), pid.raw(33), pid.raw(34)))


def _recorded(ctx: Context, resource: Json, evn: Segment | None) -> None:
    """EVN-2, else MSH-7, where they have the seconds that an instant needs."""
    if evn is not None:
        dtm.put_instant(ctx, resource, "recorded", evn, 2)
    if "recorded" in resource:
        return
    found = dtm.read(ctx, ctx.message.header.peek(7))
    if found is not None and found.exact:
        resource["recorded"] = found.text
    else:
        resource["_recorded"] = _ABSENT


def _agent(code: str, agent: Json) -> Json:
    return {"type": {"coding": [{"system": _AGENT, "code": code}]}, "who": agent}


def _sender(ctx: Context) -> Json:
    """MSH-22, else MSH-4: a Provenance has an agent."""
    responsible = ctx.message.header.first(22)
    if responsible and (found := practitioner.organization(ctx, responsible)):
        return _agent("author", {"reference": found})
    header = ctx.message.header
    return _agent("author", {"display": header.peek(4) or header.peek(3) or ctx.profile.sender})


def _organization(ctx: Context, name: str) -> str:
    resource: Json = {"resourceType": "Organization", "name": name}
    key = ctx.key("Organization", name)
    resource["identifier"] = [ctx.key_identifier(key)]
    return ctx.write("POST", (ctx.key_token(key),), resource)


def _write(ctx: Context, resource: Json, parts: tuple[str, ...]) -> None:
    """A Provenance has no identifier in R4: its source has, so that a replay adds none."""
    key = ctx.key_identifier(ctx.key("Provenance", *parts))
    resource["entity"] = [{"role": "source", "what": {"identifier": key}}]
    ctx.write("POST", (f"{key['system']}|{key['value']}",), resource)
