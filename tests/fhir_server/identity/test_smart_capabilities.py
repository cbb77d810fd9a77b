"""What smart-configuration names is there: each capability has a test, and the docs say which."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from fhir_server.config import Settings
from fhir_server.identity import clients, discovery, opaque
from fhir_server.server import Server
from tests.fhir_server.identity.app import (
    APP,
    AUTH,
    BASE,
    Person,
    asked,
    cheap,
    code_of,
    redeeming,
    settle,
)

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
PAGE = Path(__file__).parents[3] / "docs" / "security-login.md"
_ROW = re.compile(r"^\| `([\w-]+)` \| .* \| ((?:`test_\w+`(?:, )?)+) \|$", re.MULTILINE)


def functions() -> set[str]:
    return {
        node.name
        for path in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_each_capability_is_in_the_docs_with_tests_that_there_are() -> None:
    rows = _ROW.findall(PAGE.read_text())
    named = {test for _, tests in rows for test in re.findall(r"test_\w+", tests)}
    assert [name for name, _ in rows] == list(discovery.CAPABILITIES)
    assert named - functions() == set()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return cheap(settings)


@pytest.fixture
async def person(server: Server, client: httpx.AsyncClient) -> Person:
    await settle(server)
    found = Person(client)
    await found.log_in()
    return found


CONTEXTS = [
    {"reference": "ImagingStudy/s1"},
    {"reference": "DiagnosticReport/r1", "role": "https://example.org/role"},
    {"canonical": "https://example.org/Questionnaire/q|1", "type": "Questionnaire"},
    {"identifier": {"system": "urn:oid:1.2.3", "value": "A1"}, "type": "ServiceRequest"},
]
NO_CONTEXTS = [
    {},
    {"role": "launch"},
    {"reference": "Nothing/1"},
    {"reference": "Patient/../1"},
    {"reference": ["Patient/1"]},
    {"reference": "Patient/1", "canonical": 5},
    {"canonical": ""},
    {"identifier": {"system": "urn:oid:1.2.3"}},
    {"identifier": "A1"},
    {"canonical": "https://example.org/x", "type": "Nothing"},
    {"reference": "Patient/1", "more": True},
    "Patient/1",
]


async def put(http: httpx.AsyncClient, *resources: dict[str, object]) -> None:
    for one in resources:
        answer = await http.put(f"{BASE}/{one['resourceType']}/{one['id']}", json=one)
        assert answer.status_code == 201, answer.text


async def ehr(server: Server) -> httpx.BasicAuth:
    """Store a client that may launch apps and ask for tokens of others."""
    secret = opaque.new()
    known = replace(
        APP,
        id="ehr",
        authentication="client_secret_basic",
        secret=opaque.hashed(secret),
        grants=("launch", "introspection"),
        scope="openid",
    )
    async with server.database.statement() as connection:
        await clients.add(connection, known, "test")
    return httpx.BasicAuth("ehr", secret)


async def test_an_ehr_launches_with_all_that_it_has_open(person: Person, server: Server) -> None:
    visit = {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "in-progress",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/a"},
    }
    await put(person.http, {"resourceType": "Patient", "id": "a"}, visit)
    basic = await ehr(server)
    opened = {
        "patient": "a",
        "encounter": "e1",
        "intent": "reconcile",
        "need_patient_banner": True,
        "fhirContext": CONTEXTS,
    }
    url = f"{AUTH}/launch"
    refused = [
        (await person.http.post(url, json={"fhirContext": [one]}, auth=basic)).status_code
        for one in NO_CONTEXTS
    ]
    assert refused == [400] * len(NO_CONTEXTS)
    handle = (await person.http.post(url, json=opened, auth=basic)).json()["launch"]
    code = await code_of(person, scope="launch patient/Observation.rs", launch=handle)
    answer = await person.http.post(f"{AUTH}/token", data=redeeming(code))
    found = answer.json()
    assert {name: found[name] for name in opened} == opened
    asking = {"token": found["access_token"]}
    told = (await person.http.post(f"{AUTH}/introspect", data=asking, auth=basic)).json()
    assert {name: told[name] for name in opened} == opened

    style = await person.http.get(found["smart_style_url"])
    assert style.headers["content-type"] == "application/json"
    assert {name for name in style.json() if name.startswith("color_")} == {
        "color_background",
        "color_error",
        "color_highlight",
        "color_modal_backdrop",
        "color_success",
        "color_text",
    }


async def test_the_list_of_patients_has_those_whom_the_user_may_see(
    person: Person, server: Server
) -> None:
    own = {"generalPractitioner": [{"reference": "Practitioner/p1"}]}
    await put(
        person.http,
        {"resourceType": "Practitioner", "id": "p1"},
        {"resourceType": "Patient", "id": "own", "name": [{"family": "Rao"}], **own},
        {"resourceType": "Patient", "id": "hidden", "name": [{"family": "Rao"}]},
    )
    async with server.database.statement() as connection:
        await connection.execute("UPDATE identity_user SET roles = '{DOCTOR}'")
    basic = await ehr(server)
    await person.get("authorize", asked(scope="launch/patient patient/Patient.rs"))
    listed = re.findall(r'name="patient" value="(\w+)"', person.page)
    request = person.hidden["request"]
    await person.get("continue", {"request": request, "q": "Rao"})
    found = re.findall(r'name="patient" value="(\w+)"', person.page)
    assert (listed, found) == (["own"], ["own"])
    assert (await person.send("continue", patient="hidden")).status_code == 403
    opened = await person.http.post(f"{AUTH}/launch", json={"patient": "hidden"}, auth=basic)
    asking = asked(scope="launch patient/Patient.rs", launch=opened.json()["launch"])
    assert "error=access_denied" in (await person.get("authorize", asking)).headers["location"]


async def test_scopes_of_both_versions_let_through_what_they_say(person: Person) -> None:
    system = "http://terminology.hl7.org/CodeSystem/observation-category"

    def observation(id_: str, category: str) -> dict[str, object]:
        return {
            "resourceType": "Observation",
            "id": id_,
            "status": "final",
            "code": {"text": "Glucose"},
            "category": [{"coding": [{"system": system, "code": category}]}],
        }

    await put(
        person.http,
        {"resourceType": "Patient", "id": "a"},
        observation("lab", "laboratory"),
        observation("vital", "vital-signs"),
    )
    scope = f"user/Patient.read user/Observation.rs?category={system}|laboratory"
    code = await code_of(person, scope=scope)
    found = (await person.http.post(f"{AUTH}/token", data=redeeming(code))).json()
    assert found["scope"] == scope
    bearer = {"Authorization": f"Bearer {found['access_token']}"}
    seen = [
        (await person.http.get(f"{BASE}/{one}", headers=bearer)).status_code
        for one in ("Patient/a", "Patient", "Observation/lab", "Observation/vital", "Encounter")
    ]
    listed = (await person.http.get(f"{BASE}/Observation", headers=bearer)).json()
    written = await person.http.put(
        f"{BASE}/Patient/a", json={"resourceType": "Patient", "id": "a"}, headers=bearer
    )
    assert (seen, written.status_code) == ([200, 200, 200, 404, 403], 403)
    assert [one["resource"]["id"] for one in listed["entry"]] == ["lab"]
