from decimal import Decimal
from typing import Any

import pytest

from fhir_server.r4.definitions import load
from fhir_server.r4.walk import references, uris

URN = "urn:uuid:3fdc72f4-a11d-4a9d-9260-a9f745779e1d"
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'


def reference_paths(data: dict[str, Any]) -> list[str]:
    return [path for path, _ in references(load(), data["resourceType"], data)]


def uri_paths(data: dict[str, Any]) -> list[str]:
    return [path for path, _, _ in uris(load(), data["resourceType"], data)]


def test_references_are_found_by_element_type() -> None:
    data = {
        "resourceType": "Observation",
        "subject": {"reference": "Patient/1"},
        "performer": [{"display": "no literal"}, {"reference": "Practitioner/2"}],
        "identifier": [{"value": "Patient/3", "assigner": {"reference": "Organization/4"}}],
        "note": [{"text": "Patient/5", "authorReference": {"reference": "Patient/6"}}],
        "valueString": "Patient/7",
    }
    assert reference_paths(data) == [
        "Observation.subject",
        "Observation.performer[1]",
        "Observation.identifier[0].assigner",
        "Observation.note[0].author.ofType(Reference)",
    ]


def test_references_inside_extensions_and_resources_are_found() -> None:
    extension = [{"url": "urn:x", "valueReference": {"reference": "Patient/1"}}]
    data = {
        "resourceType": "Bundle",
        "entry": [
            {
                "resource": {
                    "resourceType": "Patient",
                    "_birthDate": {"extension": extension},
                    "name": [{"_given": [None, {"extension": extension}]}],
                    "contained": [{"resourceType": "Account", "owner": {"reference": "#"}}],
                }
            }
        ],
    }
    assert reference_paths(data) == [
        "Bundle.entry[0].resource.birthDate.extension[0].value.ofType(Reference)",
        "Bundle.entry[0].resource.name[0].given[1].extension[0].value.ofType(Reference)",
        "Bundle.entry[0].resource.contained[0].owner",
    ]


def test_a_reference_can_be_rewritten_in_place() -> None:
    data: dict[str, Any] = {"resourceType": "Observation", "subject": {"reference": URN}}
    for _, holder in references(load(), "Observation", data):
        holder["reference"] = "Patient/1"
    assert data == {"resourceType": "Observation", "subject": {"reference": "Patient/1"}}


def test_uris_are_found_by_element_type() -> None:
    data = {
        "resourceType": "CarePlan",
        "implicitRules": URN,
        "instantiatesUri": [URN, URN],
        "instantiatesCanonical": [URN],
        "identifier": [{"system": URN, "value": URN}],
        "description": URN,
        "subject": {"reference": URN},
        "extension": [{"url": URN, "valueUuid": URN}, {"url": URN, "valueString": URN}],
    }
    assert uri_paths(data) == [
        "CarePlan.implicitRules",
        "CarePlan.instantiatesUri[0]",
        "CarePlan.instantiatesUri[1]",
        "CarePlan.instantiatesCanonical[0]",
        "CarePlan.identifier[0].system",
        "CarePlan.extension[0].value.ofType(uuid)",
    ]


def test_uris_can_be_set_in_objects_lists_and_narrative_links() -> None:
    data: dict[str, Any] = {
        "resourceType": "CarePlan",
        "instantiatesUri": [URN],
        "implicitRules": URN,
        "text": {
            "status": "generated",
            "div": f'{DIV}<p title=\'{URN}\'>{URN}</p><a name="x" href="{URN}">a</a>'
            f"<img alt='i' src='{URN}#1'/></div>",
        },
    }
    for _, holder, key in uris(load(), "CarePlan", data):
        holder[key] = holder[key].replace(URN, "Patient/1")
    assert data == {
        "resourceType": "CarePlan",
        "instantiatesUri": ["Patient/1"],
        "implicitRules": "Patient/1",
        "text": {
            "status": "generated",
            "div": f'{DIV}<p title=\'{URN}\'>{URN}</p><a name="x" href="Patient/1">a</a>'
            "<img alt='i' src='Patient/1#1'/></div>",
        },
    }


@pytest.mark.parametrize(
    "wrong", [1, "x", None, True, [], {}, [[{}]], [None], Decimal("1.0"), {"reference": 5}]
)
def test_what_has_another_shape_is_passed_over(wrong: object) -> None:
    data = {
        "resourceType": "Observation",
        "subject": wrong,
        "contained": wrong,
        "text": {"div": wrong},
        "extension": wrong,
        "_status": wrong,
        "instantiatesCanonical": wrong,
        "identifier": [wrong],
        "meta": {"profile": wrong, "source": {"a": wrong}},
    }
    assert reference_paths(data) == []
    assert [path for path in uri_paths(data) if not path.startswith("Observation.meta")] == []


def test_an_inline_resource_of_unknown_type_is_passed_over() -> None:
    inner = {"resourceType": ["Patient"], "managingOrganization": {"reference": "x"}}
    assert reference_paths({"resourceType": "Bundle", "entry": [{"resource": inner}]}) == []
    assert list(references(load(), "NoSuchType", inner)) == []
