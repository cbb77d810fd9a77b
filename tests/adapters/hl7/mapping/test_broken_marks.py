"""Values and units in which a delimiter stands for itself, and documents without an encoding."""

import base64
from decimal import Decimal
from typing import Any

import pytest

from tests.adapters.hl7.reading import PID, mapped, observation, resources

UCUM = "http://unitsofmeasure.org"


@pytest.mark.parametrize(
    ("sent", "unit"),
    [
        ("10^3/uL", {"unit": "10^3/uL", "system": UCUM, "code": "10*3/uL"}),
        ("x10^9/L", {"unit": "x10^9/L", "system": UCUM, "code": "10*9/L"}),
        ("10^3/uL^UCUM", {"unit": "10^3/uL", "system": UCUM, "code": "10^3/uL"}),
        ("kg/m^2", {"unit": "kg/m^2", "system": UCUM, "code": "kg/m2"}),
        (
            "mL/min/1.73m^2",
            {"unit": "mL/min/1.73m^2", "system": UCUM, "code": "mL/min/{1.73_m2}"},
        ),
        ("10*3/uL^10^3 per uL^UCUM", {"unit": "10^3 per uL", "system": UCUM, "code": "10*3/uL"}),
        ("mg/dL^milligrams^UCUM", {"unit": "milligrams", "system": UCUM, "code": "mg/dL"}),
    ],
)  # fmt: skip
def test_power_in_a_unit_is_no_component(sent: str, unit: dict[str, Any]) -> None:
    found = observation(f"OBX|1|NM|WBC||4.0|{sent}|||||F")
    assert found["valueQuantity"] == {"value": Decimal("4.0"), **unit}


def test_question_for_a_code_names_the_whole_unit() -> None:
    (asked,) = mapped(PID, "OBR|1||F1", "OBX|1|NM|WBC||4|10^3/uL|||||F").untranslated
    assert (asked.code, asked.unit) == ("WBC", "10^3/uL")


def test_base64_of_a_known_file_is_decoded_without_an_encoding() -> None:
    content = b"%PDF-1.4 of a laboratory"
    data = base64.b64encode(content).decode()
    for sent, size in ((data, len(content)), ("plain words", 11)):
        found = observation(f"OBX|1|ED|REP||^AP^PDF^^{sent}||||||F")
        (held,) = found["extension"]
        assert held["valueAttachment"]["size"] == size


def test_decimal_comma_is_one_in_values_and_ranges() -> None:
    def read(row: str) -> dict[str, Any]:
        return observation(row, decimal_comma=True)

    found = read("OBX|1|NM|K||5,40|mmol/L|3,5-5,1||||F")
    assert found["valueQuantity"]["value"] == Decimal("5.40")
    (limits,) = found["referenceRange"]
    assert (limits["low"]["value"], limits["high"]["value"]) == (Decimal("3.5"), Decimal("5.1"))
    assert limits["text"] == "3,5-5,1"
    assert found["interpretation"][0]["coding"][0]["code"] == "H"
    assert read("OBX|1|SN|K||<^0,5|mmol/L|||||F")["valueQuantity"]["value"] == Decimal("0.5")
    assert read("OBX|1|NR|K||0,5^1,5|mmol/L|||||F")["valueRange"]["high"]["value"] == Decimal("1.5")


def test_pieces_that_are_numbered_are_one_document_and_a_second_file_is_another() -> None:
    pieces = [base64.b64encode(f"%PDF-1.4 file {n}".encode()).decode() for n in (1, 2)]
    sent = [piece[at : at + 7] for piece in pieces for at in range(0, len(piece), 7)]
    rows = [f"OBX|{n}|ED|PDF||^AP^PDF^Base64^{part}||||||F" for n, part in enumerate(sent, 1)]
    numbered = [row.replace("|PDF||", f"|PDF|{n}|") for n, row in enumerate(rows, 1)]
    # A piece of seven characters is too short to tell a file by.
    sent_whole = [f"OBX|{n}|ED|PDF|{n}|^AP^PDF^Base64^{p}||||||F" for n, p in enumerate(pieces, 1)]
    assert len(mapped(PID, "OBR|1||F1", *sent_whole, ed_join=True).binaries) == 2
    (whole,) = mapped(PID, "OBR|1||F1", *numbered[: len(numbered) // 2], ed_join=True).binaries
    assert whole.resource["data"] == pieces[0]


def test_part_of_a_sub_id_is_of_the_coded_result() -> None:
    found = mapped(
        PID,
        "OBR|1||F1",
        "OBX|1|ST|STAIN|1|rods||||||F",
        "OBX|2|CE|ORG|1|ECOLI||||||F",
        "OBX|3|NM|AMP|1.1|8|ug/mL||R|||F",
        subid_grouping="prefix",
    )
    stain, organism, _ = resources(found, "Observation")
    assert "hasMember" not in stain
    assert len(organism["hasMember"]) == 1
