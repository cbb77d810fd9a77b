"""`$fhirpath`: results by type, contexts, variables, traces; what is refused."""

from typing import Any

import httpx
import pytest

from fhir_server.r4 import json

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
PATIENT: Json = {
    "resourceType": "Patient",
    "id": "p",
    "name": [
        {"family": "Rao", "given": ["Asha", "Devi"]},
        {"given": ["A"], "_given": [{"id": "g"}]},
    ],
    "birthDate": "1980-02-29",
    "contact": [{"gender": "male"}],
    "multipleBirthInteger": 2,
}


def body(expression: str, **given: Json) -> Json:
    parameters = [
        {"name": "expression", "valueString": expression},
        *({"name": name, **value} for name, value in given.items()),
    ]
    if "resource" not in given:
        parameters.append({"name": "resource", "resource": PATIENT})
    return {"resourceType": "Parameters", "parameter": parameters}


async def results(client: httpx.AsyncClient, sent: Json, path: str = "/$fhirpath") -> list[Json]:
    response = await client.post(path, json=sent)
    assert response.status_code == 200, response.text
    answer = response.json()
    first, *others = answer["parameter"]
    assert (answer["id"], first["name"], first["part"][0]["name"]) == (
        "fhirpath",
        "parameters",
        "evaluator",
    )
    assert {one["name"] for one in others} <= {"result"}
    return others


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("name.first().family", [{"name": "string", "valueString": "Rao"}]),
        ("birthDate", [{"name": "date", "valueDate": "1980-02-29"}]),
        ("multipleBirth", [{"name": "integer", "valueInteger": 2}]),
        ("1.50 + 1", [{"name": "decimal", "valueDecimal": 2.5}]),
        ("name.exists()", [{"name": "boolean", "valueBoolean": True}]),
        ("''", [{"name": "empty-string"}]),
        ("@2020-01-01T10:00:00Z", [{"name": "dateTime", "valueDateTime": "2020-01-01T10:00:00Z"}]),
        ("2147483647 + 1 > 0", [{"name": "boolean", "valueBoolean": True}]),
        ("name[1].given", [{"name": "string", "valueString": "A", "_valueString": {"id": "g"}}]),
        ("name[0]", [{"name": "HumanName", "valueHumanName": PATIENT["name"][0]}]),
        (
            "contact",
            [
                {
                    "name": "Patient.contact",
                    "extension": [
                        {
                            "url": "http://fhir.forms-lab.com/StructureDefinition/json-value",
                            "valueString": '{"gender":"male"}',
                        }
                    ],
                }
            ],
        ),
        ("%resource.id", [{"name": "id", "valueId": "p"}]),
        ("photo", None),
        (
            "4 'mg'",
            [
                {
                    "name": "Quantity",
                    "valueQuantity": {
                        "value": 4,
                        "unit": "mg",
                        "system": "http://unitsofmeasure.org",
                        "code": "mg",
                    },
                }
            ],
        ),
    ],
)
async def test_items_are_parts_of_their_types(
    client: httpx.AsyncClient, expression: str, parts: list[Json] | None
) -> None:
    found = await results(client, body(expression))
    assert [one.get("part") for one in found] == [parts]


async def test_each_item_of_the_context_gives_a_result(client: httpx.AsyncClient) -> None:
    found = await results(
        client, body("trace('seen', given).given.count()", context={"valueString": "name"})
    )
    seen = [[{"name": "string", "valueString": "Asha"}, {"name": "string", "valueString": "Devi"}]]
    assert found[0] == {
        "name": "result",
        "valueString": "name[0]",
        "part": [
            {"name": "integer", "valueInteger": 2},
            {"name": "trace", "valueString": "seen", "part": seen[0]},
        ],
    }
    assert (found[1]["valueString"], found[1]["part"][0]) == (
        "name[1]",
        {"name": "integer", "valueInteger": 1},
    )


async def test_variables_are_given(client: httpx.AsyncClient) -> None:
    variables = {
        "part": [
            {"name": "n", "valueInteger": 3},
            {"name": "other", "resource": {"resourceType": "Group", "id": "g"}},
        ]
    }
    found = await results(client, body("%n + 1 | %other.id", variables=variables))
    assert [next(iter(one.values())) for one in found[0]["part"]] == ["integer", "id"]


async def test_codes_are_asked_of_the_value_sets(client: httpx.AsyncClient) -> None:
    value_set = {
        "resourceType": "ValueSet",
        "url": "http://site.test/vs",
        "status": "active",
        "compose": {"include": [{"system": "urn:s", "concept": [{"code": "male"}]}]},
    }
    assert (await client.post("/ValueSet", json=value_set)).status_code == 201
    for url, part in (("http://site.test/vs", True), ("http://site.test/none", None)):
        (found,) = await results(client, body(f"contact.gender.memberOf('{url}')"))
        assert found.get("part", [{}])[0].get("valueBoolean") is part


async def test_it_is_asked_by_url_too(client: httpx.AsyncClient) -> None:
    asked = {"expression": "name.given", "resource": json.encode(PATIENT).decode()}
    response = await client.get("/$fhirpath", params=asked)
    assert [one["valueString"] for one in response.json()["parameter"][1]["part"]] == [
        "Asha",
        "Devi",
        "A",
    ]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (body("name.("), 400, "invalid"),
        (body("'x'.toQuantity(1, 2)"), 400, "invalid"),
        (body("nope", validate={"valueBoolean": True}), 400, "invalid"),
        (body(""), 400, "required"),
        (body("name", other={"valueString": "x"}), 400, "invalid"),
        (body("name", resource={"valueString": "x"}), 400, "structure"),
        (body("name", resource={"resource": 5}), 400, "required"),
        (PATIENT, 400, "required"),
        (body("1" + ".toString()" * 200), 422, "too-costly"),
        (body("name.given" + " | name.given" * 200), 422, "too-costly"),
        (body("(0 | 1 | 2 | 3).repeat($this + 1)"), 422, "too-costly"),
    ],
)
async def test_what_cannot_be_evaluated_is_refused(
    client: httpx.AsyncClient, sent: Json, status: int, code: str
) -> None:
    response = await client.post("/$fhirpath", json=sent)
    assert (response.status_code, response.json()["issue"][0]["code"]) == (status, code)
    assert "Rao" not in response.text
