"""PV2 as members of Encounter.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-pv2-to-encounter.html
"""

from typing import Final

from adapters.hl7.mapping import partial
from adapters.hl7.mapping.code_tables import ENCOUNTER_PRIORITY, EXTENSION, EXTENSION_R5, THO
from adapters.hl7.mapping.context import Context, Json, add, coding, extend, put
from adapters.hl7.mapping.datatypes import cwe, dtm, nm
from adapters.hl7.mapping.segments import practitioner
from adapters.hl7.mapping.segments.location import location
from adapters.hl7.message.accounting import INVALID_VALUE
from adapters.hl7.message.tokenizer import Segment

_PLANNED: Final = (
    (8, EXTENSION_R5 + "Encounter.plannedStartDate"),
    (9, EXTENSION_R5 + "Encounter.plannedEndDate"),
)
_ARRIVAL: Final = EXTENSION + "encounter-modeOfArrival"
_YES_NO: Final = frozenset("YN")
_CLEARED: Final = {
    1: ("location(status=planned)",),
    3: ("reasonCode",),
    **{number: (f"extension(url={url})",) for number, url in _PLANNED},
    11: ("length",),
    22: (f"meta.security(system={THO}v2-0136)",),
    25: ("priority",),
    38: (f"extension(url={_ARRIVAL})",),
}


def cleared(pv2: Segment | None) -> frozenset[str]:
    """Return the paths of the elements that PV2 deletes."""
    return partial.nulls(pv2, _CLEARED)


def complete(ctx: Context, pv2: Segment, encounter: Json) -> None:
    """Add to the Encounter what PV2 says."""
    place = pv2.first(1)
    if place and (where := location(ctx, place)):
        add(encounter, "location", {"location": where, "status": "planned"})
    _reasons(ctx, pv2, encounter)
    for number, url in _PLANNED:
        when = pv2.first(number)
        if when and (moment := dtm.date_time(ctx, when, 1, "Encounter.extension")):
            extend(encounter, {"url": url, "valueDateTime": moment})
    _length(pv2, encounter)
    for rep in pv2.repetitions(13):
        if person := practitioner.practitioner(ctx, rep, encounter):
            system, code = practitioner.participation("REF")
            kind = {"coding": [{"system": system, "code": code}], "text": "referrer"}
            add(encounter, "participant", {"type": [kind], "individual": {"reference": person}})
    if pv2.peek(22) in _YES_NO:
        label = coding(THO + "v2-0136", pv2.take(22, "Encounter.meta.security"))
        encounter["meta"] = {"security": [label]}
    priority = cwe.first_concept(
        ctx, pv2, 25, "Encounter.priority", table="0217", translate=ENCOUNTER_PRIORITY
    )
    put(encounter, "priority", priority)
    arrival = cwe.first_concept(ctx, pv2, 38, "Encounter.extension", table="0430")
    if arrival and "coding" in arrival:
        extend(encounter, {"url": _ARRIVAL, "valueCoding": arrival["coding"][0]})


def _reasons(ctx: Context, pv2: Segment, encounter: Json) -> None:
    put(encounter, "reasonCode", cwe.concepts(ctx, pv2, 3, "Encounter.reasonCode"))
    description = pv2.take(12, "Encounter.reasonCode.text")
    if not description:
        return
    reasons = encounter.setdefault("reasonCode", [])
    if reasons and "text" not in reasons[0]:
        # The concept is remembered for equal fields: it is not to be changed.
        reasons[0] = {**reasons[0], "text": description}
    else:
        reasons.append({"text": description})


def _length(pv2: Segment, encounter: Json) -> None:
    text = pv2.peek(11)
    if not text:
        return
    days = nm.number(text)
    if days is None or days.comparator:
        pv2.refuse(11, INVALID_VALUE)
        return
    pv2.take(11, "Encounter.length")
    encounter["length"] = {
        "value": days.value,
        "unit": "d",
        "system": "http://unitsofmeasure.org",
        "code": "d",
    }
