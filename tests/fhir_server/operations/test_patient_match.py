"""`Patient/$match` over HTTP: whom it finds, for whom, and what is recorded of it."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.caller import trusted
from fhir_server.interactions import auditing, patient_match
from fhir_server.rights import Grant, Matching
from fhir_server.server import Server
from tests.fhir_server.access.restricted import Asking, asking

__all__ = ["asking"]
pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parents[3] / "docs" / "patient-match.md"
MRN = "urn:hospital"


def patient(id_: str, family: str, given: str, born: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": id_,
        "name": [{"family": family, "given": [given]}],
        "birthDate": born,
        **more,
    }


RAO = {"gender": "female", "telecom": [{"system": "phone", "value": "+91 98765 43210"}]}
STORED = (
    patient("a", "Rao", "Asha", "1980-01-02", identifier=[{"system": MRN, "value": "P1"}], **RAO),
    patient("b", "Rao", "Usha", "1980-01-02", **RAO),
    patient("c", "Rau", "Asha", "1980-02-01", gender="female"),
    patient("d", "Singh", "Ravi", "1975-03-04", identifier=[{"system": MRN, "value": "P4"}]),
    patient(
        *("e", "Rao", "Asha", "1980-01-02"),
        link=[{"other": {"reference": "Patient/a"}, "type": "replaced-by"}],
    ),
)


@pytest.fixture
async def known(client: httpx.AsyncClient) -> None:
    for one in STORED:
        answer = await client.put(f"Patient/{one['id']}", json=one)
        assert answer.is_success, answer.text


async def match(client: httpx.AsyncClient, resource: dict[str, Any], **more: Any) -> Any:
    given = [{"name": "resource", "resource": {"resourceType": "Patient", **resource}}]
    if "certain" in more:
        given.append({"name": "onlyCertainMatches", "valueBoolean": more["certain"]})
    if "count" in more:
        given.append({"name": "count", "valueInteger": more["count"]})
    body = {"resourceType": "Parameters", "parameter": given}
    answer = await client.post("Patient/$match", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def told(bundle: dict[str, Any]) -> dict[str, str]:
    """The grades by id, in their order."""
    found = [(e["resource"]["id"], e["search"]) for e in bundle.get("entry", ())]
    scores = [search["score"] for _, search in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= one <= 1 for one in scores)
    return {id_: search["extension"][0]["valueCode"] for id_, search in found}


ASHA = {"name": [{"family": "Rao", "given": ["Asha"]}], "birthDate": "1980-01-02"}
QUESTIONS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "by what all agree in": (
        {**ASHA, "telecom": [{"system": "phone", "value": "09876543210"}]},
        {"a": "certain", "b": "possible", "c": "possible"},
    ),
    "by identifier": ({"identifier": [{"system": MRN, "value": "p1"}]}, {"a": "probable"}),
    "by name and birth date": (ASHA, {"a": "probable", "b": "possible", "c": "possible"}),
    "by telephone in another form and birth date": (
        {"telecom": [{"system": "phone", "value": "9876543210"}], "birthDate": "1980-01-02"},
        {"a": "probable", "b": "probable"},
    ),
    "by telephone and given name": (
        {
            "telecom": [{"system": "phone", "value": "9876543210"}],
            "name": [{"family": "Nair", "given": ["Asha"]}],
            "gender": "female",
        },
        {"a": "possible"},
    ),
    "by telephone and name": (
        {
            "telecom": [{"system": "phone", "value": "098765-43210"}],
            "name": [{"text": "Usha Rao"}],
        },
        {"b": "probable", "a": "possible"},
    ),
    "by name alone": ({"name": [{"family": "rao", "given": ["asha"]}]}, {"a": "possible"}),
    "by names exchanged": (
        {"name": [{"family": "Asha", "given": ["Rao"]}], "birthDate": "1980-01-02"},
        {"a": "possible"},
    ),
    "nobody": ({"name": [{"family": "Nair", "given": ["Vinod"]}], "birthDate": "1990-01-02"}, {}),
}


@pytest.mark.usefixtures("known")
async def test_patients_are_found_and_graded(client: httpx.AsyncClient) -> None:
    found = {name: told(await match(client, asked)) for name, (asked, _) in QUESTIONS.items()}
    assert found == {name: expected for name, (_, expected) in QUESTIONS.items()}


@pytest.mark.usefixtures("known")
async def test_the_example_of_the_page_finds_the_patient(client: httpx.AsyncClient) -> None:
    [_, example, *_] = re.split("```(?:json)?", PAGE.read_text(encoding="utf-8"))
    answer = await client.post("Patient/$match", json=json.loads(example))
    assert told(answer.json()) == {"a": "certain", "b": "possible", "c": "possible"}


@pytest.mark.usefixtures("known")
async def test_only_the_one_certain_match_is_returned(client: httpx.AsyncClient) -> None:
    sure = {**ASHA, "telecom": RAO["telecom"]}
    assert told(await match(client, sure, certain=True)) == {"a": "certain"}
    assert told(await match(client, ASHA, certain=True)) == {}
    assert told(await match(client, sure, count=1)) == {"a": "certain"}
    twice = await client.put("Patient/f", json={**STORED[0], "id": "f"})
    assert twice.is_success
    assert told(await match(client, sure, certain=True)) == {}


@pytest.mark.usefixtures("known")
async def test_hidden_patients_are_neither_found_nor_scored(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    sure = {**ASHA, "telecom": RAO["telecom"]}
    whole = await match(client, sure)
    asking.be((Grant("Patient", "rs", (Matching((("family", "rau"),)),)),))
    shown = await match(client, sure)
    assert told(shown) == {"c": "possible"}
    [entry] = shown["entry"]
    assert entry["search"] in [one["search"] for one in whole["entry"]]
    asking.be((Grant("Observation", "rs"),))
    answer = await client.post("Patient/$match", json={"resourceType": "Patient", **sure})
    assert answer.status_code == 403


@pytest.mark.usefixtures("known")
async def test_bundle_is_valid_and_what_is_shown_is_recorded(
    client: httpx.AsyncClient, server: Server
) -> None:
    bundle = await match(client, ASHA)
    assert (bundle["type"], bundle["entry"][0]["fullUrl"].endswith("/Patient/a")) == (
        "searchset",
        True,
    )
    judged = await client.post("Bundle/$validate", json=bundle)
    assert [i for i in judged.json()["issue"] if i["severity"] in {"error", "fatal"}] == []
    await auditing.step(server)
    found = (await client.get("AuditEvent?subtype=match&_count=100")).json()["entry"]
    events = [one["resource"] for one in found]
    assert {one["action"] for one in events} == {"E"}
    entities = [each for one in events for each in one["entity"]]
    whats = {one.get("what", {}).get("reference", "").split("/_")[0] for one in entities}
    patients = {one for one in whats if one.startswith("Patient/")}
    assert patients == {"Patient/a", "Patient/b", "Patient/c"}
    queries = {one["query"] for one in entities if "query" in one}
    assert {base64.b64decode(one) for one in queries} == {b"Patient/$match"}


@pytest.mark.parametrize(
    ("body", "expression"),
    [
        ({"resourceType": "Parameters"}, "resource"),
        ({"resourceType": "Observation", "status": "final", "code": {}}, "resource"),
        ({"resourceType": "Patient", "gender": "female"}, "resource"),
        ({"resourceType": "Patient", "birthDate": "yesterday"}, "Patient.birthDate"),
        (
            {
                "resourceType": "Parameters",
                "parameter": [
                    {"name": "resource", "resource": {"resourceType": "Patient", **ASHA}},
                    {"name": "count", "valueInteger": 0},
                ],
            },
            "count",
        ),
    ],
)
async def test_what_describes_nobody_is_refused(
    client: httpx.AsyncClient, body: dict[str, Any], expression: str
) -> None:
    answer = await client.post("Patient/$match", json=body)
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == [expression]


async def test_capability_statement_names_it(client: httpx.AsyncClient) -> None:
    rest = (await client.get("metadata")).json()["rest"][0]
    [patients] = [one for one in rest["resource"] if one["type"] == "Patient"]
    assert "http://hl7.org/fhir/OperationDefinition/Patient-match" in [
        one["definition"] for one in patients["operation"]
    ]


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    "name",
    [
        {"family": "Rao, $|\\", "given": ["--Asha"]},
        {"_given": [{"id": "x"}], "family": "'Rao"},
        {"family": "--", "given": ["Asha"]},
    ],
    ids=["marks of searches", "no text", "no letter"],
)
async def test_names_are_asked_for_whatever_they_are_written_with(
    server: Server, name: dict[str, Any]
) -> None:
    """With so few candidates each search is followed by its narrower ones."""
    few = server.settings.match.model_copy(update={"candidates": 1})
    narrow = replace(server, settings=server.settings.model_copy(update={"match": few}))
    meant = {"resourceType": "Patient", "name": [name], "birthDate": "1980-01-02"}
    found = await patient_match.matches(narrow, trusted("tests", "rest"), meant, count=9)
    assert {one.id for one in found} <= {"a", "b", "c"}
    assert found
