"""Coverage as IN1.

HL7 v2.9 chapter 6, section 6.5.6.
"""

from typing import Final

from adapters.hl7.mapping.code_tables import GENDER
from adapters.hl7.outbound import datatypes as as_
from adapters.hl7.outbound.er7 import Field, Segment
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json, Record, extension
from adapters.hl7.outbound.segments.nk1 import relationship

_SUBSCRIBER_ID: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-subscriberId"
_POLICY: Final = "/ids/IN1-36"
_SEX: Final = {**as_.reverse(GENDER), "unknown": "U"}


def in1(number: int, coverage: Json, record: Record, peer: Peer) -> Segment:
    """Return IN1 with the plan, the insurer, the policy and whose it is."""
    fields: dict[int, Field] = {1: str(number), **_numbers(coverage, peer)}
    fields |= _payor(coverage, record, peer)
    fields |= _group(coverage, record, peer)
    period = coverage.get("period", {})
    fields[12] = as_.dated(period, "start", peer)
    fields[13] = as_.dated(period, "end", peer)
    kind = coverage.get("type")
    fields[15] = as_.coded(peer, kind, "0086") or as_.cwe(peer, kind, "0086")
    fields |= _insured(coverage, record, peer)
    if coverage.get("status") in {"entered-in-error", "cancelled"}:
        fields[55] = "D"
    return Segment("IN1", fields)


def _numbers(coverage: Json, peer: Peer) -> dict[int, Field]:
    """Return plan, policy and number of the insured."""
    told = as_.shown(peer, coverage)
    policies = [one for one in told if str(one.get("system", "")).endswith(_POLICY)]
    plans = [one for one in told if one not in policies]
    fields: dict[int, Field] = {}
    if plans:
        value, *authority = as_.ei(peer, plans[0])
        name = authority[0] if authority and authority[0] != "IN1-2" else ""
        fields[2] = (value, "", name)
    elif plan := _class(coverage, "plan"):
        fields[2] = (str(plan.get("value", "")), str(plan.get("name", "")))
    text = str(coverage.get("subscriberId", ""))
    exact = (extension(coverage, _SUBSCRIBER_ID) or {}).get("valueIdentifier")
    if exact:
        fields[49] = as_.cx(peer, exact)
    elif text and not policies:
        fields[49] = (text,)
    if policies:
        fields[36] = str(policies[0]["value"])
    return fields


def _class(coverage: Json, kind: str) -> Json | None:
    for one in coverage.get("class", ()):
        if any(c.get("code") == kind for c in one.get("type", {}).get("coding", ())):
            found: Json = one
            return found
    return None


def _payor(coverage: Json, record: Record, peer: Peer) -> dict[int, Field]:
    payor = next(record.all(coverage.get("payor"), coverage), None)
    if payor is None or payor["resourceType"] != "Organization":
        return {}
    numbers = [as_.cx(peer, one) for one in as_.shown(peer, payor)]
    # A name tells who it is; IN1-3 is required, and is there where it has a number.
    return {
        3: numbers[:1],
        4: as_.xon(peer, payor) if payor.get("name") else "",
        5: [as_.xad(one, peer) for one in payor.get("address", ())],
    }


def _group(coverage: Json, record: Record, peer: Peer) -> dict[int, Field]:
    fields: dict[int, Field] = {}
    if group := _class(coverage, "group"):
        fields[8] = str(group.get("value", ""))
        fields[9] = (str(group.get("name", "")),)
    holder = record.get(coverage.get("policyHolder"), coverage)
    if holder is None or holder["resourceType"] != "Organization":
        return fields
    numbers = as_.shown(peer, holder)
    if holder.get("name"):
        fields[11] = as_.xon(peer, holder)
        numbers = numbers[1:]
    if numbers:
        fields[10] = as_.cx(peer, numbers[-1])
    return fields


def _insured(coverage: Json, record: Record, peer: Peer) -> dict[int, Field]:
    fields: dict[int, Field] = {}
    if kin := coverage.get("relationship"):
        fields[17] = relationship(kin, peer)
    person = record.get(coverage.get("subscriber"), coverage)
    if person is None:
        return fields
    fields[16] = [as_.xpn(one, peer) for one in person.get("name", ())]
    fields[18] = as_.moment(person.get("birthDate"))
    fields[19] = [as_.xad(one, peer) for one in person.get("address", ())]
    fields[43] = _SEX.get(str(person.get("gender", "")), "")
    return fields
