"""GT1 as guarantor of an Account: a RelatedPerson, the patient, or an Organization.

HL7 v2.9 chapter 6, section 6.5.5. The guide has no map of it.
https://hl7.org/fhir/R4/account-definitions.html#Account.guarantor
"""

from typing import Final

from adapters.hl7.mapping.code_tables import GENDER, RELATIONSHIP
from adapters.hl7.mapping.context import Context, Json, add, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.datatypes.xad import xad
from adapters.hl7.mapping.datatypes.xpn import xpn
from adapters.hl7.mapping.datatypes.xtn import xtn
from adapters.hl7.mapping.segments import practitioner
from adapters.hl7.mapping.segments.in1 import SELF
from adapters.hl7.mapping.segments.nk1 import called
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.tokenizer import Segment

_PERSON: Final = "RelatedPerson"
_RELATION, _SSN, _ORGANIZATION = 11, 12, 21


def guarantor(ctx: Context, gt1: Segment, patient: str) -> Json | None:
    """Return the guarantor as the Account has it, None where the segment names nobody."""
    party = _party(ctx, gt1, patient)
    if party is None:
        return None
    found: Json = {"party": {"reference": party}}
    period: Json = {}
    for number, name in ((13, "start"), (14, "end")):
        if rep := gt1.first(number):
            where = f"Account.guarantor.period.{name}"
            put(period, name, dtm.date_time(ctx, rep, 1, where))
    put(found, "period", period)
    return found


def _party(ctx: Context, gt1: Segment, patient: str) -> str | None:
    if gt1.peek(_RELATION).upper() in SELF:
        gt1.take(_RELATION, "Account.guarantor.party")
        return patient
    names = [name for rep in gt1.repetitions(3) for name in xpn(ctx, rep, f"{_PERSON}.name")]
    if names:
        return _person(ctx, gt1, patient, names)
    organization = gt1.first(_ORGANIZATION)
    return practitioner.organization(ctx, organization) if organization else None


def _person(ctx: Context, gt1: Segment, patient: str, names: list[Json]) -> str:
    """Return a reference to the RelatedPerson, whom NK1 and IN1 may name, too."""
    kin = cwe.first_concept(
        ctx, gt1, _RELATION, f"{_PERSON}.relationship", table="0063", translate=RELATIONSHIP
    )
    person: Json = {"resourceType": _PERSON, "patient": {"reference": patient}, "name": names}
    put(person, "identifier", _numbers(ctx, gt1))
    put(person, "relationship", [kin] if kin else [])
    for number, use in ((6, "home"), (7, "work")):
        for rep in gt1.repetitions(number):
            add(person, "telecom", xtn(ctx, rep, f"{_PERSON}.telecom", use))
    for rep in gt1.repetitions(5):
        add(person, "address", xad(ctx, rep, f"{_PERSON}.address"))
    dtm.put_date(ctx, person, "birthDate", gt1, 8)
    if code := gt1.take(9, f"{_PERSON}.gender"):
        person["gender"] = GENDER.get(code, "unknown")
    key = ctx.key(_PERSON, who(ctx, patient), gt1.peek(_RELATION), *called(gt1, 3))
    return ctx.put_keyed(key, person)


def _numbers(ctx: Context, gt1: Segment) -> list[Json]:
    path = f"{_PERSON}.identifier"
    found = [one for rep in gt1.repetitions(2) if (one := hd.cx(ctx, rep, path, "guarantor"))]
    if value := gt1.take(_SSN, f"{path}.value"):
        system = hd.system_of(ctx, f"GT1-{_SSN}", "", "", "")
        kind = hd.fixed_type(ctx.profile.ssn_type)
        found.append({"type": kind, "system": system, "value": value})
    return found
