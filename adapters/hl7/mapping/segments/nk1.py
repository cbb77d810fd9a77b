"""NK1 as Patient.contact or RelatedPerson, and the mother of PID-21.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-nk1-to-patient.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-nk1-to-relatedperson.html
"""

from collections.abc import Mapping
from typing import Final

from adapters.hl7.mapping.code_tables import GENDER, RELATIONSHIP, THO
from adapters.hl7.mapping.context import Context, Json, add, coding, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.datatypes.xad import xad
from adapters.hl7.mapping.datatypes.xpn import xpn
from adapters.hl7.mapping.datatypes.xtn import xtn
from adapters.hl7.mapping.segments import language, practitioner
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.tokenizer import Segment

# Employers, agencies and insurers are not related to the person.
_CONTACTS: Final = frozenset(("EMR", "E", "F", "I", "S"))
_MOTHER: Final = {"system": THO + "v3-RoleCode", "code": "MTH"}
_ORGANIZATION: Final = 13


def is_contact(ctx: Context, nk1: Segment) -> tuple[bool, bool]:
    """Return whether the NK1 becomes a contact, and whether a RelatedPerson."""
    mode = ctx.profile.nk1_contact
    if mode == "auto":
        contact = nk1.peek(3) in _CONTACTS
        return contact, not contact
    return mode != "related", mode != "contact"


def contact(ctx: Context, nk1: Segment, patient: Json) -> None:
    """Add the NK1 to the contacts of the Patient."""
    path = "Patient.contact"
    found: Json = {}
    put(found, "relationship", _relationships(ctx, nk1, path))
    name = nk1.first(2)
    if name and (names := xpn(ctx, name, f"{path}.name")):
        found["name"] = names[0]
    put(found, "telecom", _telecoms(ctx, nk1, path, {5: "", 6: "work", 40: "", 41: ""}))
    place = nk1.first(4)
    if place:
        put(found, "address", xad(ctx, place, f"{path}.address"))
    _gender(nk1, found, path)
    if organization := _organization(ctx, nk1):
        found["organization"] = {"reference": organization}
    # pat-1: a contact without name, telecom, address and organization says nothing.
    if not found.keys() & {"name", "telecom", "address", "organization"}:
        for number in (3, 7, 15):
            nk1.disown(number, "condition_false")
        return
    put(found, "period", _period(ctx, nk1, path))
    add(patient, "contact", found)


def _relationships(ctx: Context, nk1: Segment, path: str) -> list[Json]:
    kin = cwe.first_concept(
        ctx, nk1, 3, f"{path}.relationship", table="0063", translate=RELATIONSHIP
    )
    role = cwe.first_concept(ctx, nk1, 7, f"{path}.relationship", table="0131")
    return [found for found in (kin, role) if found]


def _telecoms(ctx: Context, nk1: Segment, path: str, fields: Mapping[int, str]) -> list[Json]:
    return [
        point
        for number, use in fields.items()
        for rep in nk1.repetitions(number)
        if (point := xtn(ctx, rep, f"{path}.telecom", use))
    ]


def _gender(nk1: Segment, target: Json, path: str) -> None:
    if code := nk1.take(15, f"{path}.gender"):
        target["gender"] = GENDER.get(code, "unknown")
        if code not in GENDER and code != "U":
            target["_gender"] = cwe.alternate("0001", code)


def _period(ctx: Context, nk1: Segment, path: str) -> Json:
    period: Json = {}
    for number, name in ((8, "start"), (9, "end")):
        if rep := nk1.first(number):
            put(period, name, dtm.date_time(ctx, rep, 1, f"{path}.period.{name}"))
    return period


def _organization(ctx: Context, nk1: Segment) -> str | None:
    """Return a reference to the Organization of NK1-13, with whom to ask there (NK1-30 to 32)."""
    rep = nk1.first(_ORGANIZATION)
    reference = practitioner.organization(ctx, rep) if rep else None
    write = ctx.writes.get(reference or "")
    if write is None:
        return reference
    path = "Organization.contact"
    asked: Json = {}
    name, place = nk1.first(30), nk1.first(32)
    if name and (names := xpn(ctx, name, f"{path}.name")):
        asked["name"] = names[0]
    put(asked, "telecom", _telecoms(ctx, nk1, path, {31: ""}))
    if place:
        put(asked, "address", xad(ctx, place, f"{path}.address"))
    if asked not in write.resource.get("contact", []):
        add(write.resource, "contact", asked)
    return reference


def related_person(ctx: Context, nk1: Segment, patient: str) -> None:
    """Add the NK1 as a RelatedPerson, whom a later message of the same name updates."""
    path = "RelatedPerson"
    resource: Json = {"resourceType": path, "patient": {"reference": patient}}
    put(resource, "identifier", _identifiers(ctx, nk1))
    put(resource, "relationship", _relationships(ctx, nk1, path))
    for number in (2, 30):
        for rep in nk1.repetitions(number):
            for name in xpn(ctx, rep, f"{path}.name"):
                add(resource, "name", name)
    fields = {5: "", 6: "work", 31: "", 40: "", 41: ""}
    put(resource, "telecom", _telecoms(ctx, nk1, path, fields))
    for number in (4, 32):
        for rep in nk1.repetitions(number):
            add(resource, "address", xad(ctx, rep, f"{path}.address"))
    _gender(nk1, resource, path)
    dtm.put_date(ctx, resource, "birthDate", nk1, 16)
    if spoken := language.spoken(ctx, nk1, 20, f"{path}.communication"):
        resource["communication"] = [{"language": spoken}]
    put(resource, "period", _period(ctx, nk1, path))
    ctx.put_keyed(ctx.key(path, who(ctx, patient), nk1.peek(3), *called(nk1, 2)), resource)


def called(segment: Segment, number: int) -> tuple[str, str]:
    """Return family and given name of a XPN, by which a message names a person again."""
    rep = segment.first(number)
    return (rep.peek(1), rep.peek(2)) if rep is not None else ("", "")


def _identifiers(ctx: Context, nk1: Segment) -> list[Json]:
    path = "RelatedPerson.identifier"
    found = [
        identifier
        for number in (12, 33)
        for rep in nk1.repetitions(number)
        if (identifier := hd.cx(ctx, rep, path, f"NK1-{number}"))
    ]
    if value := nk1.take(37, path):
        system = hd.system_of(ctx, "NK1-37", "", "", "")
        kind = hd.fixed_type(ctx.profile.ssn_type)
        found.append({"type": kind, "system": system, "value": value})
    return found


def mother(ctx: Context, pid: Segment, patient: str) -> None:
    """Add the mother of PID-21, of whom the identifiers alone are known."""
    path = "RelatedPerson.identifier"
    found = [i for rep in pid.repetitions(21) if (i := hd.cx(ctx, rep, path, "mother"))]
    if not found:
        return
    resource: Json = {
        "resourceType": "RelatedPerson",
        "identifier": found,
        "patient": {"reference": patient},
        "relationship": [{"coding": [coding(_MOTHER["system"], _MOTHER["code"])]}],
    }
    ctx.put_keyed(ctx.key("RelatedPerson", who(ctx, patient), "PID-21"), resource)
