"""The way of an app from its request to its tokens."""

import re
from dataclasses import replace

import httpx
import pytest
from joserfc import jwt

from fhir_server.config import Settings
from fhir_server.identity import clients, launches
from fhir_server.identity.launches import Launched
from fhir_server.server import Server
from tests.fhir_server.identity.app import (
    APP,
    AUTH,
    BASE,
    SCOPE,
    Person,
    asked,
    cheap,
    code_of,
    redeeming,
    settle,
    signing_key,
    told,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return cheap(settings)


@pytest.fixture
async def person(server: Server, client: httpx.AsyncClient) -> Person:
    await settle(server)
    found = Person(client)
    assert (await found.log_in()).status_code == 303
    return found


async def token(person: Person, **form: str) -> httpx.Response:
    return await person.http.post(f"{AUTH}/token", data=form)


async def error_of(person: Person, **form: str) -> str:
    return str((await token(person, **form)).json().get("error"))


async def test_code_is_redeemed_for_tokens_that_say_who_and_what(person: Person) -> None:
    code = await code_of(person, nonce="n1")
    answer = await token(person, **redeeming(code))
    found = answer.json()
    claims = jwt.decode(found["access_token"], signing_key()).claims
    who = jwt.decode(found["id_token"], signing_key()).claims
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    assert (found["token_type"], found["expires_in"]) == ("Bearer", 3600)
    assert (found["scope"], "refresh_token" in found) == (asked()["scope"], False)
    said = {name: claims[name] for name in ("iss", "aud", "sub", "client_id", "scope", "fhirUser")}
    assert said == {
        "iss": BASE,
        "aud": BASE,
        "sub": "u1",
        "client_id": "app",
        "scope": found["scope"],
        "fhirUser": "Practitioner/p1",
    }
    user = f"{BASE}/Practitioner/p1"
    assert (who["aud"], who["nonce"], who["fhirUser"]) == ("app", "n1", user)


WRONG = [
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"state": ""}, "invalid_request"),
    ({"aud": ""}, "invalid_request"),
    ({"aud": "http://elsewhere.example.org/fhir"}, "invalid_request"),
    ({"code_challenge": ""}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"code_challenge_method": ""}, "invalid_request"),
    ({"scope": "system/*.rs"}, "invalid_scope"),
    ({"scope": "launch user/Patient.rs"}, "invalid_request"),
    ({"launch": "not-asked-for"}, "invalid_request"),
    ({"scope": "launch user/Patient.rs", "launch": "unknown"}, "invalid_request"),
    ({"prompt": "none"}, "consent_required"),
    ({"prompt": "none", "scope": "patient/Patient.rs"}, "interaction_required"),
]


async def test_a_wrong_request_goes_back_with_its_error(person: Person) -> None:
    found = [told(await person.get("authorize", asked(**change)))["error"] for change, _ in WRONG]
    assert found == [error for _, error in WRONG]


async def test_an_unknown_app_or_address_is_not_redirected_to(person: Person) -> None:
    for change in (
        {"client_id": "nobody"},
        {"redirect_uri": "https://app.example.org/back/more"},
        {"redirect_uri": "https://app.example.org.elsewhere.example/back"},
        {"redirect_uri": ""},
    ):
        answer = await person.get("authorize", asked(**change))
        assert (answer.status_code, "location" in answer.headers) == (400, False)
    doubled = [*asked().items(), ("client_id", "app")]
    assert (await person.http.get(f"{AUTH}/authorize", params=doubled)).status_code == 400


async def test_a_code_is_bound_to_challenge_address_app_and_time(
    person: Person, server: Server
) -> None:
    found = [
        await error_of(person, **redeeming(await code_of(person), **change))
        for change in (
            {"code_verifier": "w" * 43},
            {"code_verifier": ""},
            {"redirect_uri": "https://app.example.org/other"},
            {"client_id": "other"},
        )
    ]
    late = await code_of(person)
    async with server.database.statement() as connection:
        await connection.execute("UPDATE identity_code SET expires_at = now() - interval '1 s'")
    found.append(await error_of(person, **redeeming(late)))
    wanted = ["invalid_grant"] * 5
    wanted[3] = "invalid_client"
    assert found == wanted


async def test_a_code_or_refresh_token_that_comes_twice_revokes_what_it_gave(
    person: Person,
) -> None:
    scope = "offline_access user/Patient.rs user/Observation.rs"
    asking = {"grant_type": "refresh_token", "client_id": "app"}
    code = await code_of(person, scope=scope)
    first = (await token(person, **redeeming(code))).json()
    bearer = {"Authorization": f"Bearer {first['access_token']}"}
    assert (await person.http.get(f"{BASE}/Patient", headers=bearer)).status_code == 200
    assert await error_of(person, **redeeming(code)) == "invalid_grant"
    refresh = {**asking, "refresh_token": first["refresh_token"]}
    assert await error_of(person, **refresh) == "invalid_grant"

    first = (await token(person, **redeeming(await code_of(person, scope=scope)))).json()
    refresh = {**asking, "refresh_token": first["refresh_token"]}
    assert await error_of(person, **refresh, scope="user/Condition.rs") == "invalid_scope"
    second = (await token(person, **refresh, scope="user/Patient.r")).json()
    assert second["scope"] == "user/Patient.r"
    assert await error_of(person, **refresh) == "invalid_grant"
    again = {**asking, "refresh_token": second["refresh_token"]}
    assert await error_of(person, **again) == "invalid_grant"


async def test_the_user_may_strike_scopes_or_refuse(person: Person) -> None:
    await person.get("authorize", asked(scope="openid user/Patient.rs user/Observation.cruds"))
    assert "measurements and laboratory results" in person.page
    answer = await person.send("continue", agree="yes", scope=["openid", "user/Patient.rs"])
    found = (await token(person, **redeeming(told(answer)["code"]))).json()
    assert found["scope"] == "openid user/Patient.rs"

    await person.get("authorize", asked())
    wider = await person.send("continue", agree="yes", scope=["user/Patient.cruds"])
    assert told(wider)["error"] == "access_denied"
    await person.get("authorize", asked())
    assert told(await person.send("continue", refuse="yes")) == {
        "error": "access_denied",
        "error_description": "The user refused",
        "state": "s1",
    }


async def test_a_request_by_post_leads_on_by_get(person: Person) -> None:
    answer = await person.http.post(f"{AUTH}/authorize", data=asked())
    assert answer.status_code == 303
    assert (await person.get(answer.headers["location"])).status_code == 200
    assert "Growth chart asks for access" in person.page


async def test_a_form_of_another_site_or_session_is_refused(person: Person) -> None:
    await person.get("authorize", asked())
    form = {**person.hidden, "agree": "yes", "scope": "openid"}
    own = {"Origin": "http://testserver"}
    sent = [
        ({"Origin": "https://elsewhere.example.org"}, {}),
        ({"Origin": "null"}, {}),
        ({}, {}),
        ({**own, "Sec-Fetch-Site": "cross-site"}, {}),
        (own, {"csrf": "0" * 64}),
        (own, {"request": "forged"}),
        (own, {}),
    ]
    found = [
        (
            await person.http.post(f"{AUTH}/continue", data=form | change, headers=headers)
        ).status_code
        for headers, change in sent
    ]
    assert found == [403] * 6 + [303]


async def test_context_is_what_the_user_chose_or_the_ehr_has_open(
    person: Person, server: Server
) -> None:
    for id_ in ("a", "b"):
        name = [{"family": f"Family{id_}"}]
        patient = {"resourceType": "Patient", "id": id_, "name": name}
        visit = {
            "resourceType": "Encounter",
            "id": f"e-{id_}",
            "status": "in-progress",
            "class": {"code": "AMB", "display": "Ambulatory"},
            "subject": {"reference": f"Patient/{id_}"},
        }
        for one in (patient, visit):
            await person.http.put(f"{BASE}/{one['resourceType']}/{one['id']}", json=one)

    await person.get("authorize", asked(scope="launch/encounter patient/Observation.rs"))
    assert re.findall(r'name="patient" value="(\w+)"', person.page) == ["a", "b"]
    await person.send("continue", patient="b")
    assert re.findall(r'name="encounter" value="([\w-]*)"', person.page) == ["e-b", ""]
    foreign = await person.http.post(
        f"{AUTH}/continue",
        data={**person.hidden, "encounter": "e-a"},
        headers={"Origin": "http://testserver"},
    )
    assert foreign.status_code == 403
    await person.send("continue", encounter="e-b")
    answer = await person.send("continue", agree="yes", scope=["patient/Observation.rs"])
    found = (await token(person, **redeeming(told(answer)["code"]))).json()
    context = (found["patient"], found["encounter"], found["need_patient_banner"])
    assert context == ("b", "e-b", True)
    claims = jwt.decode(found["access_token"], signing_key()).claims
    assert (claims["patient"], claims["encounter"]) == ("b", "e-b")

    opened = {"patient": "a", "encounter": "e-a", "intent": "reconcile"}
    async with server.database.statement() as connection:
        await clients.add(connection, replace(APP, id="other"), "test")
        handle = await launches.add(connection, Launched(opened, "u1", "app"), 300)
        foreign_one = await launches.add(connection, Launched(opened, "u1", "other"), 300)
        hidden = await launches.add(connection, Launched({"patient": "none"}, None, None), 300)
    scope = "launch patient/Observation.rs"
    code = await code_of(person, scope=scope, launch=handle)
    found = (await token(person, **redeeming(code))).json()
    told_of = {name: found[name] for name in (*opened, "need_patient_banner")}
    assert told_of == {**opened, "need_patient_banner": False}
    for used, error in (
        (handle, "invalid_request"),
        (foreign_one, "invalid_request"),
        (hidden, "access_denied"),
    ):
        again = await person.get("authorize", asked(scope=scope, launch=used))
        assert told(again)["error"] == error


async def test_a_patient_is_their_own_context_and_gives_no_operator_scope(
    person: Person, server: Server
) -> None:
    for id_ in ("a", "b"):
        await person.http.put(f"{BASE}/Patient/{id_}", json={"resourceType": "Patient", "id": id_})
    async with server.database.statement() as connection:
        await connection.execute(
            "UPDATE identity_user SET fhir_user = 'Patient/a', roles = '{PATIENT}'"
        )
        await clients.add(
            connection, replace(APP, id="wide", scope=f"{SCOPE} sangam/audit"), "test"
        )
        handle = await launches.add(connection, Launched({"patient": "b"}, None, None), 300)
    scope = "patient/Observation.rs sangam/audit"
    await person.get("authorize", asked(client_id="wide", scope=scope))
    assert re.findall(r'name="scope" value="([^"]*)"', person.page) == ["patient/Observation.rs"]
    answer = await person.send("continue", agree="yes", scope=["patient/Observation.rs"])
    form = redeeming(told(answer)["code"], client_id="wide")
    assert (await token(person, **form)).json()["patient"] == "a"
    other = asked(scope="launch patient/Observation.rs", launch=handle)
    assert told(await person.get("authorize", other))["error"] == "access_denied"


async def test_who_acts_for_a_patient_chooses_among_those_alone(
    person: Person, server: Server
) -> None:
    mother = {"reference": "RelatedPerson/mother"}
    actor = {"role": {"text": "recipient"}, "reference": mother}
    agreed = {
        "resourceType": "Consent",
        "id": "c",
        "status": "active",
        "scope": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy",
                }
            ]
        },
        "category": [{"text": "privacy"}],
        "patient": {"reference": "Patient/ann"},
        "policy": [{"uri": "http://example.org/policy"}],
        "provision": {"type": "permit", "actor": [actor]},
    }
    related = {"resourceType": "RelatedPerson", "id": "mother"}
    related |= {"patient": {"reference": "Patient/ann"}}
    patients = [{"resourceType": "Patient", "id": id_} for id_ in ("ann", "bob")]
    for one in (*patients, related, agreed):
        answer = await person.http.put(f"{BASE}/{one['resourceType']}/{one['id']}", json=one)
        assert answer.status_code == 201
    async with server.database.statement() as connection:
        await connection.execute(
            "UPDATE identity_user SET fhir_user = 'RelatedPerson/mother', roles = '{PATIENT}'"
        )
    await person.get("authorize", asked(scope="patient/Patient.rs"))
    assert re.findall(r'name="patient" value="(\w+)"', person.page) == ["ann"]
    kept = dict(person.hidden)
    assert (await person.send("continue", patient="bob")).status_code == 403
    person.hidden = kept
    await person.send("continue", patient="ann")
    answer = await person.send("continue", agree="yes", scope=["patient/Patient.rs"])
    given = (await token(person, **redeeming(told(answer)["code"]))).json()
    bearer = {"Authorization": f"Bearer {given['access_token']}"}
    seen = (await person.http.get(f"{BASE}/Patient", headers=bearer)).json()
    assert [one["resource"]["id"] for one in seen["entry"]] == ["ann"]


async def test_an_operator_scope_is_given_by_who_has_it_by_a_role(
    person: Person, server: Server
) -> None:
    wide = replace(APP, id="wide", scope=f"{SCOPE} sangam/audit sangam/release")
    async with server.database.statement() as connection:
        await connection.execute("UPDATE identity_user SET roles = '{DOCTOR}'")
        await clients.add(connection, wide, "test")
    scope = "user/Observation.rs sangam/audit sangam/release"
    await person.get("authorize", asked(client_id="wide", scope=scope))
    assert re.findall(r'name="scope" value="([^"]*)"', person.page) == [
        "user/Observation.rs",
        "sangam/release",
    ]


async def test_a_session_that_ends_takes_online_access_with_it(person: Person) -> None:
    code = await code_of(person, scope="online_access user/Patient.rs")
    found = (await token(person, **redeeming(code))).json()
    await person.get("manage")
    assert (await person.send("logout")).status_code == 303
    assert (await person.get("manage")).status_code == 303
    refresh = {"grant_type": "refresh_token", "refresh_token": found["refresh_token"]}
    assert await error_of(person, **refresh) == "invalid_grant"
