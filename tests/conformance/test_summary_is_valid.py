"""What `_summary` and `_elements` leave of every official example is a valid resource."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_r4_examples_structure import NO_LINK_ID, REVIEWED

from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.r4.summary import summarised, with_elements
from fhir_server.validation.structure import Validator

EXAMPLES = "data/r4/hl7.fhir.r4.examples-4.0.1.tgz"
FLOOR = 5_200


def examples(shared: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(shared / EXAMPLES) as package:
        for member in package:
            file = package.extractfile(member)
            if file and member.name.endswith(".json") and not member.name.endswith("/package.json"):
                yield member.name, file.read()


@pytest.mark.timeout(300)
def test_what_is_left_of_a_valid_resource_is_valid(shared: Path) -> None:
    definitions = load()
    validator, count = Validator(definitions), 0
    for name, raw in examples(shared):
        data = json.decode(raw)
        type_name = data.get("resourceType")
        # All others are valid, which test_r4_examples_structure.py shows.
        if type_name is None or name.rpartition("/")[2] in {NO_LINK_ID, *REVIEWED}:
            continue
        count += 1
        for left in (
            summarised(definitions, raw, "true"),
            summarised(definitions, raw, "text"),
            summarised(definitions, raw, "data"),
            with_elements(definitions, raw, ["id"]),
        ):
            # What was cut may be what an invariant asks for.
            cut = json.decode(left)
            assert validator.validate(type_name, left, cut, invariants=False) == [], name
    print(f"\nsummary: {count} official examples are valid when cut")  # noqa: T201  (the count that ran)
    assert count >= FLOOR
