"""ORM: each field of RXO and RXR, and the status of a request for medication."""

from decimal import Decimal
from typing import Any

import pytest

from adapters.hl7.mapping.segments import rxo
from tests.adapters.hl7.fields import dig, header, segment
from tests.adapters.hl7.reading import PID, THO, mapped, resources

ORM = header("ORM^O01")
PERSON = "9^Doc^Cy^^^Dr^^^HOSP"


def medication(*segments: str) -> dict[str, Any]:
    """Return the one MedicationRequest that a message becomes."""
    (found,) = resources(mapped(PID, *segments, header=ORM), "MedicationRequest")
    return found


@pytest.mark.parametrize(
    ("rxo_fields", "path", "expected"),
    [
        ({}, "medicationCodeableConcept.coding.0.display", "Aspirin"),
        ({"f1": ""}, "medicationCodeableConcept", {"text": "unspecified"}),
        ({"f2": "1", "f4": "TAB^tablet"}, "dosageInstruction.0.doseAndRate.0.doseQuantity", {
            "value": Decimal(1), "unit": "tablet"}),
        ({"f2": "1", "f3": "2"}, "dosageInstruction.0.doseAndRate.0.doseRange", {
            "low": {"value": Decimal(1)}, "high": {"value": Decimal(2)}}),
        ({"f5": "PILL^pill^L"}, "contained.0.form.coding.0.code", "PILL"),
        ({"f5": "PILL"}, "medicationReference.reference", "#medication"),
        ({"f7": "T^Take slowly^L"},
         "dosageInstruction.0.additionalInstruction.0.coding.0.display", "Take slowly"),
        ({"f9": "G"}, "substitution.allowedCodeableConcept.coding.0.code", "G"),
        ({"f11": "30", "f12": "TAB"}, "dispenseRequest.quantity.unit", "TAB"),
        ({"f13": "2"}, "dispenseRequest.numberOfRepeatsAllowed", 2),
        ({"f13": "0"}, "dispenseRequest.numberOfRepeatsAllowed", 0),
        ({"f18": "500", "f19": "mg^^UCUM"},
         "contained.0.ingredient.0.strength.numerator.code", "mg"),
        ({"f18": "500", "f25": "5", "f26": "mL^^UCUM"},
         "contained.0.ingredient.0.strength.denominator.code", "mL"),
        ({"f20": "H^Headache^L"}, "reasonCode.0.coding.0.display", "Headache"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_rxo_field_of_a_medication_request(
    rxo_fields: dict[str, str], path: str, expected: Any
) -> None:
    segments = ("ORC|NW|O1", segment("RXO", **{"f1": "ASP^Aspirin^L", **rxo_fields}))
    assert dig(medication(*segments), path) == expected


@pytest.mark.parametrize(
    ("rxr", "path", "expected"),
    [
        ("RXR|PO", "route.coding.0", {"system": f"{THO}/v3-RouteOfAdministration", "code": "PO"}),
        ("RXR||ARM", "site.coding.0.code", "ARM"),
        ("RXR||||M^mix^L", "method.coding.0.code", "M"),
        ("RXR|||||I^instr^L", "additionalInstruction.0.coding.0.code", "I"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_rxr_field_of_a_dosage(rxr: str, path: str, expected: Any) -> None:
    found = medication("ORC|NW|O1", "RXO|ASP", rxr)
    assert dig(found, f"dosageInstruction.0.{path}") == expected


def test_timing_and_condition_of_a_medication_are_its_dosage() -> None:
    found = medication(
        "ORC|NW|O1^HIS|||||||||" + PERSON,
        "TQ1|1||BID||||||S|if in pain|twice a day",
        "RXO|ASP",
        "NTE|1||note",
    )
    (dosage,) = found["dosageInstruction"]
    assert dosage["timing"]["code"]["coding"][0]["code"] == "BID"
    assert dosage["additionalInstruction"] == [{"text": "if in pain"}]
    assert dosage["text"] == "twice a day"
    assert (found["priority"], found["intent"]) == ("stat", "original-order")
    assert found["note"] == [{"text": "note"}]


@pytest.mark.parametrize(
    ("control", "status"),
    [("NW", "active"), ("CR", "cancelled"), ("OC", "cancelled"), ("DC", "stopped"),
     ("OH", "on-hold"), ("CN", "completed"), ("SS", "unknown")],
)  # fmt: skip
def test_status_of_a_medication_request(control: str, status: str) -> None:
    found = medication(f"ORC|{control}|O1", "RXO|ASP")
    assert found["status"] == status


def test_medication_that_was_stopped_is_not_started_by_a_notice() -> None:
    assert rxo.settled({"status": "stopped"}, {"status": "active"}) == {"status": "stopped"}
