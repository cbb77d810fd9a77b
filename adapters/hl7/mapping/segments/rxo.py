"""ORC, RXO, RXR and TQ1 as MedicationRequest.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-rxo-to-medicationrequest.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-rxr-to-medicationrequest.html
"""

from typing import Final

from adapters.hl7.mapping.code_tables import EXTENSION, PRIORITY
from adapters.hl7.mapping.context import Context, Json, add, extend, put
from adapters.hl7.mapping.datatypes import cwe, dtm, nm
from adapters.hl7.mapping.datatypes.cq import of_fields
from adapters.hl7.mapping.segments import nte, order_status, orderer, route, tq1
from adapters.hl7.mapping.segments.order import UNSPECIFIED, Order, other_numbers
from adapters.hl7.message.accounting import INVALID_VALUE
from adapters.hl7.message.grouping import OrderGroup
from adapters.hl7.message.tokenizer import Segment

# A request for medication is not revoked: it is cancelled before, or stopped after its start.
_STATUS: Final = {"revoked": "cancelled"}
_STOPPED: Final = frozenset(("DC", "DF", "DR", "OD"))
_TIMED: Final = tq1.Elements(
    "MedicationRequest.dosageInstruction.timing",
    "MedicationRequest.dosageInstruction.doseAndRate.doseQuantity",
    "MedicationRequest.dosageInstruction.text",
)
_ENDED: Final = frozenset(("completed", "cancelled", "stopped", "entered-in-error"))
_ORDERED: Final[Json] = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/dose-rate-type",
            "code": "ordered",
        }
    ]
}


def described(ctx: Context, asked: Order, group: OrderGroup, patient: str) -> Json:
    """Return the MedicationRequest of an order with a RXO."""
    rxo = group.named("RXO")[0]
    resource: Json = {"resourceType": "MedicationRequest"}
    put(resource, "identifier", [*asked.placers, *asked.fillers])
    other_numbers(ctx, asked, resource, "groupIdentifier")
    _status(asked, resource)
    resource["intent"] = "original-order"
    _medication(ctx, rxo, resource)
    resource["subject"] = {"reference": patient}
    if asked.orc.peek(1) == "NW":
        dtm.put_date_time(ctx, resource, "authoredOn", asked.orc, 9)
    if person := orderer.requester(ctx, asked.orc, rxo.first(14), resource):
        resource["requester"] = {"reference": person}
    if asked.orc.raw(28):
        orderer.put_security(ctx, asked.orc, 28, resource)
    if reason := cwe.first_concept(
        ctx, asked.orc, 16, "MedicationRequest.statusReason", table="0949"
    ):
        resource["statusReason"] = reason
    put(resource, "reasonCode", cwe.concepts(ctx, rxo, 20, "MedicationRequest.reasonCode"))
    _dosage(ctx, asked, group, rxo, resource)
    _dispense(ctx, rxo, resource)
    notes = nte.annotations(ctx, asked.notes, resource, "MedicationRequest.note")
    put(resource, "note", [*resource.get("note", ()), *notes])
    return resource


def settled(stored: Json, updated: Json) -> Json:
    """Return the update of a stored request; an event does not open again what has ended."""
    if stored.get("status") in _ENDED and updated["status"] not in _ENDED:
        return order_status.kept(stored, updated)
    return updated


def _status(asked: Order, resource: Json) -> None:
    order_status.put_status(asked.orc, asked.obr, resource)
    stopped = asked.orc.peek(1) in _STOPPED or asked.orc.peek(5) == "DC"
    status = resource["status"]
    if status == "revoked":
        resource["status"] = "stopped" if stopped else _STATUS[status]
    if control := asked.orc.take(1, "MedicationRequest.extension"):
        from_table = {"system": "http://terminology.hl7.org/CodeSystem/v2-0119", "code": control}
        value = {"url": "value", "valueCodeableConcept": {"coding": [from_table]}}
        extend(resource, {"url": EXTENSION + "businessEvent", "extension": [value]})


def _medication(ctx: Context, rxo: Segment, resource: Json) -> None:
    """A code, or a contained Medication where form or strength are told too."""
    path = "Medication.code"
    code = cwe.first_concept(ctx, rxo, 1, path) or {"text": UNSPECIFIED}
    form = cwe.first_concept(ctx, rxo, 5, "Medication.form")
    strength = _strength(rxo)
    if not form and not strength:
        resource["medicationCodeableConcept"] = code
        return
    medication: Json = {"resourceType": "Medication", "id": "medication", "code": code}
    put(medication, "form", form)
    if strength:
        ingredient = {"itemCodeableConcept": code, "strength": strength}
        medication["ingredient"] = [ingredient]
    add(resource, "contained", medication)
    resource["medicationReference"] = {"reference": "#medication"}


def _strength(rxo: Segment) -> Json:
    """RXO-18/19 in RXO-25/26; in one unit of the form where no volume is told (rat-1)."""
    path = "Medication.ingredient.strength"
    amount = of_fields(rxo, 18, 19, f"{path}.numerator") if rxo.valued(18) else None
    if amount is None:
        return {}
    volume = of_fields(rxo, 25, 26, f"{path}.denominator") if rxo.valued(25) else None
    return {"numerator": amount, "denominator": volume or {"value": 1}}


def _dosage(ctx: Context, asked: Order, group: OrderGroup, rxo: Segment, resource: Json) -> None:
    dosage: Json = {}
    path = "MedicationRequest.dosageInstruction"
    instructions = cwe.concepts(ctx, rxo, 7, f"{path}.additionalInstruction")
    put(dosage, "additionalInstruction", instructions)
    _timing(ctx, asked, resource, dosage)
    for rxr in group.named("RXR")[:1]:
        route.put_dosage(ctx, rxr, dosage, path)
    if amount := _amount(rxo, f"{path}.doseAndRate"):
        dosage["doseAndRate"] = [{"type": _ORDERED, **amount}]
    put(resource, "dosageInstruction", [dosage] if dosage else None)


def _amount(rxo: Segment, path: str) -> Json:
    """RXO-2 to RXO-3 in the unit of RXO-4: a range, or one dose where 3 is empty."""
    low = of_fields(rxo, 2, 4, f"{path}.dose") if rxo.valued(2) else None
    high = of_fields(rxo, 3, 4, f"{path}.dose") if rxo.valued(3) else None
    if low and high and low["value"] > high["value"]:
        rxo.disown(3, INVALID_VALUE)
        high = None
    if low and high:
        return {"doseRange": {"low": low, "high": high}}
    if low:
        return {"doseQuantity": low}
    return {"doseRange": {"high": high}} if high else {}


def _timing(ctx: Context, asked: Order, resource: Json, dosage: Json) -> None:
    timings = list(asked.timings)
    older = asked.orc.repetitions(7) if asked.orc.raw(7) else []
    if not timings and not older:
        return
    found = tq1.first_timing(ctx, _TIMED, timings, older)
    put(dosage, "timing", found.timing)
    if found.condition and timings:
        text = timings[0].take(10, "MedicationRequest.dosageInstruction.additionalInstruction")
        add(dosage, "additionalInstruction", {"text": text})
    if found.notes:
        dosage["text"] = found.notes[0]["text"]
    if found.quantity:
        dosage.setdefault("doseAndRate", []).append({"doseQuantity": found.quantity})
    if found.priority in PRIORITY:
        resource["priority"] = PRIORITY[found.priority]
    elif found.priority:
        resource["_priority"] = cwe.alternate("0485", found.priority)
    tq1.take_priority(timings, older, used=True, path="MedicationRequest.priority")


def _dispense(ctx: Context, rxo: Segment, resource: Json) -> None:
    path = "MedicationRequest.dispenseRequest"
    found: Json = {}
    if rxo.valued(11):
        put(found, "quantity", of_fields(rxo, 11, 12, f"{path}.quantity"))
    repeats = rxo.peek(13)
    if repeats == "0" or nm.whole(repeats) is not None:
        found["numberOfRepeatsAllowed"] = int(repeats)
        rxo.take(13, f"{path}.numberOfRepeatsAllowed")
    elif repeats:
        rxo.refuse(13, INVALID_VALUE)
    put(resource, "dispenseRequest", found)
    substitution = cwe.first_concept(
        ctx, rxo, 9, "MedicationRequest.substitution.allowed", table="0161"
    )
    if substitution:
        resource["substitution"] = {"allowedCodeableConcept": substitution}
