"""OperationOutcome is valid, whatever a client called its parameters."""

import pytest

from fhir_server.errors import Issue
from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.r4.outcome import operation_outcome
from fhir_server.validation.structure import Validator


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("name", ["name"]),
        ("नाम", ["नाम"]),
        ("", None),
        (None, None),
        ("a\0b\x1bc\ufffe", ["a\ufffdb\ufffdc\ufffd"]),
    ],
)
def test_an_expression_is_a_fhir_string_or_left_out(
    expression: str | None, told: list[str] | None
) -> None:
    raw = operation_outcome([Issue("error", "invalid", "No such parameter", expression)])
    outcome = json.decode(raw)
    assert outcome["issue"][0].get("expression") == told
    assert Validator(load()).validate("OperationOutcome", raw, outcome) == []


def test_the_key_of_a_rule_is_a_coding() -> None:
    raw = operation_outcome([Issue("error", "invariant", "x (obs-6)", "Observation", rule="obs-6")])
    outcome = json.decode(raw)
    coding = [{"system": "urn:sangam:rule", "code": "obs-6"}]
    assert outcome["issue"][0]["details"] == {"text": "x (obs-6)", "coding": coding}
    assert Validator(load()).validate("OperationOutcome", raw, outcome) == []
