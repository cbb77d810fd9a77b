"""Local codes and units translated by what is agreed with a sender."""

from typing import Any

import pytest

from adapters.hl7.mapping.context import Untranslated
from adapters.hl7.mapping.sender_rules import Dictionary, Translation
from tests.adapters.hl7.reading import CODES, PID, mapped, resources

LOINC = "http://loinc.org"
GLUCOSE = Translation(LOINC, "2345-7", "Glucose")
OBR = "OBR|1||F1|58410-2^CBC^LN"
OBX = "OBX|1|NM|GLU^Sugar||5.1|mmol/L|||||F"
KNOWN = Dictionary(fields={"OBX-3": {(f"{CODES}/OBX-3", "GLU"): (GLUCOSE,)}})


def observed(obx: str, dictionary: Dictionary) -> tuple[dict[str, Any], tuple[Untranslated, ...]]:
    found = mapped(PID, OBR, obx, dictionary=dictionary)
    return resources(found, "Observation")[0], found.untranslated


def test_translated_coding_is_first_and_the_original_stays() -> None:
    seen, asked = observed(OBX, KNOWN)
    assert seen["code"] == {
        "coding": [
            {"system": LOINC, "code": "2345-7", "display": "Glucose"},
            {"system": f"{CODES}/OBX-3", "code": "GLU", "display": "Sugar"},
        ]
    }
    assert asked == ()


def test_code_of_a_file_is_of_any_local_system() -> None:
    anywhere = Dictionary(fields={"OBX-3": {("", "GLU"): (GLUCOSE,)}})
    seen, _ = observed(OBX.replace("GLU^Sugar", "GLU^Sugar^99LAB"), anywhere)
    systems = [one["system"] for one in seen["code"]["coding"]]
    assert systems == [LOINC, f"{CODES}/99LAB"]


def test_code_of_another_sender_is_not_translated() -> None:
    other = Dictionary(
        fields={"OBX-3": {("http://h/fhir/hl7/OTHER/codes/OBX-3", "GLU"): (GLUCOSE,)}}
    )
    seen, asked = observed(OBX, other)
    assert len(seen["code"]["coding"]) == 1
    assert asked == (Untranslated("OBX-3", f"{CODES}/OBX-3", "GLU", "Sugar", "mmol/L"),)


@pytest.mark.parametrize("code", ["1^x^LN", "GLU^Sugar^L^2345-7^Glucose^LN", "1^x^SCT"])
def test_concept_with_a_coding_of_others_is_left_as_it_is(code: str) -> None:
    plain, _ = observed(OBX.replace("GLU^Sugar", code), Dictionary())
    seen, asked = observed(OBX.replace("GLU^Sugar", code), KNOWN)
    assert (seen["code"], asked) == (plain["code"], ())


def test_settled_that_nothing_is_meant_is_not_asked_for() -> None:
    settled = Dictionary(fields={"OBX-3": {(f"{CODES}/OBX-3", "GLU"): ()}})
    seen, asked = observed(OBX, settled)
    assert (len(seen["code"]["coding"]), asked) == (1, ())


def test_fields_that_are_not_asked_for_are_quiet() -> None:
    assert observed(OBX, Dictionary(asked=frozenset()))[1] == ()


def test_order_specimen_and_coded_value_are_asked_for_once_each() -> None:
    segments = (
        "OBR|1||F1|P9^Panel",
        "OBX|1|CE|1-1^x^LN||POS^Positive||||||F",
        "SPM|1|S1||BL7^Blood",
    )
    found = mapped(PID, *segments)
    assert [(one.field, one.code) for one in found.untranslated] == [
        ("OBR-4", "P9"),
        ("SPM-4", "BL7"),
        ("OBX-5", "POS"),
    ]


def test_unit_of_the_sender_gets_the_agreed_code_and_stays_as_sent() -> None:
    agreed = Dictionary(unit_codes={"blips": "mmol/L"})
    seen, asked = observed("OBX|1|NM|1-1^x^LN||5.1|blips|||||F", agreed)
    assert seen["valueQuantity"]["unit"] == "blips"
    assert seen["valueQuantity"]["code"] == "mmol/L"
    assert asked == ()


def test_unknown_unit_is_asked_for() -> None:
    seen, asked = observed("OBX|1|NM|1-1^x^LN||5.1|blips|||||F", Dictionary())
    assert (seen["valueQuantity"]["unit"], "code" in seen["valueQuantity"]) == ("blips", False)
    assert asked == (Untranslated("OBX-6", f"{CODES}/OBX-6", "blips"),)


@pytest.mark.parametrize(("code", "unit"), [("GLU", "mmol/L"), ("^^^GLU", "mmol/L"), ("NA", None)])
def test_test_without_unit_has_the_one_that_is_agreed(code: str, unit: str | None) -> None:
    agreed = Dictionary(unit_defaults={"GLU": "mmol/L"})
    seen, _ = observed(f"OBX|1|NM|{code}||5.1||||||F", agreed)
    assert seen["valueQuantity"].get("unit") == unit
    assert seen["valueQuantity"].get("code") == unit


def test_unit_that_is_sent_wins_over_the_agreed_one() -> None:
    seen, _ = observed(OBX, Dictionary(unit_defaults={"GLU": "mg/dL"}))
    assert seen["valueQuantity"]["unit"] == "mmol/L"
