from typing import Any

import pytest
from patching import PATIENT, changes, operation, parts, patched, refused

from fhir_server.errors import BadRequest
from fhir_server.patch import fhirpath_patch
from fhir_server.r4.definitions import load


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (operation("add", "Patient.photo", name="url", value="x"), "there is nothing at the path"),
        (
            operation("add", "Patient.name", name="text", value="x"),
            "there is more than one element at the path",
        ),
        (
            operation("add", "Patient", name="active", value={"valueBoolean": True}),
            "the element is there already and does not repeat",
        ),
        (
            operation("add", "Patient", name="deceased", value={"valueBoolean": True}),
            "the element is there already and does not repeat",
        ),
        (
            operation("add", "Patient", name="nickname", value="x"),
            "the path names an element that R4 does not have there",
        ),
        (
            operation("add", "Patient", name="multipleBirthInteger", value={"valueInteger": 1}),
            "the path names an element that R4 does not have there",
        ),
        (
            operation("add", "Patient", name="gender", value={"valueInteger": 1}),
            "the value is not of the element's type",
        ),
        (
            operation("add", "Patient", name="multipleBirth", value="x"),
            "the value is not of the element's type",
        ),
        (
            operation("add", "Patient", name="contact", value={"valueHumanName": {}}),
            "the value is not of the element's type",
        ),
        (
            operation("add", "Patient", name="gender", value={"part": []}),
            "the value is not of the element's type",
        ),
        (
            operation("add", "Patient", name="link", value={"resource": {}}),
            "the value is not of the element's type",
        ),
        (
            operation(
                "add",
                "Patient",
                name="contact",
                value={
                    "part": [
                        *parts({"gender": {"valueCode": "male"}}),
                        *parts({"gender": {"valueCode": "male"}}),
                    ]
                },
            ),
            "the element is there already and does not repeat",
        ),
        (
            operation("add", "Patient", name="gender", value={}),
            "the operation needs one value",
        ),
        (
            operation("add", "Patient", name="gender", value={"valueCode": "a", "valueId": "b"}),
            "the operation needs one value",
        ),
        (
            operation("insert", "Patient.telecom", index=3, value={"valueContactPoint": {}}),
            "the index is out of range",
        ),
        (
            operation("insert", "Patient.telecom", index=-1, value={"valueContactPoint": {}}),
            "the index is out of range",
        ),
        (
            operation("insert", "Patient.telecom[0]", index=0, value={"valueContactPoint": {}}),
            "the path does not end with the name of a list",
        ),
        (
            operation("insert", "Patient.active", index=0, value={"valueBoolean": True}),
            "the path does not lead to a list",
        ),
        (
            operation("insert", "Patient.name.given", index=0, value="x"),
            "there is more than one element at the path",
        ),
        (
            operation("insert", "Patient", index=0, value="x"),
            "the path names an element that R4 does not have there",
        ),
        (operation("delete", "Patient.telecom"), "there is more than one element at the path"),
        (
            operation("delete", "Patient.identifier.where(use = 'official')"),
            "there is more than one element at the path",
        ),
        (operation("delete", "Patient"), "the path leads to the resource itself"),
        (
            operation("delete", "Patient.telecom.nickname"),
            "the path names an element that R4 does not have there",
        ),
        (
            operation("delete", "Observation.status"),
            "the path names an element that R4 does not have there",
        ),
        (
            operation("delete", "Patient.telecom.exists()"),
            "the path gives what is no element of the resource",
        ),
        (operation("replace", "Patient.gender", value="x"), "there is nothing at the path"),
        (
            operation("replace", "Patient.telecom", value={"valueContactPoint": {}}),
            "there is more than one element at the path",
        ),
        (
            operation("replace", "Patient", value={"resource": {}}),
            "the path leads to the resource itself",
        ),
        (
            operation("replace", "Patient.birthDate", value={"valueDateTime": "2000"}),
            "the value is not of the element's type",
        ),
        (
            operation("move", "Patient.telecom", source=2, destination=0),
            "an index is out of range",
        ),
        (
            operation("move", "Patient.telecom", source=0, destination=2),
            "an index is out of range",
        ),
        (operation("move", "Patient.photo", source=0, destination=0), "an index is out of range"),
        (
            operation("copy", "Patient.telecom"),
            "the type is not add, insert, delete, replace or move",
        ),
        (operation("delete", "Patient.active", name="x"), "delete has the parts path"),
        (operation("add", "Patient", name="gender"), "add has the parts name, path, value"),
        (
            {"name": "operation", "part": [*parts({"type": "delete", "path": "active"})] * 2},
            "a part comes twice",
        ),
        ({"name": "other", "part": []}, "the parameter is not named operation"),
        ({"name": "operation"}, "the operation has no parts"),
        ({"name": "operation", "part": [{"valueCode": "x"}]}, "a part has no name"),
        ({"name": "operation", "part": []}, "type is a string"),
        (operation("delete", {"valueInteger": 1}), "path is a string"),
        (
            operation("move", "Patient.telecom", source=True, destination=0),
            "source is an integer",
        ),
        (
            operation("add", "Patient", name="contact", value={"part": [{"valueCode": "x"}]}),
            "a part of the value has no name",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(op: dict[str, Any], text: str) -> None:
    assert refused(op) == text
    assert refused(operation("delete", "Patient.gender"), op) == text


@pytest.mark.parametrize(
    "document", [{}, {"resourceType": "Patient"}, {"resourceType": "Parameters", "parameter": {}}]
)
def test_a_patch_is_a_parameters_resource(document: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        fhirpath_patch.apply(load(), "Patient", PATIENT, document)


def test_500_operations_are_the_most() -> None:
    op = operation("delete", "Patient.gender")
    assert changes(*[op] * 500) == {}
    with pytest.raises(BadRequest) as caught:
        patched(*[op] * 501)
    assert caught.value.issues[0].code == "too-long"


def test_nesting_that_is_piled_up_is_refused() -> None:
    path, adds = "Patient.name[1]", []
    for _ in range(200):
        value = {"part": parts({"url": {"valueUri": "u"}})}
        adds.append(operation("add", path, name="extension", value=value))
        path += ".extension"
    with pytest.raises(BadRequest) as caught:
        patched(*adds)
    assert caught.value.issues[0].code == "structure"


def test_no_error_names_a_value() -> None:
    secret = "Ramanujan"
    for op in (
        operation("delete", f"Patient.name.where(family = '{secret}'"),
        operation("add", f"Patient.name.where(family = '{secret}')", name="text", value="x"),
        operation("replace", "Patient.birthDate", value=secret),
        operation("delete", f"Patient.{secret}"),
        operation(secret, "Patient"),
    ):
        assert secret not in refused(op)


def test_paths_that_visit_too_much_are_refused() -> None:
    criteria = " and ".join(["use = 'x'"] * 700)
    document = {"resourceType": "Patient", "identifier": [{"use": "x"}] * 5_000}
    op = operation("delete", f"Patient.identifier.where({criteria}).where(use = 'y')")
    with pytest.raises(BadRequest) as caught:
        patched(op, document=document)
    assert caught.value.issues[0].code == "too-costly"
    cheap = operation("delete", "Patient.identifier.where(use = 'y')")
    assert changes(*[cheap] * 10, document=document) == {}
