"""DFT^P03: each field of FT1."""

from decimal import Decimal
from typing import Any

import pytest

from tests.adapters.hl7.fields import dig, header, segment
from tests.adapters.hl7.reading import IDS, PID, mapped, resources

DFT = header("DFT^P03")
ENTERER = "2^En^B^^^^^^H"


def item(*more: str, pid: str = PID, **ft1: str) -> dict[str, Any]:
    """Return the ChargeItem of a FT1 with these fields."""
    said = {"f1": "1", "f2": "T1", "f4": "20260101", "f6": "CG", "f7": "C1^Visit^L", **ft1}
    found = mapped(pid, segment("FT1", **said), *more, header=DFT)
    return resources(found, "ChargeItem")[0]


@pytest.mark.parametrize(
    ("ft1", "path", "expected"),
    [
        ({}, "status", "billable"),
        ({}, "identifier.0", {"system": f"{IDS}/transaction", "value": "T1"}),
        ({}, "occurrenceDateTime", "2026-01-01"),
        ({"f4": "20260101^20260103"}, "occurrencePeriod.end", "2026-01-03"),
        ({"f5": "20260104"}, "enteredDate", "2026-01-04"),
        ({}, "code.coding.0.display", "Visit"),
        ({"f25": "99213^^C4"}, "code.coding.0.system", "http://www.ama-assn.org/go/cpt"),
        ({"f25": "99213^^C4"}, "code.coding.1.code", "C1"),
        ({"f7": ""}, "code", {"text": "unspecified"}),
        ({"f8": "long visit"}, "note", [{"text": "long visit"}]),
        ({"f10": "2"}, "quantity", {"value": Decimal(2)}),
        ({"f10": "two"}, "quantity", None),
        ({"f11": "100.50&USD"}, "priceOverride", {"value": Decimal("100.50"), "currency": "USD"}),
        ({"f11": "100&USD", "f22": "50&INR"}, "priceOverride.currency", "INR"),
        ({"f11": "100&dollars"}, "priceOverride", {"value": Decimal(100)}),
        ({"f19": "E11^^I10"}, "reason.0.coding.0.system", "http://hl7.org/fhir/sid/icd-10"),
        ({"f23": "F1^LIS"}, "supportingInformation.0.identifier.value", "F1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_ft1_field_of_a_charge(ft1: dict[str, str], path: str, expected: Any) -> None:
    assert dig(item(**ft1), path) == expected


@pytest.mark.parametrize("kind", ["CD", "AJ", "PY", "CO", ""])
def test_what_is_no_charge_is_listed(kind: str) -> None:
    found = mapped(PID, segment("FT1", f1="1", f4="20260101", f6=kind, f7="C1"), header=DFT)
    assert resources(found, "ChargeItem") == []
    assert ("FT1[1]-7[1].1.1", "condition_false") in found.unmapped


def test_people_department_and_account_of_a_charge() -> None:
    pid = PID + "|" * 14 + "|ACC1^^^HOSP"
    ft1 = segment(
        "FT1", f1="1", f6="CG", f7="C", f13="D^Ward^L", f20="1^Pe^A^^^^^^H", f21="2^En^B^^^^^^H"
    )
    found = mapped(pid, ft1, header=DFT)
    by_url = {write.full_url: write.resource for write in found.writes}
    (charge,) = resources(found, "ChargeItem")
    assert by_url[charge["performer"][0]["actor"]["reference"]]["name"][0]["family"] == "Pe"
    assert by_url[charge["enterer"]["reference"]]["name"][0]["family"] == "En"
    assert by_url[charge["performingOrganization"]["reference"]]["name"] == "Ward"
    assert by_url[charge["account"][0]["reference"]]["resourceType"] == "Account"


def test_equal_charges_without_a_number_are_two() -> None:
    ft1 = segment("FT1", f1="1", f4="20260101", f6="CG", f7="C1")
    found = mapped(PID, ft1, ft1, header=DFT)
    identities = [w.identity for w in found.writes if w.resource["resourceType"] == "ChargeItem"]
    assert len(set(identities)) == 2


def test_procedures_and_diagnoses_of_a_charge_are_mapped() -> None:
    ft1 = segment("FT1", f1="1", f6="CG", f7="C1")
    found = mapped(PID, ft1, "PR1|1||P^Proc^L", "DG1|1||E11^^I10", header=DFT)
    kinds = {write.resource["resourceType"] for write in found.writes}
    assert kinds == {"Patient", "ChargeItem", "Procedure", "Condition"}
