"""ORC as Provenance, and a request for cancellation as Task.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-orc-to-provenance.html
"""

from typing import Final

from adapters.hl7.mapping.code_tables import THO
from adapters.hl7.mapping.context import Context, Json, add, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.segments import orderer, practitioner
from adapters.hl7.mapping.segments.order_status import CANCEL
from adapters.hl7.message.tokenizer import Segment

_ACTIVITY: Final = {  # 0119 in v3-DataOperation
    "NW": "CREATE",
    "SC": "UPDATE",
    "XO": "UPDATE",
    "OC": "CANCEL",
    "CA": "CANCEL",
}
_AGENTS: Final = ((10, "enterer"), (11, "verifier"), (12, "author"), (19, "performer"))
_ENTERER, _AUTHOR = 10, 12
ABSENT: Final[Json] = {
    "extension": [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
            "valueCode": "unknown",
        }
    ]
}
# What becomes of the request to cancel: as requested, already under way, unable.
_OUTCOME: Final = {CANCEL: "requested", "CR": "completed", "UC": "rejected"}
_OPEN: Final = "requested"


def provenance(ctx: Context, orc: Segment, target: str, number: str) -> None:
    """Add who did what to an order, and when; nothing where ORC says neither.

    The Provenance of an event is found again by what it is of: order, event and time.
    """
    if orc.index < 0:
        return
    resource: Json = {"resourceType": "Provenance", "target": [{"reference": target}]}
    dtm.put_date_time(ctx, resource, "occurredDateTime", orc, 9)
    put_recorded(ctx, resource, orc.peek(9))
    activity = _ACTIVITY.get(orc.peek(1))
    if activity:
        coding = {"system": THO + "v3-DataOperation", "code": activity}
        resource["activity"] = {"coding": [coding]}
        orc.take(1, "Provenance.activity")
    if where := orc.take(21, "Provenance.location.display"):
        resource["location"] = {"display": where}
    if orc.raw(28):
        orderer.put_security(ctx, orc, 28, resource)
    _people(ctx, orc, resource)
    _device(ctx, orc, resource)
    if "agent" not in resource:
        resource["agent"] = [sender(ctx)]
    moment = orc.raw(9) or ctx.message.header.raw(7)
    write(ctx, resource, ("ORC", target, number, orc.peek(1), moment))


def write(ctx: Context, resource: Json, parts: tuple[str, ...]) -> None:
    """Add a Provenance, once for what it is of; R4 gives it no identifier of its own."""
    key = ctx.key_identifier(ctx.key("Provenance", *parts))
    resource["entity"] = [{"role": "source", "what": {"identifier": key}}]
    ctx.write("POST", (f"{key['system']}|{key['value']}",), resource)


def put_recorded(ctx: Context, resource: Json, text: str) -> None:
    """Set when it was recorded, which is an instant: `text` if it is one, else MSH-7."""
    for said in (text, ctx.message.header.peek(7)):
        found = dtm.read(ctx, said) if said else None
        if found is not None and found.exact:
            resource["recorded"] = found.text
            return
    resource["_recorded"] = ABSENT


def _people(ctx: Context, orc: Segment, resource: Json) -> None:
    organization = orc.first(17)
    behalf = practitioner.producer(ctx, organization) if organization is not None else None
    for number, code in _AGENTS:
        for rep in orc.repetitions(number):
            person = practitioner.practitioner(ctx, rep, resource)
            if person is None:
                continue
            agent = agent_of(code, person)
            if number == _ENTERER and behalf:
                agent["onBehalfOf"] = {"reference": behalf}
            add(resource, "agent", agent)
    if behalf and not orc.first(_ENTERER):
        add(resource, "agent", agent_of("enterer", behalf))


def _device(ctx: Context, orc: Segment, resource: Json) -> None:
    rep = orc.first(18)
    if rep is None:
        return
    code = rep.take(1, "Device.identifier.value")
    name = rep.take(2, "Device.deviceName.name") or rep.take(9, "Device.deviceName.name")
    device: Json = {"resourceType": "Device"}
    if name:
        device["deviceName"] = [{"name": name, "type": "user-friendly-name"}]
    if not code and not name:
        return
    system = hd.system_of(ctx, rep.take(3, "Device.identifier.system"), "", "", "device")
    device["identifier"] = [{"system": system, "value": code or name}]
    reference = ctx.write("POST", (hd.token(device["identifier"][0]),), device)
    add(resource, "agent", agent_of("assembler", reference))


def agent_of(code: str, reference: str) -> Json:
    """Return an agent of a Provenance."""
    system = THO + "provenance-participant-type"
    kind = {"coding": [{"system": system, "code": code}]}
    return {"type": kind, "who": {"reference": reference}}


def sender(ctx: Context) -> Json:
    """MSH-4, where ORC names nobody: a Provenance has an agent."""
    name = ctx.message.header.peek(4) or ctx.message.header.peek(3) or ctx.profile.sender
    system = THO + "provenance-participant-type"
    kind = {"coding": [{"system": system, "code": "author"}]}
    return {"type": kind, "who": {"display": name}}


def cancellation(ctx: Context, orc: Segment, target: str, patient: str, number: str) -> None:
    """Add the Task of a request to cancel an order, or what was answered to it.

    CA only asks (decision D11): the order keeps its status until the filler answers.
    """
    status = _OUTCOME.get(orc.peek(1))
    if status is None:
        return
    abort = {"system": "http://hl7.org/fhir/CodeSystem/task-code", "code": "abort"}
    resource: Json = {
        "resourceType": "Task",
        "status": status,
        "intent": "order",
        "code": {"coding": [abort]},
        "focus": {"reference": target},
        "for": {"reference": patient},
    }
    orc.take(1, "Task.status")
    if status == _OPEN:
        dtm.put_date_time(ctx, resource, "authoredOn", orc, 9)
        requester = orderer.requester(ctx, orc, None, resource)
        put(resource, "requester", {"reference": requester} if requester else None)
    reason = cwe.first_concept(ctx, orc, 16, "Task.reasonCode", table="0949")
    put(resource, "reasonCode" if status == _OPEN else "statusReason", reason)
    key = ctx.key("Task", "cancel", number or target)
    resource["identifier"] = [ctx.key_identifier(key)]
    ctx.write("PUT", (ctx.key_token(key),), resource, effect=_asked_again)


def _asked_again(stored: Json, updated: Json) -> Json:
    """A request that was answered is not asked again by a repetition of it."""
    if updated["status"] == _OPEN and stored.get("status") != _OPEN:
        return stored
    return updated
