"""ROL and PRT as general practitioner of a Patient, or participant of an Encounter.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-rol-to-patient.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-rol-to-practitionerrole.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-prt-to-practitionerrole.html
"""

from dataclasses import dataclass
from typing import Final

from adapters.hl7.mapping.code_tables import PARTICIPANT, PRIMARY_CARE
from adapters.hl7.mapping.context import Context, Json, add, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.datatypes.xtn import xtn
from adapters.hl7.mapping.segments import practitioner
from adapters.hl7.mapping.segments.location import location
from adapters.hl7.message.tokenizer import Segment


@dataclass(frozen=True, slots=True)
class _Layout:
    """The numbers of the fields that ROL and PRT have in common."""

    role: int
    person: int
    begin: int
    end: int
    telecom: int
    location: int
    organization: int
    table: str


_LAYOUTS: Final = {
    "ROL": _Layout(3, 4, 5, 6, 12, 13, 14, "0443"),
    "PRT": _Layout(4, 5, 11, 12, 15, 9, 8, "0912"),
}


def is_primary_care(segment: Segment) -> bool:
    """Whether the segment names who cares for the person in general."""
    return segment.peek(_LAYOUTS[segment.name].role) in PRIMARY_CARE


def general_practitioner(ctx: Context, segment: Segment, patient: Json) -> None:
    """Add the PractitionerRole of a primary care provider to the Patient."""
    layout = _LAYOUTS[segment.name]
    period = _period(ctx, segment, layout, "PractitionerRole.period")
    for reference in _roles(ctx, segment, layout, patient, period):
        add(patient, "generalPractitioner", {"reference": reference})


def participant(ctx: Context, segment: Segment, encounter: Json) -> None:
    """Add the PractitionerRole to the participants of the Encounter."""
    layout = _LAYOUTS[segment.name]
    kind = cwe.first_concept(
        ctx,
        segment,
        layout.role,
        "Encounter.participant.type",
        table=layout.table,
        translate=PARTICIPANT,
    )
    period = _period(ctx, segment, layout, "Encounter.participant.period")
    for reference in _roles(ctx, segment, layout, encounter, {}):
        found: Json = {"type": [kind]} if kind else {}
        put(found, "period", period)
        found["individual"] = {"reference": reference}
        add(encounter, "participant", found)


def _period(ctx: Context, segment: Segment, layout: _Layout, path: str) -> Json:
    period: Json = {}
    for number, name in ((layout.begin, "start"), (layout.end, "end")):
        if rep := segment.first(number):
            put(period, name, dtm.date_time(ctx, rep, 1, f"{path}.{name}"))
    return period


def _roles(
    ctx: Context, segment: Segment, layout: _Layout, holder: Json, period: Json
) -> list[str]:
    """Return references to the PractitionerRoles; who has no number stands for himself."""
    path = "PractitionerRole"
    people = [
        person
        for rep in segment.repetitions(layout.person)
        if (person := practitioner.practitioner(ctx, rep, holder))
    ]
    numbered = [person for person in people if not person.startswith("#")]
    if not numbered:
        return people
    known: Json = {"resourceType": path}
    put(known, "period", period)
    put(known, "code", _codes(ctx, segment, layout))
    rep = segment.first(layout.organization)
    organization = practitioner.organization(ctx, rep) if rep else None
    put(known, "organization", {"reference": organization} if organization else None)
    places = [
        place for rep in segment.repetitions(layout.location) if (place := location(ctx, rep))
    ]
    put(known, "location", places)
    points = [
        point
        for rep in segment.repetitions(layout.telecom)
        if (point := xtn(ctx, rep, f"{path}.telecom"))
    ]
    put(known, "telecom", points)
    found = [person for person in people if person.startswith("#")]
    number = segment.first(1) if segment.name == "ROL" else None
    instance = hd.ei(ctx, number, f"{path}.identifier", "role") if number else None
    for person in numbered:
        role = {**known, "practitioner": {"reference": person}}
        if instance:
            role["identifier"] = [instance]
        key = ctx.key(path, segment.name, person, segment.peek(layout.role), organization or "")
        found.append(ctx.put_keyed(key, role))
    return found


def _codes(ctx: Context, segment: Segment, layout: _Layout) -> list[Json]:
    path = "PractitionerRole.code"
    code = cwe.first_concept(
        ctx, segment, layout.role, path, table=layout.table, translate=PARTICIPANT
    )
    return [code] if code else []
