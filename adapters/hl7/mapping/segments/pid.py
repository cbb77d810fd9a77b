"""PID as Patient.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-pid-to-patient.html
"""

from dataclasses import dataclass
from typing import Final

from adapters.hl7.mapping import partial
from adapters.hl7.mapping.code_tables import EXTENSION, GENDER, MARITAL_STATUS, RELIGION
from adapters.hl7.mapping.context import Context, Json, Refusal, add, extend, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd, nm
from adapters.hl7.mapping.datatypes.xad import xad
from adapters.hl7.mapping.datatypes.xpn import xpn
from adapters.hl7.mapping.datatypes.xtn import xtn
from adapters.hl7.mapping.segments.language import spoken
from adapters.hl7.message.accounting import INVALID_VALUE
from adapters.hl7.message.tokenizer import Repetition, Segment

_CLEARED: Final = {
    5: ("name",),
    6: (f"extension(url={EXTENSION}patient-mothersMaidenName)",),
    7: ("birthDate",),
    8: ("gender",),
    11: ("address",),
    12: ("address.district",),
    13: ("telecom(use=home)",),
    14: ("telecom(use=work)",),
    15: ("communication",),
    16: ("maritalStatus",),
    17: (f"extension(url={EXTENSION}patient-religion)",),
    20: ("identifier(type.coding.code=DL)",),
    23: (f"extension(url={EXTENSION}patient-birthPlace)",),
    24: ("multipleBirthBoolean",),
    25: ("multipleBirthInteger",),
    26: (f"extension(url={EXTENSION}patient-citizenship)",),
    28: (f"extension(url={EXTENSION}patient-nationality)",),
    29: ("deceasedDateTime",),
    30: ("deceasedBoolean",),
    35: (f"extension(url={EXTENSION}patient-animal)",),
}
# Numbers of a stay or an account do not identify a person (table 0203).
_NOT_A_PERSON: Final = frozenset(("AN", "VN", "ANON", "VS"))
_DATE_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Person:
    """What PID says: the Patient, and the identifiers that tell who it is, as tokens."""

    resource: Json
    identity: tuple[str, ...]


def patient(ctx: Context, pid: Segment | None) -> str:
    """Return a reference to the Patient, whom a result creates where nobody is stored."""
    person = described(ctx, pid)
    return ctx.write("POST", person.identity, person.resource)


def described(ctx: Context, pid: Segment | None) -> Person:
    """Return the Patient that PID describes; raises Refusal without an identification."""
    if pid is None:
        raise Refusal("NO_PATIENT_ID", "The message names no patient", "PID", code="100")
    resource: Json = {"resourceType": "Patient"}
    identity = _identify(ctx, pid, resource) or _anonymous(ctx, resource)
    _names(ctx, pid, resource)
    _birth(ctx, pid, resource)
    _demographics(ctx, pid, resource)
    _realm(ctx, pid, resource)
    _contact(ctx, pid, resource)
    _death(ctx, pid, resource)
    _animal(ctx, pid, resource)
    return Person(resource, identity)


def who(ctx: Context, reference: str) -> str:
    """Return the first identifier of the Patient or Encounter of this reference, as a token.

    Keys of what belongs to them are made of it: the reference depends on which
    identifiers a message names.
    """
    write = ctx.writes.get(reference)
    return write.identity[0] if write is not None else reference


def cleared(pid: Segment, ssn_type: str) -> frozenset[str]:
    """Return the paths of the elements that PID deletes."""
    return partial.nulls(pid, {**_CLEARED, 19: (f"identifier(type.coding.code={ssn_type})",)})


def _identify(ctx: Context, pid: Segment, resource: Json) -> tuple[str, ...]:
    """Set the identifiers and return those that identify the person, as tokens."""
    path = "Patient.identifier"
    trusted: list[str] = []
    for number in (3, 2, 4):
        found = [cx for rep in pid.repetitions(number) if (cx := hd.cx(ctx, rep, path, "patient"))]
        for identifier in found:
            add(resource, "identifier", identifier)
        if not trusted:
            trusted = [hd.token(i) for i in found if _code(i) not in _NOT_A_PERSON]
    if value := pid.take(19, path):
        system = hd.system_of(ctx, "PID-19", "", "", "")
        kind = hd.fixed_type(ctx.profile.ssn_type)
        add(resource, "identifier", {"type": kind, "system": system, "value": value})
    if licence := pid.first(20):
        add(resource, "identifier", _licence(ctx, licence, path))
    return tuple(dict.fromkeys(trusted))


def _anonymous(ctx: Context, resource: Json) -> tuple[str, ...]:
    """Return the key of somebody unknown, who is known by the order; Refusal where that is off."""
    orders = [one for one in ctx.message.segments if one.name in {"ORC", "OBR"}]
    if not ctx.profile.anonymous_patients or not orders:
        raise Refusal("NO_PATIENT_ID", "The patient has no identifier", "PID-3", code="101")
    numbers = (one.raw(number) for one in orders for number in (3, 2))
    key = ctx.key("Patient", next(filter(None, numbers), ctx.message.header.raw(10)))
    identifier = {"type": hd.fixed_type("ANON"), **ctx.key_identifier(key)}
    add(resource, "identifier", identifier)
    return (ctx.key_token(key),)


def _licence(ctx: Context, rep: Repetition, path: str) -> Json | None:
    """Return the Identifier of a DLN; the state that issued it names its system."""
    value = rep.take(1, f"{path}.value")
    if not value:
        return None
    state = rep.take(2, f"{path}.system")
    system = hd.system_of(ctx, f"PID-20-{state}" if state else "PID-20", "", "", "")
    identifier: Json = {"type": hd.fixed_type("DL"), "system": system, "value": value}
    if until := dtm.date_time(ctx, rep, 3, f"{path}.period.end"):
        identifier["period"] = {"end": until}
    return identifier


def _code(identifier: Json) -> str:
    coding = identifier.get("type", {}).get("coding", ({},))[0]
    return str(coding.get("code", ""))


def _names(ctx: Context, pid: Segment, resource: Json) -> None:
    for number in (5, 9):
        for rep in pid.repetitions(number):
            for name in xpn(ctx, rep, "Patient.name"):
                add(resource, "name", name)
    mother = pid.first(6)
    if mother is not None and (maiden := mother.take(1, "Patient.extension")):
        url = EXTENSION + "patient-mothersMaidenName"
        extend(resource, {"url": url, "valueString": maiden})


def _birth(ctx: Context, pid: Segment, resource: Json) -> None:
    dtm.put_date(ctx, resource, "birthDate", pid, 7)
    text = pid.peek(7)
    found = dtm.read(ctx, text) if len(text) > _DATE_DIGITS else None
    if found is not None and found.timed:
        birth_time = {"url": EXTENSION + "patient-birthTime", "valueDateTime": found.text}
        resource["_birthDate"] = {"extension": [birth_time]}
    if place := pid.take(23, "Patient.extension"):
        address = {"text": place}
        extend(resource, {"url": EXTENSION + "patient-birthPlace", "valueAddress": address})
    order = nm.whole(pid.peek(25))
    if order is not None:
        resource["multipleBirthInteger"] = order
        pid.take(25, "Patient.multipleBirth")
    elif pid.peek(24) in {"Y", "N"}:
        resource["multipleBirthBoolean"] = pid.take(24, "Patient.multipleBirth") == "Y"


def _demographics(ctx: Context, pid: Segment, resource: Json) -> None:
    if code := pid.take(8, "Patient.gender"):
        resource["gender"] = GENDER.get(code, "unknown")
        if code not in GENDER and code != "U":
            resource["_gender"] = cwe.alternate("0001", code)
    if language := spoken(ctx, pid, 15, "Patient.communication"):
        resource["communication"] = [{"language": language}]
    marital = cwe.first_concept(
        ctx, pid, 16, "Patient.maritalStatus", table="0002", translate=MARITAL_STATUS
    )
    put(resource, "maritalStatus", marital)
    religion = cwe.first_concept(
        ctx, pid, 17, "Patient.extension", table="0006", translate=RELIGION
    )
    if religion:
        url = EXTENSION + "patient-religion"
        extend(resource, {"url": url, "valueCodeableConcept": religion})
    for number, name in ((26, "citizenship"), (39, "citizenship"), (28, "nationality")):
        for concept in cwe.concepts(ctx, pid, number, "Patient.extension"):
            part = {"url": "code", "valueCodeableConcept": concept}
            extend(resource, {"url": f"{EXTENSION}patient-{name}", "extension": [part]})


def _realm(ctx: Context, pid: Segment, resource: Json) -> None:
    """Race and ethnicity, which only some realms record, each in its own extension."""
    for number, url, table in (
        (10, ctx.profile.race_extension, "0005"),
        (22, ctx.profile.ethnicity_extension, "0189"),
    ):
        if not url:
            continue
        for concept in cwe.concepts(ctx, pid, number, "Patient.extension", table=table):
            extend(resource, {"url": url, "valueCodeableConcept": concept})


def _contact(ctx: Context, pid: Segment, resource: Json) -> None:
    addresses = [a for rep in pid.repetitions(11) if (a := xad(ctx, rep, "Patient.address"))]
    if county := pid.take(12, "Patient.address.district"):
        if len(addresses) == 1 and "district" not in addresses[0]:
            addresses[0]["district"] = county
        else:
            addresses.append({"district": county})
    put(resource, "address", addresses)
    for number, use in ((13, "home"), (14, "work"), (40, "")):
        for rep in pid.repetitions(number):
            add(resource, "telecom", xtn(ctx, rep, "Patient.telecom", use))


def _death(ctx: Context, pid: Segment, resource: Json) -> None:
    dtm.put_date_time(ctx, resource, "deceasedDateTime", pid, 29)
    if "deceasedDateTime" not in resource and (code := pid.peek(30)):
        if code in {"Y", "N"}:
            resource["deceasedBoolean"] = pid.take(30, "Patient.deceased") == "Y"
        else:
            pid.refuse(30, INVALID_VALUE)


def _animal(ctx: Context, pid: Segment, resource: Json) -> None:
    species = cwe.first_concept(ctx, pid, 35, "Patient.extension")
    if not species:
        return
    parts = [{"url": "species", "valueCodeableConcept": species}]
    if breed := cwe.first_concept(ctx, pid, 36, "Patient.extension"):
        parts.append({"url": "breed", "valueCodeableConcept": breed})
    extend(resource, {"url": EXTENSION + "patient-animal", "extension": parts})
