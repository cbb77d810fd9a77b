"""Emergency access to one patient's record (specification 3.2, acceptance 9)."""

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from interactions.searching import observation, patient, put

from fhir_server.access import glass, labels, openers, roles
from fhir_server.access.restriction import restriction
from fhir_server.access.role_table import shipped
from fhir_server.access.roles import Person
from fhir_server.access.scopes import wall as scopes
from fhir_server.audit.record import Record, Who, keep, written
from fhir_server.interactions import auditing
from fhir_server.interactions import glass as interactions_glass
from fhir_server.role_settings import GlassSettings, MailSettings
from fhir_server.server import Server

from .restricted import Asking, Json, asking, seen, status

pytestmark = pytest.mark.anyio
__all__ = ["asking"]

DOCTOR = "Practitioner/doctor"
WHY = "Brought in unconscious"
NO_OVERRIDE = {"system": "urn:sangam:label", "code": "no-override"}


def be(asking: Asking, role: str = "DOCTOR", *, scope: str = "user/*.cruds", ago: int = 0) -> None:
    """Let requests be those of somebody in this role who logged in so many seconds ago."""
    person = Person(DOCTOR, (DOCTOR,))
    own = roles.wall(shipped(), [role], person, {"admin_clinical": False})
    cleared = labels.wall(*roles.clearance(shipped(), [role]), DOCTOR)
    allowed = roles.operators(shipped(), [role])
    asking.be(own, cleared, scopes(scope, None), user=DOCTOR, operator=allowed)
    asking.caller = replace(asking.caller, authenticated=int(time.time()) - ago)


def parameters(**values: str) -> Json:
    found = [{"name": name, "valueString": value} for name, value in values.items()]
    return {"resourceType": "Parameters", "parameter": found}


async def opened(client: httpx.AsyncClient, **changed: str) -> httpx.Response:
    given = {"patient": "Patient/ann", "reason": "ETREAT", "text": WHY, **changed}
    return await client.post("/$break-glass", json=parameters(**given))


def openings(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [
        {part["name"]: next(v for k, v in part.items() if k != "name") for part in one["part"]}
        for one in answer.json().get("parameter", ())
    ]


@pytest.fixture
async def records(client: httpx.AsyncClient) -> httpx.AsyncClient:
    hidden = {"security": [NO_OVERRIDE]}
    restricted = {
        "security": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
                "code": "V",
            }
        ]
    }
    await put(
        client,
        {"resourceType": "Practitioner", "id": "doctor"},
        patient("ann"),
        patient("bob"),
        observation("of-ann", "Patient/ann"),
        observation("very-restricted", "Patient/ann", meta=restricted),
        observation("never", "Patient/ann", meta=hidden),
        observation("of-bob", "Patient/bob"),
    )
    return client


async def test_open_glass_shows_one_patient_to_read_and_ends_when_it_is_closed(
    records: httpx.AsyncClient, asking: Asking
) -> None:
    be(asking)
    assert await seen(records, "/Observation") == []
    (opening,) = openings(await opened(records))
    assert opening["who"] == {"reference": DOCTOR}
    assert opening["text"] == WHY
    shown = ["Observation/of-ann", "Observation/very-restricted"]
    assert await seen(records, "/Observation") == shown
    assert await status(records, "/Patient/ann") == 200
    assert await status(records, "/Observation/never") == 404
    assert await status(records, "/Patient/bob") == 404
    assert (await records.delete("/Observation/of-ann")).status_code == 403
    changed = await records.put("/Observation/of-ann", json=observation("of-ann", "Patient/ann"))
    assert changed.status_code == 403
    made = await records.post("/Observation", json=observation("x", "Patient/ann"))
    assert made.status_code == 403
    closed = await records.post("/$break-glass-end", json=parameters(patient="Patient/ann"))
    assert [one["id"] for one in openings(closed)] == [opening["id"]]
    assert await seen(records, "/Observation") == []
    again = await records.post("/$break-glass-end", json=parameters(patient="Patient/ann"))
    assert again.status_code == 404


async def test_glass_that_another_process_opened_counts_when_it_is_learnt(
    records: httpx.AsyncClient,
    asking: Asking,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    be(asking)
    assert await status(records, "/Patient/ann") == 404
    rights = asking.caller.rights
    assert openers.GLASS not in repr(restriction(server, rights, "Patient", "r"))
    hour = timedelta(hours=1)
    asked = glass.Asked(1, DOCTOR, "ann", "ETREAT", WHY, None, None, hour, None)
    async with server.database.transaction() as connection:
        await glass.open_record(connection, asked)
    assert await status(records, "/Patient/ann") == 404
    monkeypatch.setattr(openers, "LEARNT_SECONDS", 0.0)
    assert await status(records, "/Patient/ann") == 200
    assert await status(records, "/Patient/bob") == 404
    assert await seen(records, "/Patient") == ["Patient/ann"]


async def test_without_knowing_whether_a_glass_is_open_it_is_asked_of_the_database(
    records: httpx.AsyncClient, asking: Asking, server: Server
) -> None:
    be(asking)
    assert await status(records, "/Patient/ann") == 404
    openers.forget(server)
    found = restriction(server, asking.caller.rights, "Patient", "r")
    assert f"{openers.GLASS}{DOCTOR}" in repr(found)


async def test_open_glass_ends_by_itself(
    records: httpx.AsyncClient, asking: Asking, server: Server
) -> None:
    be(asking)
    await opened(records)
    assert await status(records, "/Patient/ann") == 200
    later = server.settings.security.glass.minutes * 60_000_000
    async with server.database.statement() as connection:
        await connection.execute("UPDATE idx_care SET high = high - %s", (later,))
    assert await status(records, "/Patient/ann") == 404


async def test_open_glass_does_not_lift_the_scopes_of_the_token(
    records: httpx.AsyncClient, asking: Asking
) -> None:
    be(asking, scope="user/Patient.r")
    openings(await opened(records))
    assert await status(records, "/Patient/ann") == 200
    assert await status(records, "/Observation/of-ann") in (403, 404)


async def test_open_glass_is_that_of_who_opened_it(
    records: httpx.AsyncClient, asking: Asking
) -> None:
    be(asking)
    openings(await opened(records))
    other = "Practitioner/other"
    own = roles.wall(shipped(), ["DOCTOR"], Person(other, (other,)), {"admin_clinical": False})
    asking.be(own, user=other)
    assert await seen(records, "/Patient") == []


REFUSED: dict[str, tuple[str, int, dict[str, str], int]] = {
    "role": ("RECEPTIONIST", 0, {}, 403),
    "old login": ("DOCTOR", 3_600, {}, 401),
    "no patient": ("DOCTOR", 0, {"patient": "Patient/nobody"}, 404),
    "no Patient": ("DOCTOR", 0, {"patient": "Group/ann"}, 400),
    "reason": ("DOCTOR", 0, {"reason": "CURIOSITY"}, 400),
    "short": ("DOCTOR", 0, {"text": "because"}, 400),
    "blank": ("DOCTOR", 0, {"text": " " * 40}, 400),
    "other": ("DOCTOR", 0, {"more": "x"}, 400),
}


async def test_glass_is_not_broken_without_right_fresh_login_patient_and_reason(
    records: httpx.AsyncClient, asking: Asking
) -> None:
    found = {}
    for name, (role, ago, changed, _) in REFUSED.items():
        be(asking, role, ago=ago)
        answer = await opened(records, **changed)
        found[name] = answer.status_code
        challenge = answer.headers.get("WWW-Authenticate", "")
        assert ("insufficient_user_authentication" in challenge) is (name == "old login")
    assert found == {name: code for name, (*_, code) in REFUSED.items()}
    be(asking)
    assert await seen(records, "/Patient") == []


async def test_opening_is_audited_notified_and_signed_by_another(
    records: httpx.AsyncClient, asking: Asking, server: Server
) -> None:
    be(asking)
    (opening,) = openings(await opened(records))
    assert openings(await records.get("/$break-glass")) == [opening]
    signing = parameters(id=opening["id"])
    assert (await records.post("/$break-glass-sign", json=signing)).status_code == 403
    # Behind an app by itself may be the very person who has opened it.
    asking.be(operator=frozenset({"break-glass"}))
    assert (await records.post("/$break-glass-sign", json=signing)).status_code == 403
    asking.be_all()
    (notice,) = await seen(records, "/CommunicationRequest?category=urn:sangam:notice|break-glass")
    assert opening["notice"] == {"reference": notice}
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT said FROM audit_record WHERE said LIKE '%emergency-started%'"
        )
        assert len(await cursor.fetchall()) == 1
    assert [one["id"] for one in openings(await records.get("/$break-glass"))] == [opening["id"]]
    (signed,) = openings(await records.post("/$break-glass-sign", json=signing))
    assert signed["signedBy"] == "tests"
    assert openings(await records.get("/$break-glass")) == []
    assert (await records.post("/$break-glass-sign", json=signing)).status_code == 404


@pytest.mark.usefixtures("records")
async def test_reviewers_are_mailed_once_for_what_waits_together(
    asking: Asking, server: Server
) -> None:
    be(asking)
    mail = MailSettings(host="mail.example", sender="a@b.example", to=("c@b.example",))
    security = server.settings.security.model_copy(update={"glass": GlassSettings(mail=mail)})
    known = replace(server, settings=server.settings.model_copy(update={"security": security}))
    for _ in range(2):
        await interactions_glass.open_record(known, asking.caller, "ann", "ETREAT", WHY)
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT payload FROM job WHERE kind = 'glass.mail'")
        assert await cursor.fetchall() == [({},)]


async def test_what_is_seen_through_the_glass_is_audited_for_that_purpose(
    records: httpx.AsyncClient, asking: Asking, server: Server
) -> None:
    be(asking)
    openings(await opened(records))
    who = Who("doctor", user=DOCTOR, purpose="TREAT")
    seen_ = Record("search-type", who, places=[("Patient", "ann", 1), ("Patient", "bob", 1)])
    async with server.database.statement() as connection:
        await keep(connection, [written(seen_)])
    await auditing.settle(server)
    asking.be_all()
    events = (await records.get("/AuditEvent?subtype=search-type&agent=Practitioner/doctor")).json()
    assert sorted(
        (one["resource"]["entity"][0]["what"]["reference"], code(one["resource"]))
        for one in events["entry"]
    ) == [("Patient/ann", "BTG"), ("Patient/bob", "TREAT")]


def code(event: Json) -> str:
    (purpose,) = event["purposeOfEvent"]
    (user,) = (one for one in event["agent"] if "purposeOfUse" in one)
    assert user["purposeOfUse"] == [purpose]
    found: str = purpose["coding"][0]["code"]
    return found


async def test_reviewer_does_not_sign_the_own_opening(
    records: httpx.AsyncClient, asking: Asking
) -> None:
    be(asking, "ADMIN")
    (opening,) = openings(await opened(records))
    answer = await records.post("/$break-glass-sign", json=parameters(id=opening["id"]))
    assert answer.status_code == 404
