import random
from time import process_time
from typing import Any

import pytest

from fhir_server.errors import SangamError
from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.r4.walk import references, uris
from fhir_server.validation.structure import MAX_ISSUES, Validator

DEFINITIONS = load()
VALIDATOR = Validator(DEFINITIONS)
ODD: list[Any] = [None, True, 0, -1, 10**30, "", "x", [], {}, [None], [[]], [{}], {"id": 1}]


def shaped(rng: random.Random, type_name: str, level: int = 3) -> Any:
    """Return something like an object of this type, with about one member in ten odd."""
    members = DEFINITIONS.elements[type_name]
    made: dict[str, Any] = {}
    for name in rng.sample(list(members), min(len(members), rng.randint(0, 6))):
        element = members[name]
        if rng.random() < 0.1 or level == 0:
            made[name] = rng.choice(ODD)
            continue
        value: Any = "a"
        if element.type == "Resource":
            value = {"resourceType": rng.choice(["Patient", "Group", "x", 5])}
        elif element.type in DEFINITIONS.elements:
            value = shaped(rng, element.type, level - 1)
        elif rng.random() < 0.2:
            made[f"_{name}"] = rng.choice([*ODD, {"id": "x"}])
        made[name] = value if element.max == 1 else [value] * rng.randint(1, 2)
    return made


@pytest.mark.parametrize("seed", range(8))
def test_no_shape_of_json_raises(seed: int) -> None:
    rng = random.Random(seed)
    for type_name in rng.sample(DEFINITIONS.resource_types, 20):
        for _ in range(20):
            data = shaped(rng, type_name) | {"resourceType": type_name}
            issues = VALIDATOR.validate(type_name, b"", data)
            assert len(issues) <= MAX_ISSUES + 1
            for _, holder in references(DEFINITIONS, type_name, data):
                assert isinstance(holder["reference"], str)
            for _, holder, key in uris(DEFINITIONS, type_name, data):
                assert isinstance(holder[key], str)


@pytest.mark.parametrize("seed", range(20))
def test_no_damaged_text_raises_anything_but_a_refusal(seed: int) -> None:
    rng = random.Random(seed)
    raw = bytearray(json.encode(shaped(rng, "Observation") | {"resourceType": "Observation"}))
    statuses = set()
    for _ in range(200):
        damaged = bytearray(raw)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.choice(b'{}[]":,\\x00\xff\xed0e-.\n\x00 nt')
        try:
            data = json.decode(bytes(damaged))
        except SangamError as refusal:
            statuses.add(refusal.status)
        else:
            VALIDATOR.validate("Observation", bytes(damaged), data)
    assert statuses == {400}


@pytest.mark.parametrize(
    "data",
    [
        {"name": [{"use": "x"}] * 500_000},
        {"name": [{"given": [None] * 1_000_000}]},
        {f"a{i}": 1 for i in range(50_000)},
        {"contained": [{"resourceType": "Patient", "id": "x"}] * 100_000},
        {"implicitRules": "a" * 10_000_000 + " "},
        {"text": {"status": "generated", "div": "<p>" * 1_000_000}},
    ],
    ids=["codes", "nulls", "members", "contained", "uri", "div"],
)
def test_hostile_megabytes_cost_little(data: dict[str, Any]) -> None:
    start = process_time()
    issues = VALIDATOR.validate("Patient", b"", {"resourceType": "Patient", **data})
    assert issues
    assert process_time() - start < 10  # an order above what it takes, for busy machines
