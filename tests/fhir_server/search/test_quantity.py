from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest

from fhir_server.errors import BadRequest

from .matching import Json, finds, query

UCUM = "http://unitsofmeasure.org"


def observed(value: Any, code: str | None = "mg", **more: str) -> Json:
    quantity = {"value": value, **more}
    if code is not None:
        quantity |= {"system": UCUM, "code": code, "unit": code}
    return {"resourceType": "Observation", "valueQuantity": quantity}


def asked(text: str) -> str:
    return f"value-quantity={quote(text, safe='|')}"


@pytest.mark.parametrize(
    ("text", "stored", "expected"),
    [
        ("5.4", observed(Decimal("5.40")), True),
        ("5.4", observed(Decimal("5.44"), "g"), True),
        ("5.4", observed(Decimal("5.46")), False),
        (f"5.4|{UCUM}|mg", observed(Decimal("5.4")), True),
        (f"5.4|{UCUM}|mg", observed(Decimal("0.0054"), "g"), True),
        (f"5.4|{UCUM}|mg", observed(Decimal("5.4"), "g"), False),
        (f"5.4|{UCUM}|mg", observed(Decimal("5.4"), "mm"), False),
        (f"5.4|{UCUM}|mg", observed(Decimal("5.4"), None), False),
        ("5.4||mg", observed(Decimal("5.4")), True),
        ("5.4||mg", observed(Decimal("5.4"), None, unit="mg"), True),
        ("5.4||mg", observed(Decimal("0.0054"), "g"), False),
        (f"gt1|{UCUM}|g", observed(1001, "mg"), True),
        (f"gt1|{UCUM}|g", observed(1000, "mg"), False),
        (f"ge1|{UCUM}|g", observed(1000, "mg"), True),
        (f"37.0|{UCUM}|Cel", observed(Decimal("98.6"), "[degF]"), True),
        (f"37.0|{UCUM}|Cel", observed(37, "[degF]"), False),
        (f"310.15|{UCUM}|K", observed(37, "Cel"), True),
        (f"1|{UCUM}|mmol/L", observed(1, "mmol/L"), True),
        (f"1|{UCUM}|mmol/L", observed(1000, "umol/L"), True),
        (f"5|{UCUM}|[IU]/L", observed(5, "[iU]/L"), True),
        (f"5|{UCUM}|[IU]/L", observed(5, "[arb'U]/L"), False),
        (f"5|{UCUM}|foo", observed(5, "foo"), True),
        (f"5|{UCUM}|foo", observed(5, "bar"), False),
        ("5|urn:x|tab", observed(5, "tab"), False),
        ("100", observed(Decimal("100.4")), True),
        ("100.00", observed(Decimal("100.4")), False),
        (f"100|{UCUM}|mg", observed(Decimal("0.1004"), "g"), True),
        (f"100.00|{UCUM}|mg", observed(Decimal("0.1004"), "g"), False),
        (f"1e2|{UCUM}|mg", observed(Decimal("0.095"), "g"), True),
        (f"1e2|{UCUM}|mg", observed(Decimal("0.105"), "g"), False),
        (f"0.1|{UCUM}|g", observed(149), True),
        (f"0.1|{UCUM}|g", observed(150), False),
        (f"sa0.1|{UCUM}|g", observed(100), False),
        (f"sa0.1|{UCUM}|g", observed(Decimal("100.001")), True),
        (f"eb0.1|{UCUM}|g", observed(100), False),
        (f"eb0.1|{UCUM}|g", observed(Decimal("99.999")), True),
        (f"ap100|{UCUM}|mg", observed(Decimal("0.09"), "g"), True),
        (f"ap100|{UCUM}|mg", observed(Decimal("0.0899"), "g"), False),
        (f"37|{UCUM}|Cel", observed(Decimal("97.7"), "[degF]"), True),
        (f"37|{UCUM}|Cel", observed(Decimal("97.69"), "[degF]"), False),
        (f"gt37|{UCUM}|Cel", observed(Decimal("98.6"), "[degF]"), False),
        (f"lt0|{UCUM}|Cel", observed(Decimal(31), "[degF]"), True),
        (f"lt0|{UCUM}|Cel", observed(Decimal(32), "[degF]"), False),
        (f"ap0|{UCUM}|Cel", observed(Decimal(32), "[degF]"), True),
        (f"ge-40|{UCUM}|Cel", observed(-40, "[degF]"), True),
        (f"1|{UCUM}|%", observed(Decimal("0.01"), "{score}"), True),
        (f"5|{UCUM}|[pH]", observed(5, "1"), False),
        (f"5|{UCUM}|[arb'U]", observed(5, "[arb'U]"), True),
        (f"5|{UCUM}|MG", observed(5, "mg"), False),
        ("5||MG", observed(5, "mg"), False),
        ("lt1e400", observed(5), True),
        (f"1e400|{UCUM}|mg", observed(5), False),
        (f"lt1e400|{UCUM}|g", observed(5), True),
        (f"ne5|{UCUM}|mg", observed(5, "mm"), False),
        ("ne5||mg", observed(6, "g"), False),
        (f"ne5|{UCUM}|mg", observed(6), True),
        (f"ne5|{UCUM}|mg", observed(5), False),
    ],
)
def test_units(text: str, stored: Json, *, expected: bool) -> None:
    assert finds(asked(text), stored) is expected


@pytest.mark.parametrize(
    ("comparator", "text", "expected"),
    [
        ("<", "5", False),
        ("<", "lt5", True),
        ("<", "gt4", True),
        ("<", "gt5", False),
        ("<", "ge5", False),
        ("<", "eb5", True),
        ("<", "sa1", False),
        ("<=", "ge5", True),
        ("<=", "gt5", False),
        ("<=", "eb5", False),
        (">", "gt5", True),
        (">", "lt6", True),
        (">", "lt5", False),
        (">", "le5", False),
        (">", "sa5", True),
        (">", "5", False),
        (">=", "le5", True),
        (">=", "sa5", False),
        (">=", "sa4", True),
        (">=", "ne5", True),
    ],
)
@pytest.mark.parametrize("unit", ["", f"|{UCUM}|mg"], ids=["as written", "canonical"])
def test_a_comparator_opens_one_side(
    comparator: str, text: str, unit: str, *, expected: bool
) -> None:
    assert finds(asked(text + unit), observed(5, comparator=comparator)) is expected


def test_money_is_a_quantity_in_its_currency() -> None:
    stored = {
        "resourceType": "Invoice",
        "totalGross": {"value": Decimal("48.10"), "currency": "INR"},
    }
    assert finds("totalgross=48.1|urn:iso:std:iso:4217|INR", stored)
    assert not finds("totalgross=48.1|urn:iso:std:iso:4217|EUR", stored)


def test_a_range_and_sampled_data_are_intervals() -> None:
    age = {"low": {"value": 30, "system": UCUM, "code": "a"}, "high": {"value": 40}}
    condition = {"resourceType": "Condition", "onsetRange": age}
    assert finds("onset-age=gt35", condition)
    assert not finds("onset-age=35", condition)
    assert finds(f"onset-age=lt31|{UCUM}|a", condition)
    origin = {"value": 2, "system": UCUM, "code": "mV"}
    samples = {"origin": origin, "period": 1, "dimensions": 1, "lowerLimit": -3, "upperLimit": 3}
    sampled = {"resourceType": "Observation", "valueSampledData": samples}
    assert finds("value-quantity=lt-2", sampled)
    assert not finds("value-quantity=2", sampled)


def test_a_quantity_without_a_value_is_missing() -> None:
    assert finds(
        "value-quantity:missing=true", observed(None, "mg") | {"valueQuantity": {"unit": "mg"}}
    )
    assert finds("value-quantity:missing=false", observed(5))


@pytest.mark.parametrize("text", ["5|mg", f"5|{UCUM}|", "|x|y", "5|a|b|c", "five||mg"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        query("Observation", asked(text))
    assert refused.value.issues[0].code == "value"


def test_a_huge_number_does_not_exhaust_the_conversion() -> None:
    assert finds(asked(f"gt1|{UCUM}|mg"), observed(Decimal("1e999999")))
