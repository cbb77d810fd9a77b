from typing import Any

import pytest

from adapters.hl7.inbox.links import logical, parts, pointed
from adapters.hl7.mapping.context import Link
from adapters.hl7.mapping.datatypes import hd

LOGICAL = {"type": "Observation", "identifier": {"system": "s", "value": "1"}}
LITERAL = {"reference": "Observation/9"}


def observation(**said: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", **said}


@pytest.mark.parametrize(
    ("system", "value"), [("s", "1"), ("http://h/a|b", "x|y,z"), ("s", "a\\b$"), ("s", "")]
)
def test_parts_of_a_token_are_what_it_was_made_of(system: str, value: str) -> None:
    assert parts(hd.token({"system": system, "value": value})) == (system, value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"derivedFrom": [LITERAL]}),
        ({"derivedFrom": [LOGICAL]}, {"derivedFrom": [LITERAL]}),
        ({"derivedFrom": [LITERAL]}, {"derivedFrom": [LITERAL]}),
        ({"derivedFrom": [LITERAL, LOGICAL]}, {"derivedFrom": [LITERAL]}),
        (
            {"derivedFrom": [{"reference": "Observation/1"}]},
            {"derivedFrom": [{"reference": "Observation/1"}, LITERAL]},
        ),
    ],
)
def test_literal_reference_takes_the_place_of_the_logical_one(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    found = pointed(observation(**before), "derivedFrom", ("s|1",), "Observation/9")
    assert found == observation(**after)


def test_element_with_one_reference() -> None:
    found = pointed(observation(), "specimen", ("s|1",), "Specimen/9")
    assert found == observation(specimen={"reference": "Specimen/9"})


def test_reference_inside_of_an_element() -> None:
    document = {
        "resourceType": "DocumentReference",
        "relatesTo": [{"code": "replaces", "target": LOGICAL}],
    }
    found = pointed(document, "relatesTo.target", ("s|1",), "DocumentReference/9")
    target = {"reference": "DocumentReference/9"}
    assert found["relatesTo"] == [{"code": "replaces", "target": target}]
    assert pointed(found, "relatesTo.target", ("s|1",), "DocumentReference/9") == found


def test_logical_reference_is_set_once() -> None:
    link = Link("urn:uuid:1", "derivedFrom", "Observation", ("s|1", "s|2"))
    found = logical(observation(), link)
    assert found == observation(derivedFrom=[LOGICAL])
    assert logical(found, link) == found
