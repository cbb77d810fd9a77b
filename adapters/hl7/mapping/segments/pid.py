"""PID as Patient.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-pid-to-patient.html
"""

import re
from typing import Final

from adapters.hl7.mapping.code_tables import EXTENSION, GENDER, MARITAL_STATUS, RELIGION
from adapters.hl7.mapping.context import Context, Json, Refusal, add, extend, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd, nm
from adapters.hl7.mapping.datatypes.xad import xad
from adapters.hl7.mapping.datatypes.xpn import xpn
from adapters.hl7.mapping.datatypes.xtn import xtn
from adapters.hl7.message.accounting import INVALID_VALUE
from adapters.hl7.message.tokenizer import Segment

# Numbers of a stay or an account do not identify a person (table 0203).
_NOT_A_PERSON: Final = frozenset(("AN", "VN", "ANON", "VS"))
_DATE_DIGITS = 8
_TAGS: Final = "urn:ietf:bcp:47"
_TAG: Final = re.compile(r"[A-Za-z]{2,3}\Z")


def patient(ctx: Context, pid: Segment | None) -> str:
    """Return a reference to the Patient; raises Refusal without an identification.

    A result does not change what is stored of a person: the Patient is created
    where none has any of its identifiers.
    """
    if pid is None:
        raise Refusal("NO_PATIENT_ID", "The message names no patient", "PID", code="100")
    resource: Json = {"resourceType": "Patient"}
    identity = _identify(ctx, pid, resource)
    if not identity:
        raise Refusal("NO_PATIENT_ID", "The patient has no identifier", "PID-3", code="101")
    _names(ctx, pid, resource)
    _birth(ctx, pid, resource)
    _demographics(ctx, pid, resource)
    _contact(ctx, pid, resource)
    _death(ctx, pid, resource)
    _animal(ctx, pid, resource)
    return ctx.write("POST", identity, resource)


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
    for number, code in ((19, "SB"), (20, "DL")):
        if value := pid.take(number, path):
            system = hd.system_of(ctx, f"PID-{number}", "", "", "")
            identifier = {"type": hd.fixed_type(code), "system": system, "value": value}
            add(resource, "identifier", identifier)
    return tuple(dict.fromkeys(trusted))


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


def _tagged(language: Json) -> Json:
    """Return the language with its tag, or as a text alone: FHIR takes no codes without one.

    The codes of table 0296 that are in use are those of ISO 639, which are tags.
    """
    codings = language.get("coding", [])
    tags = [one["code"] for one in codings if _TAG.match(one.get("code", ""))]
    if tags:
        return {**language, "coding": [{"system": _TAGS, "code": tags[0].lower()}, *codings]}
    told = (one.get("display") or one.get("code") for one in codings)
    said = language.get("text") or next(filter(None, told), None)
    return {"text": said} if said else language


def _demographics(ctx: Context, pid: Segment, resource: Json) -> None:
    if code := pid.take(8, "Patient.gender"):
        resource["gender"] = GENDER.get(code, "unknown")
        if code not in GENDER and code != "U":
            resource["_gender"] = cwe.alternate("0001", code)
    if language := cwe.first_concept(ctx, pid, 15, "Patient.communication", table="0296"):
        resource["communication"] = [{"language": _tagged(language)}]
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


def _contact(ctx: Context, pid: Segment, resource: Json) -> None:
    addresses = [a for rep in pid.repetitions(11) if (a := xad(ctx, rep, "Patient.address"))]
    if county := pid.take(12, "Patient.address.district"):
        if len(addresses) == 1 and "district" not in addresses[0]:
            addresses[0]["district"] = county
        else:
            addresses.append({"district": county})
    put(resource, "address", addresses)
    work = pid.first(14)
    work_use = "work" if work is None or not work.raw(2) else ""
    for number, use in ((13, "home"), (14, work_use), (40, "")):
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
