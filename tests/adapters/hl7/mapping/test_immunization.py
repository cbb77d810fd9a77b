"""VXU^V04: each field of ORC, RXA and RXR."""

from decimal import Decimal
from typing import Any

import pytest

from tests.adapters.hl7.fields import dig, header, segment
from tests.adapters.hl7.reading import IDS, PID, THO, mapped, resources

VXU = header("VXU^V04")


def given(*more: str, orc: str = "ORC|RE|O1^HIS|I1^LIS", **rxa: str) -> dict[str, Any]:
    """Return the Immunization of a RXA with these fields."""
    said = {"f1": "0", "f2": "1", "f3": "20260101", "f5": "08^HepB^CVX", **rxa}
    found = mapped(PID, orc, segment("RXA", **said), *more, header=VXU)
    return resources(found, "Immunization")[0]


def typed(code: str, system: str, value: str) -> dict[str, Any]:
    kind = {"coding": [{"system": f"{THO}/v2-0203", "code": code}]}
    return {"type": kind, "system": f"{IDS}/{system}", "value": value}


@pytest.mark.parametrize(
    ("rxa", "path", "expected"),
    [
        ({}, "identifier.0", typed("PLAC", "HIS", "O1")),
        ({}, "identifier.1", typed("FILL", "LIS", "I1")),
        ({}, "occurrenceDateTime", "2026-01-01"),
        ({"f3": ""}, "_occurrenceDateTime.extension.0.valueCode", "unknown"),
        ({}, "vaccineCode.coding.0.system", "http://hl7.org/fhir/sid/cvx"),
        ({"f5": ""}, "vaccineCode", {"text": "unspecified"}),
        ({"f6": "0.5", "f7": "mL^^UCUM"}, "doseQuantity.code", "mL"),
        ({"f6": "0.50"}, "doseQuantity", {"value": Decimal("0.50")}),
        ({"f6": "999"}, "doseQuantity", None),
        ({"f9": "00^New^NIP001"}, "primarySource", True),
        ({"f9": "01^Historical^NIP001"}, "primarySource", False),
        ({"f9": "01^Historical^NIP001"}, "reportOrigin.coding.0.code", "01"),
        ({"f15": "LOT1"}, "lotNumber", "LOT1"),
        ({"f16": "20270131"}, "expirationDate", "2027-01-31"),
        ({"f18": "00^refused^NIP002", "f20": "RE"}, "statusReason.coding.0.display", "refused"),
        ({"f19": "R^because^L"}, "reasonCode.0.coding.0.display", "because"),
        ({}, "status", "completed"),
        ({"f20": "CP"}, "status", "completed"),
        ({"f20": "PA"}, "status", "completed"),
        ({"f20": "RE"}, "status", "not-done"),
        ({"f20": "NA"}, "status", "not-done"),
        ({"f20": "CP", "f21": "D"}, "status", "entered-in-error"),
        ({"f20": "RE"}, "_status.extension.0.valueCodeableConcept.coding.0.code", "RE"),
        ({"f21": "A", "f22": "20260102"}, "recorded", "2026-01-02"),
        ({"f21": "U", "f22": "20260102"}, "recorded", None),
        ({"f27": "W^1"}, "location.display", "W, 1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_rxa_field_of_an_immunization(rxa: dict[str, str], path: str, expected: Any) -> None:
    assert dig(given(**rxa), path) == expected


@pytest.mark.parametrize(
    ("rxr", "path", "expected"),
    [
        ("RXR|IM^^HL70162", "route.coding.0", {
            "system": f"{THO}/v3-RouteOfAdministration", "code": "IM"}),
        ("RXR|SC", "route.coding.0.code", "SQ"),
        ("RXR|IH", "route.coding.0.code", "IH"),
        ("RXR||LA^Left arm^HL70163", "site.coding.0.display", "Left arm"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_rxr_field_of_an_immunization(rxr: str, path: str, expected: Any) -> None:
    assert dig(given(rxr), path) == expected


def test_orc_tells_when_it_was_recorded_and_how_secret_it_is() -> None:
    orc = segment("ORC", f1="RE", f3="I1", f4="G1^HIS", f9="20260103", f28="R")
    found = given(orc=orc, f21="A", f22="20260102")
    assert found["recorded"] == "2026-01-03"
    assert found["identifier"][1] == typed("PGN", "HIS", "G1")
    assert found["meta"]["security"][0]["code"] == "R"


def test_performers_are_who_ordered_and_who_gave() -> None:
    orc = segment("ORC", f1="RE", f3="I1", f12="1^Or^A^^^^^^H")
    rxa = segment("RXA", f3="20260101", f5="08", f10="2^Gi^B^^^^^^H", f17="MSD^Merck^MVX")
    found = mapped(PID, orc, rxa, header=VXU)
    by_url = {write.full_url: write.resource for write in found.writes}
    (vaccine,) = resources(found, "Immunization")
    functions = [one["function"]["coding"][0] for one in vaccine["performer"]]
    assert functions == [{"system": f"{THO}/v2-0443", "code": code} for code in ("OP", "AP")]
    kinds = [by_url[one["actor"]["reference"]]["resourceType"] for one in vaccine["performer"]]
    assert kinds == ["PractitionerRole", "Practitioner"]
    assert by_url[vaccine["manufacturer"]["reference"]]["name"] == "Merck"


def test_observation_is_part_of_its_immunization() -> None:
    obx = "OBX|1|CE|64994-7^Eligibility^LN|1|V02^x^HL70064||||||F"
    found = mapped(PID, "NTE|1||x", "ORC|RE||I1", "RXA|0|1|20260101||08", obx, header=VXU)
    (vaccine,) = (w for w in found.writes if w.resource["resourceType"] == "Immunization")
    answers = [one for one in resources(found, "Observation") if "partOf" in one]
    assert [one["partOf"] for one in answers] == [[{"reference": vaccine.full_url}]]


def test_refusals_that_share_a_number_are_several() -> None:
    refusals = [segment("RXA", f3="20260101", f5=code, f20="RE") for code in ("08^^CVX", "10^^CVX")]
    groups = [line for rxa in refusals for line in ("ORC|RE||9999^LIS", rxa)]
    found = mapped(PID, *groups, header=VXU)
    writes = [w.identity for w in found.writes if w.resource["resourceType"] == "Immunization"]
    assert len(set(writes)) == 2


def test_same_number_of_another_person_is_another_immunization() -> None:
    rxa = "RXA|0|1|20260101||08^^CVX"
    one, other = (
        next(
            w.identity
            for w in mapped(pid, "ORC|RE||I1", rxa, header=VXU).writes
            if w.resource["resourceType"] == "Immunization"
        )
        for pid in (PID, PID.replace("P1", "P2"))
    )
    assert one != other
