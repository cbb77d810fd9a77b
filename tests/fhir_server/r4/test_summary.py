import json as standard_json
from typing import Any

import pytest

from fhir_server.errors import BadRequest
from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.r4.summary import Mode, summarised, with_elements

TAG = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}
META = {"tag": [TAG]}

PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "implicitRules": "urn:rules",
    "language": "en",
    "text": {"status": "empty"},
    "contained": [{"resourceType": "Group"}],
    "extension": [{"url": "u", "valueCode": "x"}],
    "modifierExtension": [{"url": "m", "valueCode": "x"}],
    "active": True,
    "name": [{"id": "n", "text": "A", "extension": [{"url": "u", "valueCode": "x"}]}],
    "birthDate": "2000",
    "_birthDate": {"id": "b"},
    "deceasedBoolean": False,
    "maritalStatus": {"text": "M"},
    "photo": [{"data": "AAAA"}],
    "contact": [{"gender": "male"}],
    "link": [{"id": "l", "other": {"reference": "Patient/2"}, "type": "seealso"}],
}
OBSERVATION = {
    "resourceType": "Observation",
    "id": "o",
    "meta": {"versionId": "1", "tag": [{"code": "a"}]},
    "text": {"status": "empty"},
    "status": "final",
    "_status": {"id": "s"},
    "code": {"text": "c"},
    "effectiveDateTime": "2000",
    "valueQuantity": {"value": 1},
    "note": [{"text": "n"}],
    "component": [
        {
            "extension": [{"url": "u", "valueCode": "x"}],
            "modifierExtension": [{"url": "m", "valueCode": "x"}],
            "code": {"text": "c"},
            "valueSampledData": {"period": 1, "dimensions": 1, "data": "E"},
            "interpretation": [{"text": "i"}],
        }
    ],
}


def cut(resource: dict[str, Any], mode: Mode) -> dict[str, Any]:
    return standard_json.loads(summarised(load(), json.encode(resource), mode))


def chosen(resource: dict[str, Any], *names: str, types: tuple[str, ...] = ()) -> set[str]:
    left = standard_json.loads(with_elements(load(), json.encode(resource), names, types))
    assert TAG in left.pop("meta")["tag"]
    assert left.items() <= resource.items()
    return set(left)


def parts(resource: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: resource[name] for name in ("resourceType", "id", *names)}


def test_true_leaves_summary_mandatory_and_modifier_elements() -> None:
    names = ["implicitRules", "modifierExtension", "active", "name", "birthDate", "_birthDate"]
    assert cut(PATIENT, "true") == {
        **parts(PATIENT, *names, "deceasedBoolean"),
        "meta": META,
        "link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}],
    }


def test_true_goes_into_backbones_and_leaves_datatypes_but_for_their_bulk() -> None:
    names = ["status", "_status", "code", "effectiveDateTime", "valueQuantity"]
    assert cut(OBSERVATION, "true") == {
        **parts(OBSERVATION, *names),
        "meta": {"versionId": "1", "tag": [{"code": "a"}, TAG]},
        "component": [
            {
                "modifierExtension": [{"url": "m", "valueCode": "x"}],
                "code": {"text": "c"},
                "valueSampledData": {"period": 1, "dimensions": 1},
            }
        ],
    }


def test_true_leaves_no_empty_element() -> None:
    media = {
        "resourceType": "Media",
        "status": "completed",
        "subject": {"display": "x"},
        "content": {"data": "AAAA"},
    }
    expected = {name: media[name] for name in ("resourceType", "status", "subject")}
    assert cut(media, "true") == {**expected, "meta": META}
    service = {"resourceType": "HealthcareService", "photo": {"data": "AAAA"}, "name": "x"}
    assert cut(service, "true") == {
        "resourceType": "HealthcareService",
        "meta": META,
        "name": "x",
    }


def test_true_leaves_mandatory_elements_that_are_no_summary() -> None:
    appointment = {
        "resourceType": "Appointment",
        "status": "booked",
        "comment": "x",
        "participant": [{"status": "accepted", "period": {"start": "2000"}}],
    }
    assert cut(appointment, "true") == {
        "resourceType": "Appointment",
        "meta": META,
        "status": "booked",
        "participant": [{"status": "accepted"}],
    }


def test_true_cuts_the_resources_of_a_bundle() -> None:
    entry = {"fullUrl": "urn:x", "resource": PATIENT, "search": {"mode": "match"}}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [entry]}
    assert cut(bundle, "true") == {
        "resourceType": "Bundle",
        "meta": META,
        "type": "collection",
        "entry": [
            {
                "fullUrl": "urn:x",
                "resource": cut(PATIENT, "true"),
                "search": {"mode": "match"},
            }
        ],
    }


def test_text_leaves_text_id_meta_and_mandatory_elements() -> None:
    assert cut(PATIENT, "text") == {**parts(PATIENT, "text"), "meta": META}
    assert cut(OBSERVATION, "text") == {
        **parts(OBSERVATION, "text", "status", "_status", "code"),
        "meta": {"versionId": "1", "tag": [{"code": "a"}, TAG]},
    }


def test_data_leaves_all_but_text() -> None:
    expected = {name: value for name, value in PATIENT.items() if name != "text"}
    assert cut(PATIENT, "data") == {**expected, "meta": META}


@pytest.mark.parametrize("mode", ["true", "text", "data"])
def test_the_tag_is_added_once(mode: Mode) -> None:
    tagged = {"resourceType": "Patient", "meta": {"tag": [{**TAG, "display": "part"}]}}
    assert cut(tagged, mode) == tagged
    assert cut(cut(PATIENT, mode), mode)["meta"] == META
    empty = {"resourceType": "Patient", "meta": {"tag": [], "source": "urn:x"}}
    assert cut(empty, mode)["meta"] == {"tag": [TAG], "source": "urn:x"}


@pytest.mark.parametrize("mode", ["true", "data"])
def test_numbers_keep_their_literal(mode: Mode) -> None:
    raw = b'{"resourceType":"Observation","valueQuantity":{"value": 0.0000000100 },"component":[{'
    raw += b'"valueQuantity":{"value":1.0e2}}]}'
    left = summarised(load(), raw, mode)
    assert b'"valueQuantity":{"value": 0.0000000100 }' in left
    assert b'"valueQuantity":{"value":1.0e2}' in left


def test_elements_leave_mandatory_and_modifier_elements_too() -> None:
    always = {"resourceType", "id", "implicitRules", "modifierExtension", "active"}
    always |= {"deceasedBoolean", "link"}
    assert chosen(PATIENT, "photo") == always | {"photo"}
    assert chosen(PATIENT, "birthDate", "text", "birthDate") == always | {
        "birthDate",
        "_birthDate",
        "text",
    }
    assert chosen(OBSERVATION, "id") == {"resourceType", "id", "status", "_status", "code"}


@pytest.mark.parametrize("name", ["value", "value[x]", "valueQuantity"])
def test_a_choice_has_three_names(name: str) -> None:
    expected = {"resourceType", "id", "status", "_status", "code", "valueQuantity"}
    assert chosen(OBSERVATION, name) == expected
    assert chosen(OBSERVATION, "valueString") == expected - {"valueQuantity"}


@pytest.mark.parametrize(
    "name", ["nickname", "Patient.name", "name.text", "_birthDate", "", "Name", "resourceType"]
)
def test_a_name_that_is_no_element_is_refused(name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        chosen(PATIENT, "photo", name)
    issue = caught.value.issues[0]
    assert (issue.code, issue.expression) == ("value", "_elements")


def test_a_name_may_be_of_another_of_the_types_asked_for() -> None:
    types = ("Patient", "Observation")
    assert chosen(OBSERVATION, "photo", "note", types=types) == {
        "resourceType",
        "id",
        "status",
        "_status",
        "code",
        "note",
    }
    with pytest.raises(BadRequest):
        chosen(OBSERVATION, "photo", "participant", types=types)
