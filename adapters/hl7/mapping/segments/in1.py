"""IN1 as Coverage, with what IN2 says of it and of the insured.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-in1-to-coverage.html
"""

from typing import Final

from adapters.hl7.mapping.code_tables import EXTENSION, GENDER, RELATIONSHIP
from adapters.hl7.mapping.context import Context, Json, add, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.datatypes.xad import xad
from adapters.hl7.mapping.datatypes.xpn import xpn
from adapters.hl7.mapping.datatypes.xtn import xtn
from adapters.hl7.mapping.segments import practitioner
from adapters.hl7.mapping.segments.nk1 import called
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.accounting import CONDITION_FALSE
from adapters.hl7.message.tokenizer import Segment

SELF: Final = frozenset(("SEL", "SELF", "18", "01"))
"""Who is his own insured: of table 0063, and the codes of claims."""
# Of IN2, which the guide does not map: numbers of the patient with their types (0203).
_MEMBER: Final = 61
_NUMBERS: Final = ((6, "MC"), (8, "MA"))
_PAYOR, _PAYOR_ADDRESS, _HOLDER_ID, _HOLDER = 4, 5, 10, 11
_INSURED: Final = "RelatedPerson"
_SUBSCRIBER_ID: Final = "Coverage.extension.valueIdentifier"


def coverage(ctx: Context, in1: Segment, patient: str, in2: Segment | None = None) -> str:
    """Return a reference to the Coverage, which a later IN1 of the same key updates.

    `in2` is the IN2 that follows. The key is the patient's identifier with plan, company,
    policy and insured number.
    """
    path = "Coverage"
    resource: Json = {"resourceType": path, "status": "active"}
    if in1.peek(55) == "D":
        in1.take(55, f"{path}.status")
        resource["status"] = "entered-in-error"
    _identifiers(ctx, in1, resource)
    if in2 is not None:
        _more_numbers(ctx, in2, resource)
    put(resource, "type", cwe.first_concept(ctx, in1, 15, f"{path}.type", table="0086"))
    resource["beneficiary"] = {"reference": patient}
    _subscriber(ctx, in1, resource, patient, in2)
    if holder := _policy_holder(ctx, in1):
        resource["policyHolder"] = {"reference": holder}
    period: Json = {}
    for number, name in ((12, "start"), (13, "end")):
        if rep := in1.first(number):
            put(period, name, dtm.date_time(ctx, rep, 1, f"{path}.period.{name}"))
    put(resource, "period", period)
    absent = {"url": EXTENSION + "data-absent-reason", "valueCode": "unknown"}
    payor = _payor(ctx, in1)
    resource["payor"] = [{"reference": payor} if payor else {"extension": [absent]}]
    told = tuple(in1.peek(number) for number in (2, 3, 36, 49))
    parts = told if any(told) else ("IN1", in1.peek(1))
    key = ctx.key(path, who(ctx, patient), *parts)
    return ctx.put_keyed(key, resource)


def _identifiers(ctx: Context, in1: Segment, resource: Json) -> None:
    path = "Coverage.identifier"
    plan = in1.first(2)
    if plan and (value := plan.take(1, f"{path}.value")):
        system = hd.system_of(ctx, plan.take(3, f"{path}.system"), "", "", "IN1-2")
        add(resource, "identifier", {"system": system, "value": value})
    # IN1-10 is the subscriber's number where it says so (SN of table 0203).
    group = in1.first(_HOLDER_ID)
    insured = in1.first(49) or (group if group and group.peek(5) == "SN" else None)
    number = hd.cx(ctx, insured, _SUBSCRIBER_ID, "insured") if insured else None
    policy = in1.take(36, f"{path}.value")
    if policy:
        system = hd.system_of(ctx, "IN1-36", "", "", "")
        add(resource, "identifier", {"system": system, "value": policy})
    if number and insured:
        insured.mark(1, "Coverage.subscriberId")
        url = "http://hl7.org/fhir/5.0/StructureDefinition/extension-subscriberId"
        resource["extension"] = [{"url": url, "valueIdentifier": number}]
    put(resource, "subscriberId", number["value"] if number else policy)


def _more_numbers(ctx: Context, in2: Segment, resource: Json) -> None:
    path = "Coverage.identifier"
    for number, kind in _NUMBERS:
        if value := in2.take(number, f"{path}.value"):
            system = hd.system_of(ctx, f"IN2-{number}", "", "", "")
            one = {"type": hd.fixed_type(kind), "system": system, "value": value}
            add(resource, "identifier", one)
    member = in2.first(_MEMBER)
    if member and (told := hd.cx(ctx, member, path, "member")):
        told.setdefault("type", hd.fixed_type("MB"))
        add(resource, "identifier", told)


def _reached(ctx: Context, in2: Segment, person: Json) -> None:
    """Add numbers and telephone of the insured."""
    if value := in2.take(2, f"{_INSURED}.identifier.value"):
        system = hd.system_of(ctx, "IN2-2", "", "", "")
        kind = hd.fixed_type(ctx.profile.ssn_type)
        add(person, "identifier", {"type": kind, "system": system, "value": value})
    for number, use in ((63, "home"), (64, "work")):
        for rep in in2.repetitions(number):
            add(person, "telecom", xtn(ctx, rep, f"{_INSURED}.telecom", use))


def _subscriber(
    ctx: Context, in1: Segment, resource: Json, patient: str, in2: Segment | None
) -> None:
    kin = cwe.first_concept(
        ctx, in1, 17, "Coverage.relationship", table="0063", translate=RELATIONSHIP
    )
    put(resource, "relationship", kin)
    if in1.peek(17).upper() in SELF:
        resource["subscriber"] = {"reference": patient}
        return
    names = [name for rep in in1.repetitions(16) for name in xpn(ctx, rep, _INSURED)]
    if not names:
        return
    person: Json = {"resourceType": "RelatedPerson", "patient": {"reference": patient}}
    put(person, "relationship", [kin] if kin else [])
    person["name"] = names
    if code := in1.take(43, f"{_INSURED}.gender"):
        person["gender"] = GENDER.get(code, "unknown")
    dtm.put_date(ctx, person, "birthDate", in1, 18)
    for rep in in1.repetitions(19):
        add(person, "address", xad(ctx, rep, f"{_INSURED}.address"))
    if in2 is not None:
        _reached(ctx, in2, person)
    key = ctx.key("RelatedPerson", who(ctx, patient), in1.peek(17), *called(in1, 16))
    resource["subscriber"] = {"reference": ctx.put_keyed(key, person)}


def _payor(ctx: Context, in1: Segment) -> str | None:
    """IN1-4 with its address, else the company that IN1-3 numbers."""
    company = in1.first(_PAYOR)
    if company and (
        named := practitioner.organization(ctx, company, in1.repetitions(_PAYOR_ADDRESS))
    ):
        in1.refuse(3, CONDITION_FALSE)
        return named
    return _numbered(ctx, in1, 3, "insurer")


def _policy_holder(ctx: Context, in1: Segment) -> str | None:
    employer = in1.first(_HOLDER)
    reference = practitioner.organization(ctx, employer) if employer else None
    if reference is None:
        return _numbered(ctx, in1, _HOLDER_ID, "group")
    write = ctx.writes.get(reference)
    number = in1.first(_HOLDER_ID)
    if write is not None and number:
        identifier = hd.cx(ctx, number, "Organization.identifier", "group")
        if identifier not in write.resource["identifier"]:
            add(write.resource, "identifier", identifier)
    return reference


def _numbered(ctx: Context, in1: Segment, number: int, default: str) -> str | None:
    rep = in1.first(number)
    identifier = hd.cx(ctx, rep, "Organization.identifier", default) if rep else None
    if identifier is None:
        return None
    resource: Json = {"resourceType": "Organization", "identifier": [identifier]}
    return ctx.write("POST", (hd.token(identifier),), resource)
