from decimal import Decimal

import pytest

from fhir_server.errors import BadRequest, NotSupported, TooLarge

from .matching import Json, finds, query

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
RELATION = "http://hl7.org/fhir/document-relationship-type"


def part(code: str, value: int, unit: str = "mm[Hg]") -> Json:
    return {
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "valueQuantity": {"value": value, "system": UCUM, "code": unit, "unit": unit},
    }


PRESSURE: Json = {
    "resourceType": "Observation",
    "code": {"coding": [{"system": LOINC, "code": "85354-9"}]},
    "component": [part("8480-6", 140), part("8462-4", 80)],
}
GLUCOSE: Json = {"resourceType": "Observation", **part("2339-0", 95, "mg/dL")}
BLOOD: Json = {
    "resourceType": "Observation",
    "code": {"coding": [{"system": LOINC, "code": "883-9"}]},
    "valueCodeableConcept": {"coding": [{"system": "urn:group", "code": "A"}]},
}
NOTE: Json = {"resourceType": "Observation", **part("8480-6", 1), "valueString": "Raised"}
del NOTE["valueQuantity"]
DATED: Json = {"resourceType": "Observation", **part("11778-8", 1), "valueDateTime": "2020-05"}
del DATED["valueQuantity"]
GROUP: Json = {
    "resourceType": "Group",
    "characteristic": [
        {
            "code": {"coding": [{"code": "sex"}]},
            "valueCodeableConcept": {"coding": [{"code": "f"}]},
        },
        {"code": {"coding": [{"code": "alive"}]}, "valueBoolean": True},
    ],
}
SEQUENCE: Json = {
    "resourceType": "MolecularSequence",
    "referenceSeq": {
        "referenceSeqId": {"coding": [{"code": "NC_1"}]},
        "chromosome": {"coding": [{"code": "7"}]},
        "windowStart": 100,
        "windowEnd": 200,
    },
    "variant": [{"start": 110, "end": 111}, {"start": 150, "end": 190}],
}
DOCUMENT: Json = {
    "resourceType": "DocumentReference",
    "relatesTo": [
        {"code": "replaces", "target": {"reference": "DocumentReference/1"}},
        {"code": "signs", "target": {"reference": "DocumentReference/2"}},
    ],
}


@pytest.mark.parametrize(
    ("text", "stored", "expected"),
    [
        ("component-code-value-quantity=8480-6$140", PRESSURE, True),
        ("component-code-value-quantity=8480-6$gt130", PRESSURE, True),
        ("component-code-value-quantity=8480-6$80", PRESSURE, False),
        ("component-code-value-quantity=8462-4$gt130", PRESSURE, False),
        (f"component-code-value-quantity={LOINC}|8480-6$gt130", PRESSURE, True),
        ("component-code-value-quantity=urn:x|8480-6$gt130", PRESSURE, False),
        (f"component-code-value-quantity=8480-6$140|{UCUM}|mm[Hg]", PRESSURE, True),
        (f"component-code-value-quantity=8480-6$140|{UCUM}|mg", PRESSURE, False),
        ("code-value-quantity=8480-6$140", PRESSURE, False),
        ("combo-code-value-quantity=8480-6$140", PRESSURE, True),
        ("combo-code-value-quantity=2339-0$95", GLUCOSE, True),
        ("combo-code-value-quantity=2339-0$96", GLUCOSE, False),
        (f"code-value-quantity=2339-0$0.95|{UCUM}|g/L", GLUCOSE, True),
        ("code-value-quantity=x$1,2339-0$95", GLUCOSE, True),
        ("code-value-concept=883-9$A", BLOOD, True),
        (f"code-value-concept={LOINC}|883-9$urn:group|A", BLOOD, True),
        ("code-value-concept=883-9$urn:other|A", BLOOD, False),
        ("code-value-concept=883-9$B", BLOOD, False),
        ("code-value-string=8480-6$rai", NOTE, True),
        ("code-value-string=8480-6$low", NOTE, False),
        ("code-value-date=11778-8$ge2020-05-01", DATED, True),
        ("code-value-date=11778-8$lt2020-05-01", DATED, False),
        ("characteristic-value=sex$f", GROUP, True),
        ("characteristic-value=alive$true", GROUP, True),
        ("characteristic-value=alive$f", GROUP, False),
        ("chromosome-window-coordinate=7$lt101$gt199", SEQUENCE, True),
        ("chromosome-window-coordinate=7$100$200", SEQUENCE, True),
        ("chromosome-window-coordinate=7$100$201", SEQUENCE, False),
        ("chromosome-variant-coordinate=7$110$111", SEQUENCE, True),
        ("chromosome-variant-coordinate=7$110$190", SEQUENCE, False),
        ("referenceseqid-variant-coordinate=NC_1$150$190", SEQUENCE, True),
        ("relationship=DocumentReference/1$replaces", DOCUMENT, True),
        ("relationship=DocumentReference/2$replaces", DOCUMENT, False),
        ("relationship=1$replaces", DOCUMENT, True),
        ("relationship=1$signs", DOCUMENT, False),
        (f"relationship=1${RELATION}|replaces", DOCUMENT, True),
        (f"relationship=1${RELATION}|signs", DOCUMENT, False),
        ("relationship=1$urn:x|replaces", DOCUMENT, False),
        ("relationship=1$|replaces", DOCUMENT, True),
        ("component-code-value-quantity=8480-6$80,8462-4$140", PRESSURE, False),
        ("component-code-value-quantity=8480-6$80,8462-4$80", PRESSURE, True),
        ("component-code-value-quantity=8480-6$ne140", PRESSURE, False),
        ("component-code-value-quantity=8480-6$ap150", PRESSURE, True),
        ("component-code-value-quantity=8480-6$ap80", PRESSURE, False),
        ("code-value-string=8480-6$RAISED", NOTE, True),
        ("code-value-string=8480-6$aised", NOTE, False),
        ("code-value-date=11778-8$2020", DATED, True),
        ("code-value-date=11778-8$2020-05-10", DATED, False),
        ("chromosome-window-coordinate=7$1e2$200", SEQUENCE, True),
        ("chromosome-window-coordinate=7$1.1e2$200", SEQUENCE, False),
    ],
)  # fmt: skip
def test_components_match_inside_one_element(text: str, stored: Json, *, expected: bool) -> None:
    assert finds(text, stored) is expected


def test_a_composite_has_no_modifiers() -> None:
    with pytest.raises(NotSupported):
        query("Observation", "code-value-quantity:missing=true")


@pytest.mark.parametrize("value", ["a", "a$", "$1", "a$1$2", "a|$1"])
def test_each_component_needs_a_value(value: str) -> None:
    with pytest.raises(BadRequest) as refused:
        query("Observation", f"code-value-quantity={value}")
    assert refused.value.issues[0].expression == "code-value-quantity"


def test_a_product_of_codings_is_bounded() -> None:
    many = {"coding": [{"system": "s", "code": f"c{n}"} for n in range(100)]}
    with pytest.raises(TooLarge):
        finds("status=x", {**BLOOD, "code": many, "valueCodeableConcept": many})


def test_an_escaped_dollar_sign_does_not_separate() -> None:
    priced = {**GLUCOSE, "code": {"coding": [{"code": "a$b"}]}}
    assert finds(r"code-value-quantity=a\$b$95", priced)


def test_decimals_inside_a_composite_are_exact() -> None:
    precise = {**GLUCOSE, "valueQuantity": {"value": Decimal("0.1")}}
    assert finds("code-value-quantity=2339-0$0.1", precise)
    assert finds("code-value-quantity=2339-0$le0.1", precise)
    assert not finds("code-value-quantity=2339-0$lt0.1", precise)
