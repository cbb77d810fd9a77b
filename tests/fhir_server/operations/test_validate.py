"""`$validate`: each mode on each level; what is refused; nothing is ever stored."""

from typing import Any

import httpx
import pytest

from fhir_server.server import Server

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
PATIENT: Json = {"resourceType": "Patient", "name": [{"family": "Rao"}]}
BP = "http://hl7.org/fhir/StructureDefinition/bp"
PROFILE: Json = {
    "resourceType": "StructureDefinition",
    "id": "named",
    "url": "http://site.test/StructureDefinition/named",
    "version": "2.1.0",
    "name": "Named",
    "status": "active",
    "kind": "resource",
    "abstract": False,
    "type": "Patient",
    "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
    "derivation": "constraint",
    "differential": {"element": [{"id": "Patient.name", "path": "Patient.name", "min": 1}]},
}
CODES: Json = {
    "resourceType": "ValueSet",
    "id": "marital",
    "url": "http://hl7.org/fhir/ValueSet/marital-status",
    "version": "4.0.1",
    "status": "active",
    "compose": {"include": [{"system": "urn:m", "concept": [{"code": "M"}]}]},
}


def parameters(**given: Any) -> Json:
    """Return Parameters; a resource as it is, other values as codes."""
    listed = [
        {"name": name, "resource" if name == "resource" else "valueCode": value}
        for name, value in given.items()
    ]
    return {"resourceType": "Parameters", "parameter": listed}


async def told(
    client: httpx.AsyncClient, path: str, body: Json | None, **headers: str
) -> list[tuple[str, str, str | None]]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await client.post(path, json=body or parameters(), headers=sent)
    assert response.status_code == 200, response.text
    return [
        (one["severity"], one["code"], one.get("expression", [None])[0])
        for one in response.json()["issue"]
    ]


FINE = [("information", "informational", None)]


@pytest.mark.parametrize("path", ["/$validate", "/Patient/$validate"])
@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: parameters(resource=one)])
async def test_a_resource_is_judged_bare_and_wrapped(
    client: httpx.AsyncClient, path: str, wrap: Any
) -> None:
    assert await told(client, path, wrap(PATIENT)) == FINE
    wrong = {**PATIENT, "gender": "x", "birthDate": "1980-02-30", "contact": [{"gender": "male"}]}
    assert await told(client, path, wrap(wrong)) == [
        ("error", "code-invalid", "Patient.gender"),
        ("error", "value", "Patient.birthDate"),
    ]
    assert await told(client, path, wrap({**PATIENT, "contact": [{"gender": "male"}]})) == [
        ("error", "invariant", "Patient.contact[0]")
    ]


async def test_a_resource_of_another_type_is_told(client: httpx.AsyncClient) -> None:
    assert await told(client, "/Group/$validate", PATIENT) == [
        ("error", "structure", "resourceType")
    ]


async def test_extensible_bindings_advise(client: httpx.AsyncClient, server: Server) -> None:
    assert (await client.put("/ValueSet/marital", json=CODES)).status_code == 201

    def married(code: str) -> Json:
        return {**PATIENT, "maritalStatus": {"coding": [{"system": "urn:m", "code": code}]}}

    assert await told(client, "/$validate", married("M")) == FINE
    warned = await told(client, "/$validate", married("other"))
    assert warned == [("warning", "code-invalid", "Patient.maritalStatus")]
    assert (await client.post("/Patient", json=married("other"))).status_code == 201
    prefer = {"prefer": "return=OperationOutcome"}
    stored = await client.post("/Patient", json=married("other"), headers=prefer)
    assert stored.status_code == 201
    assert [one["severity"] for one in stored.json()["issue"]] == ["information", "warning"]


async def test_profiles_are_asked_for_and_claimed(client: httpx.AsyncClient) -> None:
    assert (await client.put("/StructureDefinition/named", json=PROFILE)).status_code == 201
    url, nameless = PROFILE["url"], {"resourceType": "Patient", "active": True}
    missing = [("error", "required", "Patient.name")]
    for profile in (url, f"{url}|2.1.0", f"{url}|2.1"):
        asked = parameters(resource=nameless, profile=profile)
        found = await told(client, "/Patient/$validate", asked)
        assert [one[0] for one in found] == ["error"], profile
        assert await told(client, f"/$validate?profile={profile}", PATIENT) == FINE
    claiming = {**nameless, "meta": {"profile": [url]}}
    found = await told(client, "/$validate", claiming)
    assert [(severity, place) for severity, _, place in found] == [(missing[0][0], missing[0][2])]
    refused = await client.post("/Patient", json=claiming)
    assert (refused.status_code, [one["code"] for one in refused.json()["issue"]]) == (
        422,
        [found[0][1]],
    )
    assert (await client.post("/Patient", json={**claiming, **PATIENT})).status_code == 201


async def test_a_profile_that_nobody_knows_is_not_found(client: httpx.AsyncClient) -> None:
    response = await client.post("/Patient/$validate?profile=http://none.test/p", json=PATIENT)
    assert response.status_code == 404
    assert response.json()["issue"][0]["code"] == "not-found"
    claiming = {**PATIENT, "meta": {"profile": ["http://none.test/p"]}}
    assert await told(client, "/$validate", claiming) == [
        ("warning", "not-found", "Patient.meta.profile[0]")
    ]


async def test_create_and_update_are_tried_and_undone(client: httpx.AsyncClient) -> None:
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/none"},
    }
    dangling = [("error", "not-found", "Observation.subject.reference")]
    found = await told(client, "/$validate?mode=create", observation)
    assert [one for one in found if one[0] == "error"] == dangling
    assert await told(client, "/Patient/$validate?mode=create", PATIENT) == FINE
    assert (await client.get("/Patient?_summary=count")).json()["total"] == 0
    known = {**PATIENT, "id": "p", "identifier": [{"system": "urn:s", "value": "1"}]}
    assert (await client.put("/Patient/p", json=known)).status_code == 201
    there = await told(
        client, "/Patient/$validate?mode=create", PATIENT, if_none_exist="identifier=urn:s|1"
    )
    assert there == [("information", "duplicate", None)]
    renamed = {**known, "active": True}
    assert await told(client, "/Patient/p/$validate?mode=update", renamed) == FINE
    assert (await client.get("/Patient/p")).json()["meta"]["versionId"] == "1"
    wrong = await told(client, "/Patient/p/$validate?mode=update", {**known, "id": "q"})
    assert wrong == [("error", "value", "Patient.id")]
    stale = await told(client, "/Patient/p/$validate?mode=update", renamed, if_match='W/"9"')
    assert [one[:2] for one in stale] == [("error", "conflict")]


async def test_delete_heeds_what_refers(client: httpx.AsyncClient) -> None:
    assert (await client.put("/Patient/p", json={**PATIENT, "id": "p"})).status_code == 201
    assert await told(client, "/Patient/p/$validate?mode=delete", None) == FINE
    basic = {"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": "Patient/p"}}
    assert (await client.post("/Basic", json=basic)).status_code == 201
    found = await told(client, "/Patient/p/$validate?mode=delete", None)
    assert [one[:2] for one in found] == [("error", "conflict")]
    assert (await client.get("/Patient/p")).status_code == 200
    gone = await client.post("/Patient/none/$validate?mode=delete", json=parameters())
    assert gone.status_code == 404


async def test_the_stored_resource_is_judged(client: httpx.AsyncClient) -> None:
    body = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}}
    assert (await client.put("/Observation/o", json=body)).status_code == 201
    response = await client.get(f"/Observation/o/$validate?mode=profile&profile={BP}")
    assert response.status_code == 200
    places = {
        one["expression"][0] for one in response.json()["issue"] if one["severity"] == "error"
    }
    assert {"Observation.subject", "Observation.category"} <= places


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/Patient/$validate", parameters(), "required"),
        ("/Patient/$validate", parameters(resource=PATIENT, mode="x"), "value"),
        ("/Patient/$validate", parameters(resource=PATIENT, mode="delete"), "not-supported"),
        ("/Patient/$validate", parameters(resource=PATIENT, mode="profile"), "not-supported"),
        ("/Patient/p/$validate", parameters(mode="profile"), "required"),
        ("/Patient/p/$validate", parameters(mode="update"), "required"),
        ("/Patient/$validate", parameters(other=PATIENT), "invalid"),
        ("/Patient/$validate", parameters(resource=PATIENT, mode="update"), "required"),
    ],
)
async def test_what_has_no_meaning_is_400(
    client: httpx.AsyncClient, path: str, body: Json, code: str
) -> None:
    response = await client.post(path, json=body)
    assert (response.status_code, response.json()["issue"][0]["code"]) == (400, code)


@pytest.mark.parametrize("path", ["/$validate", "/Patient"])
async def test_neither_answer_nor_log_quotes_what_was_sent(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    mark = "Zaphod Marker"
    sent = {
        "resourceType": "Patient",
        mark: mark,
        "meta": {"profile": [f"http://none.test/{mark}"]},
        "name": [{"family": mark, "use": mark, "period": {"start": mark}}],
        "gender": mark,
        "birthDate": mark,
        "language": mark,
        "generalPractitioner": [{"reference": f"Nope/{mark}"}],
        "maritalStatus": {"coding": [{"system": mark, "code": mark}]},
        "text": {"status": "generated", "div": f"<div>{mark}<{mark}></div>"},
    }
    with caplog.at_level("DEBUG"):
        response = await client.post(path, json=sent)
    assert len(response.json()["issue"]) > 5
    assert mark not in response.text
    assert mark not in caplog.text


async def test_an_entry_of_a_batch_has_conditions_of_its_own(client: httpx.AsyncClient) -> None:
    known = {**PATIENT, "identifier": [{"system": "urn:s", "value": "1"}]}
    assert (await client.post("/Patient", json=known)).status_code == 201
    request = {"method": "POST", "url": "Patient/$validate?mode=create"}
    criteria = {"ifNoneExist": "identifier=urn:s|1"}
    entries = [
        {"resource": known, "request": {**request, **own}} for own in (criteria, dict[str, str]())
    ]
    batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    headers = {"if-none-exist": "identifier=urn:s|1"}
    answer = await client.post("/", json=batch, headers=headers)
    found = [one["resource"]["issue"][0]["code"] for one in answer.json()["entry"]]
    assert found == ["duplicate", "informational"]
