"""PV1 as Encounter.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-pv1-to-encounter.html
"""

from typing import Final

from adapters.hl7.mapping.code_tables import ENCOUNTER_CLASS, ENCOUNTER_STATUS, THO
from adapters.hl7.mapping.context import Context, Json, add, coding, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.segments import practitioner
from adapters.hl7.message.tokenizer import Repetition, Segment

_PARTICIPANTS: Final = ((7, "ATND"), (8, "REF"), (9, "CON"), (17, "ADM"), (52, "PART"))
_LOCATIONS: Final = ((3, "active"), (6, "completed"), (11, "active"), (42, "reserved"))
_LOCATION_PARTS: Final = (9, 4, 7, 8, 1, 2, 3)


def encounter(ctx: Context, pv1: Segment | None, patient: str) -> tuple[str, Json | None]:
    """Return (reference, contained resource) of the visit.

    A visit with a number is a resource of its own, which a result creates and does
    not change. One without is contained in each report, or left out, as the
    profile says; then the reference is "#visit" or "".
    """
    if pv1 is None or len(pv1.fields) <= 2:  # noqa: PLR2004  (the set id alone)
        return "", None
    identifiers = _identifiers(ctx, pv1)
    mode = ctx.profile.encounter_without_number
    if not identifiers and mode == "skip":
        for number in range(2, len(pv1.fields)):
            pv1.refuse(number, "profile_ignored")
        return "", None
    resource = _encounter(ctx, pv1, patient)
    if identifiers:
        resource["identifier"] = identifiers
        return ctx.write("POST", tuple(map(hd.token, identifiers)), resource), None
    if mode == "create" and (start := pv1.peek(44)):
        key = ctx.key("Encounter", patient, start)
        resource["identifier"] = [ctx.key_identifier(key)]
        return ctx.write("POST", (ctx.key_token(key),), resource), None
    return "#visit", {**resource, "id": "visit"}


def _identifiers(ctx: Context, pv1: Segment) -> list[Json]:
    found = []
    for number in (19, 50):
        for rep in pv1.repetitions(number):
            identifier = hd.cx(ctx, rep, "Encounter.identifier", "visit")
            if identifier is not None:
                if number == 19:  # noqa: PLR2004  (PV1-19)
                    identifier["type"] = {**hd.fixed_type("VN"), "text": "visit number"}
                found.append(identifier)
    return found


def _encounter(ctx: Context, pv1: Segment, patient: str) -> Json:
    resource: Json = {"resourceType": "Encounter"}
    _class(pv1, resource)
    resource["subject"] = {"reference": patient}
    for number, name in ((4, "type"), (10, "serviceType")):
        concept = cwe.first_concept(
            ctx, pv1, number, f"Encounter.{name}", table="0007" if name == "type" else "0069"
        )
        if concept:
            resource[name] = [concept] if name == "type" else concept
    for number, code in _PARTICIPANTS:
        system, value = practitioner.participation(code)
        for rep in pv1.repetitions(number):
            if person := practitioner.practitioner(ctx, rep, resource):
                kind = [{"coding": [{"system": system, "code": value}]}]
                add(resource, "participant", {"type": kind, "individual": {"reference": person}})
    _hospitalization(ctx, pv1, resource)
    _locations(pv1, resource)
    period: Json = {}
    for number, name in ((44, "start"), (45, "end")):
        dtm.put_date_time(ctx, period, name, pv1, number)
    put(resource, "period", period)
    # A person without a number cannot be contained in what may itself be contained.
    if "contained" in resource:
        _uncontain(resource)
    return resource


def _class(pv1: Segment, resource: Json) -> None:
    code = pv1.take(2, "Encounter.class")
    resource["status"] = ENCOUNTER_STATUS.get(code, "in-progress" if code else "unknown")
    if pv1.valued(45):
        resource["status"] = "finished"
    if code in ENCOUNTER_CLASS:
        system, mapped = ENCOUNTER_CLASS[code]
        resource["class"] = {"system": system, "code": mapped}
    elif code:
        resource["class"] = coding(THO + "v2-0004", code)
    else:
        resource["class"] = {"system": THO + "v3-NullFlavor", "code": "UNK"}


def _hospitalization(ctx: Context, pv1: Segment, resource: Json) -> None:
    found: Json = {}
    path = "Encounter.hospitalization"
    pre_admit = pv1.first(5)
    if pre_admit is not None:
        put(found, "preAdmissionIdentifier", hd.cx(ctx, pre_admit, path, "preadmit"))
    for number, name, table in ((13, "reAdmission", "0092"), (14, "admitSource", "0023")):
        put(found, name, cwe.first_concept(ctx, pv1, number, path, table=table))
    wheel = {"A2": (THO + "encounter-special-arrangements", "wheel")}
    for number, name, table in (
        (15, "specialArrangement", "0009"),
        (16, "specialCourtesy", "0099"),
        (38, "dietPreference", "0114"),
    ):
        translate = wheel if name == "specialArrangement" else None
        put(found, name, cwe.concepts(ctx, pv1, number, path, table=table, translate=translate))
    put(found, "dischargeDisposition", cwe.first_concept(ctx, pv1, 36, path, table="0112"))
    put(resource, "hospitalization", found)


def _locations(pv1: Segment, resource: Json) -> None:
    """A location is named, not yet a resource: results do not maintain locations."""
    for number, status in _LOCATIONS:
        rep = pv1.first(number)
        text = _display(rep) if rep is not None else ""
        if text:
            planned = number == 3 and pv1.peek(2) == "P"  # noqa: PLR2004  (PV1-3)
            place = {"location": {"display": text}, "status": "planned" if planned else status}
            add(resource, "location", place)


def _display(rep: Repetition) -> str:
    parts = [rep.take(part, "Encounter.location.location.display") for part in _LOCATION_PARTS]
    return ", ".join(part for part in parts if part)


def _uncontain(resource: Json) -> None:
    """Show contained persons by their names, as contained resources do not nest."""
    people = {f"#{person['id']}": person for person in resource.pop("contained")}
    for participant in resource["participant"]:
        person = people.get(participant["individual"]["reference"])
        if person is not None:
            name = person["name"][0]
            words = (*name.get("prefix", ()), *name.get("given", ()), name.get("family", ""))
            participant["individual"] = {"display": " ".join(word for word in words if word)}
