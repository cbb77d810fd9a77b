"""Judging leaves a resource as it is, and says of each what is wrong rather than break."""

import copy
from typing import Any

import pytest

from fhir_server.r4.definitions import load
from fhir_server.validation.structure import Validator

Json = dict[str, Any]


@pytest.fixture(scope="module")
def validator() -> Validator:
    return Validator(load())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(
            {
                "resourceType": "Questionnaire",
                "status": "draft",
                "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "2"}]}],
            },
            id="items",
        ),
        pytest.param(
            {
                "resourceType": "CodeSystem",
                "status": "draft",
                "content": "complete",
                "concept": [{"code": "a", "concept": [{"code": "b"}]}],
            },
            id="concepts",
        ),
    ],
)
def test_resource_is_left_as_it_is(validator: Validator, data: Json) -> None:
    before = copy.deepcopy(data)
    validator.judge(data["resourceType"], data)
    assert data == before


@pytest.mark.parametrize(
    "resource",
    [
        pytest.param({"resourceType": {"a": 1}}, id="type that is an object"),
        pytest.param({"resourceType": "Patient", "meta": "x"}, id="meta that is a text"),
        pytest.param({"resourceType": "Patient", "meta": {"versionId": []}}, id="version"),
    ],
)
def test_resource_of_an_entry_may_be_anything(validator: Validator, resource: Json) -> None:
    entry = {"fullUrl": "urn:uuid:1", "resource": resource}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [entry]}
    assert "error" in {issue.severity for issue in validator.judge("Bundle", bundle).issues}
