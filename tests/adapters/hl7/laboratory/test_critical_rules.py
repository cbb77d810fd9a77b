from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from adapters.hl7.laboratory import alerts
from adapters.hl7.laboratory.alerts import step, told
from adapters.hl7.laboratory.rules import NOBODY, Person, asks_for_person, judge
from adapters.hl7.mapping.sender_rules import USUAL_CRITICAL, Critical, CriticalRule
from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.validation.structure import Validator
from tests.adapters.hl7.reading import THO

K = "http://loinc.org"


def result(value: str = "5.0", **said: Any) -> dict[str, Any]:
    comparator = value.rstrip("-0123456789.")
    quantity: dict[str, Any] = {"value": Decimal(value[len(comparator) :]), "unit": "mmol/L"}
    if comparator:
        quantity["comparator"] = comparator
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": K, "code": "2823-3", "display": "Potassium"}]},
        "valueQuantity": quantity,
        **said,
    }


def flagged(code: str, system: str = f"{THO}/v3-ObservationInterpretation") -> dict[str, Any]:
    return {"interpretation": [{"coding": [{"system": system, "code": code}]}]}


def ranged(low: str = "", high: str = "", unit: str = "mmol/L") -> dict[str, Any]:
    limits = {
        name: {"value": Decimal(text), "unit": unit}
        for name, text in (("low", low), ("high", high))
        if text
    }
    return {"referenceRange": [limits]}


@pytest.mark.parametrize(
    ("code", "level"),
    [("HH", "high"), ("LL", "low"), ("AA", "abnormal"), ("H", None), ("N", None), ("S", None)],
)
def test_laboratory_says_what_is_critical(code: str, level: str | None) -> None:
    assert judge(result(**flagged(code)), USUAL_CRITICAL) == level


def test_flag_of_another_system_is_not_read() -> None:
    assert judge(result(**flagged("HH", "http://h/local")), USUAL_CRITICAL) is None


@pytest.mark.parametrize("status", ["registered", "cancelled", "entered-in-error"])
def test_what_was_not_measured_or_is_taken_back_is_not_critical(status: str) -> None:
    assert judge(result(status=status, **flagged("HH")), USUAL_CRITICAL) is None


@pytest.mark.parametrize(
    ("value", "low", "high", "level"),
    [
        ("10.2", "3.5", "5.1", None),  # 200 % itself is not above it
        ("10.3", "3.5", "5.1", "high"),
        ("1.75", "3.5", "5.1", None),
        ("1.74", "3.5", "5.1", "low"),
        (">10.2", "3.5", "5.1", "high"),
        (">10.1", "3.5", "5.1", None),
        ("<1.75", "3.5", "5.1", "low"),
        ("<1.8", "3.5", "5.1", None),
        ("<=1.75", "3.5", "5.1", None),
        ("99", "3.5", "", None),
        ("0", "", "5.1", None),
        ("5", "-2", "2", "high"),
        ("0.1", "0", "0", None),
    ],
)
def test_distance_from_the_reference_range(
    value: str, low: str, high: str, level: str | None
) -> None:
    assert judge(result(value, **ranged(low, high)), USUAL_CRITICAL) == level


def test_negative_value_is_below_half_of_the_lower_limit() -> None:
    assert judge(result("-5", **ranged("2", "9")), USUAL_CRITICAL) == "low"


def test_range_in_another_unit_says_nothing() -> None:
    assert judge(result("99", **ranged("3", "5", "mg/dL")), USUAL_CRITICAL) is None


def test_percentages_are_agreed_and_may_be_off() -> None:
    found = result("7", **ranged("3.5", "5"))
    assert judge(found, Critical(above_percent=Decimal(130))) == "high"
    assert judge(result("99", **ranged("3.5", "5")), Critical(above_percent=None)) is None


RULE = CriticalRule("2823-3", K, low=Decimal("2.8"), high=Decimal("6.2"))


@pytest.mark.parametrize(
    ("value", "level"),
    [("6.2", "high"), ("6.1", None), ("2.8", "low"), ("2.9", None), ("<2.8", "low"), (">6", None)],
)
def test_rule_of_a_code_holds_at_its_limits(value: str, level: str | None) -> None:
    assert judge(result(value), Critical(rules=(RULE,))) == level


def test_rule_of_a_code_comes_before_the_range() -> None:
    found = result("5.9", **ranged("1", "2"))
    assert judge(found, Critical(rules=(RULE,))) is None
    assert judge(found, USUAL_CRITICAL) == "high"


@pytest.mark.parametrize(
    ("said", "person", "level"),
    [
        ({"unit": "mmol/L"}, NOBODY, "high"),
        ({"unit": "mg/dL"}, NOBODY, None),
        ({"code": "other"}, NOBODY, None),
        ({"system": "http://h/other"}, NOBODY, None),
        ({"sex": "female"}, Person("female"), "high"),
        ({"sex": "female"}, Person("male"), None),
        ({"sex": "female"}, NOBODY, None),
        ({"to_age": Decimal(1)}, Person(age=Decimal("0.5")), "high"),
        ({"to_age": Decimal(1)}, Person(age=Decimal(1)), None),
        ({"from_age": Decimal(1)}, Person(age=Decimal(1)), "high"),
        ({"from_age": Decimal(1)}, NOBODY, None),
    ],
)
def test_conditions_of_a_rule(said: dict[str, Any], person: Person, level: str | None) -> None:
    rule = CriticalRule(**{"code": "2823-3", "high": Decimal(6), **said})
    assert judge(result("7"), Critical(rules=(rule,)), person) == level


def test_person_is_asked_for_only_where_a_rule_of_the_code_needs_it() -> None:
    personal = Critical(rules=(CriticalRule("2823-3", sex="female", high=Decimal(6)),))
    assert asks_for_person(result(), personal)
    assert not asks_for_person(result(code={"coding": [{"code": "x"}]}), personal)
    assert not asks_for_person(result(), Critical(rules=(RULE,)))


def test_repeated_values_are_judged_one_by_one() -> None:
    found = result()
    first = found.pop("valueQuantity")
    found["component"] = [
        {"valueQuantity": first},
        {"valueQuantity": {**first, "value": Decimal(9)}},
    ]
    assert judge(found, Critical(rules=(RULE,))) == "high"


@pytest.mark.parametrize(
    ("state", "known", "found", "expected"),
    [
        (None, None, None, "keep"),
        (None, None, "high", "raise"),
        ("open", "high", "high", "keep"),
        ("acknowledged", "high", "high", "keep"),
        ("open", "high", "low", "reopen"),
        ("acknowledged", "high", "low", "reopen"),
        ("withdrawn", "high", "high", "reopen"),
        ("withdrawn", "high", None, "keep"),
        ("open", "high", None, "withdraw"),
        ("acknowledged", "high", None, "withdraw"),
    ],
)
def test_what_a_new_version_asks_for(state: Any, known: Any, found: Any, expected: str) -> None:
    assert step(state, known, found) == expected


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        (
            result("7.20", referenceRange=[{"text": "3.5-5.1"}]),
            "Critical result (high): Potassium 7.20 mmol/L, reference range 3.5-5.1",
        ),
        (result(">9"), "Critical result (high): Potassium >9 mmol/L"),
        (
            {"code": {"text": "Culture"}, "valueCodeableConcept": {"coding": [{"code": "X"}]}},
            "Critical result (high): Culture X",
        ),
        ({"code": {}, "valueString": "seen"}, "Critical result (high): a test seen"),
    ],
)
def test_what_is_told(resource: dict[str, Any], text: str) -> None:
    assert told(resource, "high") == text


@pytest.mark.parametrize("level", ["high", "low", "abnormal"])
@pytest.mark.parametrize(
    "recipient", ["Practitioner/1", "#p", ""], ids=["stored", "contained", "-"]
)
def test_what_is_raised_and_how_it_ends_is_valid(level: Any, recipient: str) -> None:
    validator = Validator(load())
    person = {"resourceType": "Practitioner", "id": "p", "name": [{"family": "Mehta"}]}
    critical = alerts.Critical(
        observation="Observation/7",
        resource=result("7.20", subject={"reference": "Patient/1"},
                        basedOn=[{"reference": "ServiceRequest/2"}]),
        level=level,
        recipients=({"reference": recipient},) if recipient else (),
        contained=(person,) if recipient == "#p" else (),
        identifier_system="http://h/fhir/hl7/critical",
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    request = alerts.request(critical)
    owner = next(iter(critical.recipients), None)
    task = alerts.task(request, "3", critical.observation, owner, critical.at)
    raised = [(alerts.flag(critical), "inactive"), (request, "revoked"), (task, "cancelled")]
    for resource, ending in raised:
        for one in (resource, alerts.ended(resource, ending, critical.at)):
            raw = json.encode(one)
            assert validator.validate(one["resourceType"], raw, json.decode(raw)) == []


def test_who_cannot_be_told_is_left_out() -> None:
    assert not alerts.may_receive({"reference": "Location/1"})
    assert not alerts.may_receive({"display": "somebody"})


@pytest.mark.parametrize(
    ("born", "at", "age"),
    [("2026-01-01", "2026-01-01T09:00:00Z", "0"), ("2025-01-01", "2026-01-02", "1.002053"),
     ("2025", "2026-01-01", None), ("2025-01-01", "2026", None), ("", "2026-01-01", None)],
)  # fmt: skip
def test_age_in_years_at_the_time_of_the_result(born: str, at: str, age: str | None) -> None:
    found = alerts.years(born, at)
    assert (None if found is None else f"{found:.6f}".rstrip("0").rstrip(".")) == age
