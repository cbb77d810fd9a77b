"""Paths of a patch that only the FHIRPath engine reads."""

from typing import Any

import pytest
from patching import PATIENT, changes, operation, refused

from fhir_server.errors import Unprocessable

IDENTIFIERS = PATIENT["identifier"]


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("Patient.identifier.where(value > '1')", [IDENTIFIERS[0], IDENTIFIERS[2]]),
        ("identifier.where(system = 's' and use != 'usual')", [IDENTIFIERS[0], IDENTIFIERS[2]]),
        ("Patient.identifier.where(use in ('usual' | 'old'))", [IDENTIFIERS[1], IDENTIFIERS[2]]),
        ("Patient.identifier.skip(2)", [IDENTIFIERS[0], IDENTIFIERS[1]]),
        ("Patient.identifier[1 + 1]", [IDENTIFIERS[0], IDENTIFIERS[1]]),
        ("Patient.identifier.where($index = 1)", [IDENTIFIERS[0], IDENTIFIERS[2]]),
        ("identifier.where(system = 't').single()", [IDENTIFIERS[0], IDENTIFIERS[1]]),
        (
            "Patient.descendants().where($this is Identifier and value = '2')",
            [IDENTIFIERS[0], IDENTIFIERS[2]],
        ),
        ("(Patient.identifier | Patient.name).take(1)", [IDENTIFIERS[1], IDENTIFIERS[2]]),
    ],
)
def test_what_the_engine_finds_is_deleted(path: str, left: list[Any]) -> None:
    assert changes(operation("delete", path)) == {"identifier": left}


def test_a_primitive_among_others_is_replaced() -> None:
    path = "Patient.name.given.where($this.startsWith('C'))"
    changed = changes(operation("replace", path, value="D"))
    name = PATIENT["name"][0]
    assert changed == {"name": [{**name, "given": ["A", None, "D"]}, PATIENT["name"][1]]}


def test_members_of_what_is_found_are_added_to() -> None:
    path = "Patient.telecom.where(rank >= 2)"
    changed = changes(operation("add", path, name="use", value={"valueCode": "home"}))
    assert changed["telecom"][1] == {"rank": 2, "value": "y", "use": "home"}


def test_a_list_of_what_is_found_is_moved() -> None:
    path = "Patient.name.where(given.count() > 1).given"
    changed = changes(operation("move", path, source=2, destination=0))
    assert changed["name"][0]["given"] == ["C", "A", None]


def test_the_extension_of_a_primitive_is_found() -> None:
    path = "Patient.birthDate.extension.where(url.contains('u'))"
    assert changes(operation("delete", path)) == {"_birthDate": {"id": "b"}}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("Patient.identifier.count()", "the path gives what is no element of the resource"),
        ("'x'", "the path gives what is no element of the resource"),
        ("Patient.identifier.where(value > '0')", "there is more than one element at the path"),
        ("Patient.identifier.where(", "FHIRPath: "),
        ("Patient.nickname.where(a > 1)", "the path names an element that R4 does not have there"),
    ],
)
def test_what_is_no_single_element_is_refused(path: str, text: str) -> None:
    assert refused(operation("delete", path)).startswith(text)


def test_what_costs_too_much_is_refused() -> None:
    with pytest.raises(Unprocessable):
        changes(operation("delete", f"Patient.name.select(id{'.toString()' * 200})"))
