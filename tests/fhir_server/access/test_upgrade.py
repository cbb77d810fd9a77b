"""An upgrade makes by itself what rights look at, and until then shows less, not more."""

import runpy

import httpx
import psycopg
import pytest
from interactions.searching import patient, put, ref

from fhir_server.access import consent
from fhir_server.interactions import consents, reindex
from fhir_server.main import catching_up, migrate
from fhir_server.rights import ANY, Grant, Related, Released
from fhir_server.server import Server

from .restricted import Asking, asking

pytestmark = pytest.mark.anyio
__all__ = ["asking"]

DOCTOR = "Practitioner/doctor"
VISIT = {
    "resourceType": "Encounter",
    "id": "visit",
    "status": "planned",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
    "subject": ref("Patient/ann"),
    "participant": [{"individual": ref(DOCTOR)}],
}
LETTER = {
    "resourceType": "DocumentReference",
    "id": "letter",
    "status": "current",
    "subject": ref("Patient/ann"),
    "content": [{"attachment": {"title": "Letter"}}],
}
OPEN = {
    "resourceType": "Consent",
    "id": "open",
    "status": "active",
    "scope": {
        "coding": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                "code": "patient-privacy",
            }
        ]
    },
    "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
    "patient": ref("Patient/ann"),
    "policyRule": {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]
    },
}
WALLS = {
    "care": ((Grant("Patient", "rs", (Related((DOCTOR,)),)),), "/Patient/ann"),
    "consent": (consent.wall((DOCTOR,), "TREAT"), "/Patient/ann"),
    "release": ((Grant(ANY, "rs", (Released(),)),), "/DocumentReference/letter"),
}
# As before there were relationships, rows of consents, and terms of documents.
BEFORE = """
DELETE FROM idx_care;
DELETE FROM consent;
DELETE FROM consent_node;
UPDATE terms SET terms = '{}' WHERE type_id = 42;
"""


def upgrade(database_url: str) -> list[str]:
    """Carry out the revision, and return the kinds of the jobs there are then."""
    revision = runpy.run_path(str(migrate.SCRIPTS / "versions" / "0037_roles_completed.py"))
    with psycopg.connect(database_url) as connection:
        connection.execute(BEFORE)
        for name in ("_WALKS", "_WALK", "_UNREAD"):
            connection.execute(revision[name])
        found = connection.execute("SELECT kind FROM job ORDER BY kind").fetchall()
    return [kind for (kind,) in found]


async def statuses(client: httpx.AsyncClient, asking: Asking) -> dict[str, int]:
    found = {}
    for name, (wall, url) in WALLS.items():
        asking.be(wall)
        found[name] = (await client.get(url)).status_code
    return found


async def test_upgrade_shows_less_until_jobs_have_caught_up(
    server: Server, client: httpx.AsyncClient, asking: Asking, database_url: str
) -> None:
    people = {"resourceType": "Practitioner", "id": "doctor"}
    await put(client, people, patient("ann"), VISIT, LETTER, OPEN)
    assert catching_up.notice(database_url) == ""
    assert upgrade(database_url) == ["consents.rebuild", "search.reindex"]
    told = catching_up.notice(database_url).splitlines()
    assert [line.strip().rpartition("  ")[0].strip() for line in told[2:]] == [
        "index of DocumentReference",
        "index of Encounter",
        "index of Patient",
        "consents",
        "consents not read",
    ]
    asked = await statuses(client, asking)
    # A released document needs its status besides.
    assert asked == {"care": 404, "consent": 404, "release": 404}
    await reindex.run(server, {})
    await consents.run(server, {})
    assert await statuses(client, asking) == dict.fromkeys(WALLS, 200)
    async with server.database.connection() as connection:
        told = catching_up.told(await catching_up.look(connection))
        assert [what for what, _ in told] == ["consents"]
