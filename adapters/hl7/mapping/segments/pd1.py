"""PD1 as members of Patient, and its living will as Observation.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-pd1-to-patient.html
"""

from typing import Final

from adapters.hl7.mapping import partial
from adapters.hl7.mapping.code_tables import EXTENSION
from adapters.hl7.mapping.context import Context, Json, add, extend
from adapters.hl7.mapping.datatypes import cwe
from adapters.hl7.mapping.segments import practitioner
from adapters.hl7.message.tokenizer import Segment

LIVING_WILL: Final[Json] = {
    "coding": [
        {"system": "http://loinc.org", "code": "75320-2", "display": "Advance directive"},
    ]
}
_CLEARED: Final = {
    4: ("generalPractitioner",),
    6: (f"extension(url={EXTENSION}patient-disability)",),
    14: (f"extension(url={EXTENSION}patient-congregation)",),
}


def complete(ctx: Context, pd1: Segment, patient: Json) -> None:
    """Add to the Patient what PD1 says."""
    for rep in pd1.repetitions(3):
        if facility := practitioner.organization(ctx, rep):
            add(patient, "generalPractitioner", {"reference": facility})
    for rep in pd1.repetitions(4):
        if person := practitioner.practitioner(ctx, rep, patient):
            add(patient, "generalPractitioner", {"reference": person})
    if handicap := cwe.first_concept(ctx, pd1, 6, "Patient.extension"):
        url = EXTENSION + "patient-disability"
        extend(patient, {"url": url, "valueCodeableConcept": handicap})
    if congregation := pd1.take(14, "Patient.extension"):
        url = EXTENSION + "patient-congregation"
        extend(patient, {"url": url, "valueString": congregation})


def cleared(pd1: Segment | None) -> frozenset[str]:
    """Return the paths of the elements that PD1 deletes."""
    return partial.nulls(pd1, _CLEARED)


def living_will(ctx: Context, pd1: Segment, patient: str, key: str) -> None:
    """Add the Observation of PD1-7, which a later message with this key updates."""
    answer = cwe.first_concept(ctx, pd1, 7, "Observation.valueCodeableConcept", table="0315")
    if not answer:
        return
    resource: Json = {
        "resourceType": "Observation",
        "status": "final",
        "code": LIVING_WILL,
        "subject": {"reference": patient},
        "valueCodeableConcept": answer,
    }
    ctx.put_keyed(key, resource)
