"""What patients write of their own, and who has seen their records (specification 3.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from interactions.searching import observation, patient, put, ref

from fhir_server.access import consent, labels, roles, scopes
from fhir_server.access.role_table import shipped
from fhir_server.access.roles import Person
from fhir_server.audit.event import Manner, events
from fhir_server.audit.record import Record, Who
from fhir_server.caller import Caller
from fhir_server.rights import ANY, EVERYTHING, Grant, Rights

from .restricted import Asking, Json, asking

pytestmark = pytest.mark.anyio
__all__ = ["asking"]

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def ann(scope: str = "patient/*.cruds", user: str = "Patient/ann") -> Caller:
    """Ann, or who acts for her, by a token of this scope."""
    person = Person(user, (user,), patients=("ann",))
    walls = (
        scopes.wall(scope, "ann"),
        roles.wall(shipped(), ["PATIENT"], person, {}),
        labels.wall("R", (), user),
        consent.wall((user,), "PATRQT", user=user),
    )
    return Caller("ann", "rest", Rights(walls), user=user, patient="ann")


def survey(code: str, of: str = "ann") -> Json:
    category = [{"coding": [{"system": CATEGORY, "code": code}]}]
    told = observation("x", f"Patient/{of}", category=category)
    del told["id"]
    return told


def answers(status: str, of: str = "ann", **more: object) -> Json:
    return {
        "resourceType": "QuestionnaireResponse",
        "status": status,
        "subject": ref(f"Patient/{of}"),
        **more,
    }


def appointment(status: str) -> Json:
    return {
        "resourceType": "Appointment",
        "status": status,
        "participant": [{"actor": ref("Patient/ann"), "status": "accepted"}],
    }


COMMUNICATION = {
    "resourceType": "Communication",
    "status": "preparation",
    "subject": ref("Patient/ann"),
}
CONSENT = {
    "resourceType": "Consent",
    "status": "draft",
    "scope": {"text": "privacy"},
    "category": [{"text": "privacy"}],
    "patient": ref("Patient/ann"),
    "policy": [{"uri": "http://example.org/policy"}],
}
CREATES: Mapping[str, tuple[Json, int]] = {
    "survey": (survey("survey"), 201),
    "laboratory": (survey("laboratory"), 403),
    "survey of another": (survey("survey", "bob"), 422),
    "answers": (answers("in-progress"), 201),
    "answers of another": (answers("in-progress", "bob"), 422),
    "appointment": (appointment("proposed"), 201),
    "communication": (COMMUNICATION, 201),
    "consent": (CONSENT, 201),
    "condition": ({"resourceType": "Condition", "subject": ref("Patient/ann")}, 403),
}


async def test_patients_write_of_their_own_and_hand_drafts_in(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await put(client, patient("ann"), patient("bob"))
    asking.caller = ann()
    made = {}
    for name, (resource, _) in CREATES.items():
        answer = await client.post(f"/{resource['resourceType']}", json=resource)
        made[name] = answer
    assert {name: one.status_code for name, one in made.items()} == {
        name: status for name, (_, status) in CREATES.items()
    }
    draft = made["answers"].json()
    url = f"/QuestionnaireResponse/{draft['id']}"
    changes = [{**draft, "status": one} for one in ("in-progress", "amended", "completed")]
    found = [(await client.put(url, json=one)).status_code for one in changes]
    assert found == [200, 403, 200]
    # What is handed in is no draft any more.
    assert (await client.put(url, json=changes[0])).status_code == 403


MANNER = Manner("http://here.test/fhir", patients=5, entities=10)
AT = datetime(2024, 5, 1, 12, tzinfo=UTC)
OF: Mapping[str, Sequence[str]] = {
    "Observation/hidden": ["ann"],
    "Condition/theirs": ["bob"],
    "Condition/hers": ["ann"],
}


def seen_by(name: str, *places: str, most: int = 5) -> list[Json]:
    """The events of a person who read these, one of several patients where `most` is fewer."""
    who = Who(name=name, door="rest", user=f"Practitioner/{name}", purpose="TREAT")
    split = [one.partition("/") for one in places]
    record = Record(who=who, code="read", places=[(kind, id_, 0) for kind, _, id_ in split])
    return events(replace(MANNER, patients=most), record, AT, OF)


async def audited(client: httpx.AsyncClient) -> None:
    told = [
        *seen_by("dr", "Observation/hidden"),
        *seen_by("nurse", "Condition/hers", "Condition/theirs", most=1),
        *seen_by("stranger", "Condition/theirs"),
    ]
    await put(client, patient("ann"), patient("bob"))
    for event in told:
        answer = await client.post("/AuditEvent", json={k: v for k, v in event.items() if v})
        assert answer.status_code == 201, answer.text


def parts(one: Json) -> dict[str, object]:
    return {
        part["name"]: next(value for key, value in part.items() if key != "name")
        for part in one["part"]
    }


async def test_patient_is_told_who_saw_the_record_and_nothing_of_others(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    await audited(client)
    asking.caller = ann()
    answer = await client.get("/Patient/ann/$access-report")
    assert answer.status_code == 200, answer.text
    told = [parts(one) for one in answer.json()["parameter"]]
    assert {(one["who"]["reference"], one.get("type")) for one in told} == {  # type: ignore[index]
        ("Practitioner/dr", "Observation"),
        ("Practitioner/nurse", None),
    }
    assert {(one["what"], one["purpose"]["code"], one["outcome"]) for one in told} == {  # type: ignore[index]
        ("read", "TREAT", "0")
    }
    assert "hidden" not in answer.text
    assert "bob" not in answer.text
    later = await client.get("/Patient/ann/$access-report?date=gt2024-06-01")
    assert "parameter" not in later.json()
    # The events themselves say more, and stay hidden.
    assert (await client.get("/AuditEvent?patient=Patient/ann")).status_code == 403


STRANGER = Caller("x", "rest", Rights(((Grant(ANY, "rs"),),)), user="Practitioner/x")
AUDITOR = replace(STRANGER, rights=Rights(STRANGER.rights.walls, frozenset({"audit"})))


@pytest.mark.parametrize(
    ("caller", "who", "status"),
    [
        (ann(), "bob", 404),
        (ann("patient/Patient.rs"), "ann", 403),
        (ann("patient/Patient.rs patient/AuditEvent.s"), "ann", 200),
        (ann(user="RelatedPerson/mother"), "ann", 404),
        (STRANGER, "ann", 403),
        (AUDITOR, "ann", 200),
        (Caller("all", "rest", EVERYTHING), "bob", 200),
    ],
    ids=["of-another", "narrow-token", "token", "no-proxy", "staff", "auditor", "all"],
)
async def test_report_is_for_the_patient_and_who_reads_the_audit(
    client: httpx.AsyncClient, asking: Asking, caller: Caller, who: str, status: int
) -> None:
    await put(client, patient("ann"), patient("bob"))
    asking.caller = caller
    assert (await client.get(f"/Patient/{who}/$access-report")).status_code == status
