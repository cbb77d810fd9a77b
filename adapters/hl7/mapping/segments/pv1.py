"""PV1 as Encounter, with the places, the episode and the coverage that it names.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-pv1-to-encounter.html
"""

from dataclasses import dataclass
from typing import Final

from adapters.hl7.mapping import partial
from adapters.hl7.mapping.code_tables import (
    DISCHARGE_DISPOSITION,
    ENCOUNTER_CLASS,
    ENCOUNTER_STATUS,
    EXTENSION,
    HOSPITAL_SERVICE,
    NO_ARRANGEMENT,
    SPECIAL_ARRANGEMENT,
    THO,
)
from adapters.hl7.mapping.context import Context, Json, add, coding, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.segments import practitioner, pv2
from adapters.hl7.mapping.segments.location import discharged_to, location
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.accounting import CONDITION_FALSE
from adapters.hl7.message.tokenizer import Repetition, Segment

# Each kind of participant with its name in the guide: ATND has a display, others a text.
_PARTICIPANTS: Final = (
    (7, "ATND", "attender"),
    (8, "REF", "referrer"),
    (9, "CON", "consultant"),
    (17, "ADM", "admitter"),
    (52, "PART", "Participation"),
)
_LOCATIONS: Final = ((3, "active"), (6, "completed"), (11, "active"), (42, "reserved"))
_ASSIGNED, _TEMPORARY = 3, 11
_VISIT_NUMBER: Final = 19
TEMPORARY: Final[Json] = {
    "url": EXTENSION + "subject-locationClassification",
    "valueCodeableConcept": {
        "coding": [{"system": "http://hl7.org/fhir/ValueSet/subject-location", "code": "temporary"}]
    },
}
_CLEARED: Final = {
    4: ("type",),
    5: ("hospitalization.preAdmissionIdentifier",),
    7: ("participant(type.coding.code=ATND)",),
    8: ("participant(type.coding.code=REF)",),
    9: ("participant(type.coding.code=CON)",),
    10: ("serviceType",),
    11: (f"location(extension.url={TEMPORARY['url']})",),
    13: ("hospitalization.reAdmission",),
    14: ("hospitalization.admitSource",),
    15: ("hospitalization.specialArrangement",),
    16: ("hospitalization.specialCourtesy",),
    17: ("participant(type.coding.code=ADM)",),
    36: ("hospitalization.dischargeDisposition",),
    37: ("hospitalization.destination",),
    38: ("hospitalization.dietPreference",),
    42: ("location(status=reserved)",),
    44: ("period.start",),
    45: ("period.end",),
    52: ("participant(type.coding.code=PART)",),
    54: ("episodeOfCare",),
}


@dataclass(frozen=True, slots=True)
class Visit:
    """What PV1 and PV2 say: the Encounter, and its identity as tokens (none: unnumbered)."""

    resource: Json
    identity: tuple[str, ...]
    cleared: frozenset[str]


def encounter(
    ctx: Context,
    pv1: Segment | None,
    patient: str,
    second: Segment | None = None,
    pid: Segment | None = None,
) -> tuple[str, Json | None]:
    """Return (reference, contained resource) of the visit; `second` is its PV2.

    A visit with a number is a resource of its own, which a result creates and does
    not change. One without is contained in each report, or left out, as the
    profile says; then the reference is "#visit" or "".
    """
    if pv1 is None or len(pv1.fields) <= 2:  # noqa: PLR2004  (the set id alone)
        return "", None
    numbered = any(pv1.valued(number) for number in (19, 50)) or _account(ctx, pid) is not None
    mode = ctx.profile.encounter_without_number
    if not numbered and mode == "skip":
        for segment in filter(None, (pv1, second)):
            for number in range(2, len(segment.fields)):
                segment.refuse(number, "profile_ignored")
        return "", None
    visit = described(ctx, pv1, patient, second, pid)
    if visit.identity:
        return ctx.write("POST", visit.identity, visit.resource), None
    if mode == "create" and (keyed := key(ctx, pv1, patient, visit.resource)):
        return ctx.write("POST", keyed, visit.resource), None
    if "contained" in visit.resource:
        _uncontain(visit.resource)
    # dom-5: what is contained has no security labels.
    if visit.resource.pop("meta", None) and second is not None:
        second.disown(22, CONDITION_FALSE)
    return "#visit", {**visit.resource, "id": "visit"}


def key(ctx: Context, pv1: Segment, patient: str, resource: Json) -> tuple[str, ...]:
    """Return the identity of an unnumbered visit, () without an admission time in PV1-44."""
    start = pv1.peek(44)
    if not start:
        return ()
    made = ctx.key("Encounter", who(ctx, patient), start)
    add(resource, "identifier", ctx.key_identifier(made))
    return (ctx.key_token(made),)


def described(
    ctx: Context,
    pv1: Segment,
    patient: str,
    second: Segment | None = None,
    pid: Segment | None = None,
) -> Visit:
    """Return the Encounter that PV1, PV2 and, as the profile says, PID-18 describe."""
    identifiers = _identifiers(ctx, pv1, pid)
    resource = _encounter(ctx, pv1, second, patient)
    put(resource, "identifier", identifiers)
    cleared = partial.nulls(pv1, _CLEARED) | pv2.cleared(second)
    return Visit(resource, tuple(map(hd.token, identifiers)), cleared)


def _account(ctx: Context, pid: Segment | None) -> Repetition | None:
    """PID-18, where the profile says that it is the visit number."""
    return pid.first(18) if pid is not None and ctx.profile.visit_from_account else None


def _identifiers(ctx: Context, pv1: Segment, pid: Segment | None) -> list[Json]:
    found = []
    path = "Encounter.identifier"
    for number in (_VISIT_NUMBER, 50):
        for rep in pv1.repetitions(number):
            identifier = hd.cx(ctx, rep, path, "visit")
            if identifier is not None:
                if number == _VISIT_NUMBER:
                    identifier["type"] = {**hd.fixed_type("VN"), "text": "visit number"}
                found.append(identifier)
    account = _account(ctx, pid)
    if not found and account and (identifier := hd.cx(ctx, account, path, "account")):
        found.append(identifier)
    return found


def _encounter(ctx: Context, pv1: Segment, second: Segment | None, patient: str) -> Json:
    resource: Json = {"resourceType": "Encounter"}
    _class(pv1, resource)
    resource["subject"] = {"reference": patient}
    if kind := cwe.first_concept(ctx, pv1, 4, "Encounter.type", table="0007"):
        resource["type"] = [kind]
    service = cwe.first_concept(
        ctx, pv1, 10, "Encounter.serviceType", table="0069", translate=HOSPITAL_SERVICE
    )
    put(resource, "serviceType", service)
    for number, code, name in _PARTICIPANTS:
        for rep in pv1.repetitions(number):
            participant(ctx, rep, resource, code, name)
    _hospitalization(ctx, pv1, resource)
    _locations(ctx, pv1, resource)
    period: Json = {}
    for number, member in ((44, "start"), (45, "end")):
        dtm.put_date_time(ctx, period, member, pv1, number, "Encounter.period")
    put(resource, "period", period)
    if second is not None:
        pv2.complete(ctx, second, resource)
    return resource


def participant(ctx: Context, rep: Repetition, encounter: Json, code: str, name: str) -> None:
    """Add a person to the participants of the Encounter."""
    person = practitioner.practitioner(ctx, rep, encounter)
    if person is None:
        return
    system, value = practitioner.participation(code)
    kind: Json = {"coding": [{"system": system, "code": value}]}
    if code == "ATND":
        kind["coding"][0]["display"] = name
    else:
        kind["text"] = name
    add(encounter, "participant", {"type": [kind], "individual": {"reference": person}})


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
    put(found, "specialArrangement", _arrangements(ctx, pv1, path))
    for number, name, table in ((16, "specialCourtesy", "0099"), (38, "dietPreference", "0114")):
        put(found, name, cwe.concepts(ctx, pv1, number, path, table=table))
    disposition = cwe.first_concept(
        ctx, pv1, 36, path, table="0112", translate=DISCHARGE_DISPOSITION
    )
    put(found, "dischargeDisposition", disposition)
    if rep := pv1.first(37):
        put(found, "destination", discharged_to(ctx, rep))
    put(resource, "hospitalization", found)


def _arrangements(ctx: Context, pv1: Segment, path: str) -> list[Json]:
    found = []
    for rep in pv1.repetitions(15):
        if rep.peek() in NO_ARRANGEMENT:
            rep.refuse(1, CONDITION_FALSE)
        elif concept := cwe.concept(ctx, rep, path, table="0009", translate=SPECIAL_ARRANGEMENT):
            found.append(concept)
    return found


def _locations(ctx: Context, pv1: Segment, resource: Json) -> None:
    for number, status in _LOCATIONS:
        rep = pv1.first(number)
        # PV1-40 is the state of a bed or a room, not of a ward.
        is_bed = number == _ASSIGNED and rep is not None and (rep.peek(2) or rep.peek(3))
        where = location(ctx, rep, (pv1, 40) if is_bed else None) if rep is not None else None
        if where is None:
            continue
        planned = number == _ASSIGNED and pv1.peek(2) == "P"
        place: Json = {"location": where, "status": "planned" if planned else status}
        if number == _TEMPORARY:
            place["extension"] = [TEMPORARY]
        add(resource, "location", place)


def episode_of_care(ctx: Context, pv1: Segment, patient: str) -> Json | None:
    """Return a reference to the EpisodeOfCare of PV1-53 and PV1-54, None without either."""
    path = "EpisodeOfCare"
    rep = pv1.first(54)
    identifier = hd.cx(ctx, rep, f"{path}.identifier", "episode") if rep else None
    description = pv1.take(53, f"{path}.extension")
    if not identifier and not description:
        return None
    resource: Json = {"resourceType": path, "status": "active", "patient": {"reference": patient}}
    if description:
        url = EXTENSION + "resource-instance-description"
        resource["extension"] = [{"url": url, "valueString": description}]
    if identifier:
        resource["identifier"] = [identifier]
        return {"reference": ctx.write("POST", (hd.token(identifier),), resource)}
    return {"reference": ctx.put_keyed(ctx.key(path, who(ctx, patient), description), resource)}


def financial_class(ctx: Context, pv1: Segment, patient: str) -> None:
    """Add a Coverage for each financial class of PV1-20, whose payor is not told."""
    path = "Coverage.type"
    for rep in pv1.repetitions(20):
        concept = cwe.component(ctx, rep, 1, path, table="0064")
        if concept is None:
            continue
        period: Json = {}
        put(period, "start", dtm.date_time(ctx, rep, 2, "Coverage.period.start"))
        absent = {"url": EXTENSION + "data-absent-reason", "valueCode": "unknown"}
        resource: Json = {
            "resourceType": "Coverage",
            "status": "active",
            "type": concept,
            "beneficiary": {"reference": patient},
            "payor": [{"extension": [absent]}],
        }
        put(resource, "period", period)
        ctx.put_keyed(ctx.key("Coverage", who(ctx, patient), "PV1-20", rep.peek()), resource)


def _uncontain(resource: Json) -> None:
    """Show contained persons by their names, as contained resources do not nest."""
    people = {f"#{person['id']}": person for person in resource.pop("contained")}
    for participant in resource["participant"]:
        person = people.get(participant["individual"]["reference"])
        if person is not None:
            name = person["name"][0]
            first, last = name.get("prefix", ()), name.get("suffix", ())
            words = (*first, *name.get("given", ()), name.get("family", ""), *last)
            participant["individual"] = {"display": " ".join(word for word in words if word)}
