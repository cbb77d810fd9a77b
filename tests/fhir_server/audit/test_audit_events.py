"""What a client does becomes AuditEvents."""

import base64
import json
from typing import Any

import httpx
import pytest

from fhir_server.audit.record import Record, Who, keep, written
from fhir_server.interactions import auditing
from fhir_server.server import Server

PROFILES = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
PATIENT = {"resourceType": "Patient", "id": "ann", "name": [{"family": "Rao"}]}
RESULT = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "code": {"text": "pulse"},
    "subject": {"reference": "Patient/ann"},
}
PATCH = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "replace"},
                {"name": "path", "valueString": "Observation.status"},
                {"name": "value", "valueCode": "amended"},
            ],
        }
    ],
}


@pytest.fixture
async def filled(client: httpx.AsyncClient, server: Server) -> httpx.AsyncClient:
    """A patient with a result; what that left is no event of the test."""
    for one in (PATIENT, RESULT):
        (await client.put(f"{one['resourceType']}/{one['id']}", json=one)).raise_for_status()
    async with server.database.statement() as connection:
        await connection.execute("TRUNCATE audit_record")
    return client


async def made(server: Server) -> list[dict[str, Any]]:
    """The AuditEvents of what was recorded, checked by the project's own validator."""
    await auditing.settle(server)
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT json FROM body JOIN resource USING (key) WHERE type_id = %s ORDER BY key",
            (server.definitions.type_ids["AuditEvent"],),
        )
        texts = [row[0] for row in await cursor.fetchall()]
    events = []
    for text in texts:
        event = json.loads(text)
        issues = server.validator.validate("AuditEvent", text.encode(), event)
        assert [i for i in issues if i.severity in {"error", "fatal"}] == []
        events.append(event)
    return events


def told(event: dict[str, Any]) -> tuple[str, str, str, str, str]:
    """Code, action, outcome, profile, and what it names."""
    (profile,) = event["meta"].get("profile", [""])
    what = (entity.get("what", {}) for entity in event.get("entity", ()))
    named = (one["reference"] for one in what if "reference" in one)
    code = event["subtype"][-1]["code"]
    return code, event["action"], event["outcome"], profile.removeprefix(PROFILES), " ".join(named)


CORRECTED = {**RESULT, "status": "corrected"}
# Method, path, body, status; and the event: code, action, outcome, profile. The first ones leave
# what the others find.
REQUESTS: list[tuple[str, str, dict[str, Any] | None, int, tuple[str, ...] | None]] = [
    ("POST", "Observation", RESULT, 201, ("create", "C", "0", "PatientCreate")),
    ("PATCH", "Observation/o1", PATCH, 200, ("patch", "U", "0", "PatientUpdate")),
    (
        "PUT",
        "Observation/o1",
        CORRECTED,
        200,
        ("update", "U", "0", "PatientUpdate"),
    ),
    ("GET", "Observation/o1", None, 200, ("read", "R", "0", "PatientRead")),
    ("HEAD", "Observation/o1", None, 200, ("read", "R", "0", "PatientRead")),
    ("GET", "Observation/o1/_history/1", None, 200, ("vread", "R", "0", "PatientRead")),
    (
        "GET",
        "Observation/o1/_history",
        None,
        200,
        ("history-instance", "R", "0", "PatientRead"),
    ),
    (
        "GET",
        "Observation?code:text=pulse",
        None,
        200,
        ("search-type", "E", "0", "PatientQuery"),
    ),
    ("GET", "Patient/ann/Observation", None, 200, ("search-type", "E", "0", "PatientQuery")),
    ("GET", "Observation?_id=none", None, 200, ("search-type", "E", "0", "Query")),
    ("GET", "?_id=o1", None, 200, ("search-system", "E", "0", "PatientQuery")),
    ("GET", "Observation/_history", None, 200, ("history-type", "E", "0", "PatientQuery")),
    ("GET", "_history", None, 200, ("history-system", "E", "0", "PatientQuery")),
    ("GET", "Patient/ann/$validate", None, 200, ("validate", "E", "0", "PatientQuery")),
    # What was there already is shown as by a read, and nothing is written.
    ("PUT", "Observation/o1", CORRECTED, 200, ("read", "R", "0", "PatientRead")),
    ("GET", "Observation/none", None, 404, ("read", "R", "4", "")),
    ("DELETE", "AuditEvent/x", None, 405, None),
    ("PUT", "AuditEvent/x", {"resourceType": "AuditEvent", "id": "x"}, 405, None),
    ("GET", "metadata", None, 200, None),
    ("GET", "ValueSet?url=x", None, 200, None),
    ("GET", "StructureDefinition/none", None, 404, None),
    ("GET", "Observation?nonsense=1", None, 400, None),
    ("DELETE", "Observation/o1", None, 204, ("delete", "D", "0", "PatientDelete")),
]


async def test_each_interaction_leaves_its_event(filled: httpx.AsyncClient, server: Server) -> None:
    expected = []
    for n, (method, path, body, status, event) in enumerate(REQUESTS):
        answer = await filled.request(method, path, json=body, headers={"X-Request-Id": f"r-{n}"})
        assert answer.status_code == status, path
        if event is not None:
            # The profile of a deletion has no room for the request.
            expected.append((*event, "" if method == "DELETE" else f"r-{n}"))
    events = await made(server)
    assert [(*told(one)[:4], request_of(one)) for one in events] == expected
    about = [told(one)[4] for one in events if told(one)[3].startswith("Patient")]
    assert [one for one in about if "Patient/ann" not in one] == []


def request_of(event: dict[str, Any]) -> str:
    found = [e["what"]["identifier"]["value"] for e in event["entity"] if "role" not in e]
    return " ".join(found)


async def test_event_of_a_query_holds_what_was_asked(
    filled: httpx.AsyncClient, server: Server
) -> None:
    await filled.post("Patient/_search", data={"family": "rao"})
    (event,) = await made(server)
    (query,) = [e["query"] for e in event["entity"] if "query" in e]
    assert base64.b64decode(query) == b"Patient/_search?family=rao"


async def test_bundle_leaves_one_event_for_each_patient(
    filled: httpx.AsyncClient, server: Server
) -> None:
    bea = {**PATIENT, "id": "bea"}
    results = [
        {**RESULT, "id": f"n{n}", "subject": {"reference": f"Patient/{'ann' if n % 2 else 'bea'}"}}
        for n in range(20)
    ]
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in (bea, *results)
    ]
    read = {"request": {"method": "GET", "url": "Observation/o1"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [*entries, read]}
    (await filled.post("", json=bundle)).raise_for_status()
    events = [told(one) for one in await made(server)]
    assert [one[:3] for one in events] == [("create", "C", "0")] * 2 + [("batch", "R", "0")]
    assert [len(one[4].split()) for one in events] == [12, 11, 2]
    assert [one[4].split()[0] for one in events] == ["Patient/bea", "Patient/ann", "Patient/ann"]


async def test_many_patients_share_an_event(filled: httpx.AsyncClient, server: Server) -> None:
    entries = [
        {
            "resource": PATIENT | {"id": f"p{n}"},
            "request": {"method": "PUT", "url": f"Patient/p{n}"},
        }
        for n in range(60)
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    (await filled.post("", json=bundle)).raise_for_status()
    (event,) = await made(server)
    named = told(event)[4].split()
    assert (named.count("Patient/p7"), len(named), event["meta"].get("profile")) == (1, 120, None)


async def test_patient_can_be_told_who_saw_the_record(
    filled: httpx.AsyncClient, server: Server
) -> None:
    await filled.get("Observation/o1")
    await auditing.settle(server)
    found = (await filled.get("AuditEvent?patient=Patient/ann&action=R")).json()
    assert [one["resource"]["action"] for one in found["entry"]] == ["R"]
    # Reading the audit is audited, and by what it found.
    events = await made(server)
    assert [told(one)[:4] for one in events[1:]] == [("search-type", "E", "0", "PatientQuery")]


async def test_audit_keeps_nobody_from_deleting_a_resource(
    filled: httpx.AsyncClient, server: Server
) -> None:
    await filled.get("Observation?_id=o1")
    await filled.get("Observation/o1")
    await auditing.settle(server)
    assert (await filled.delete("Observation/o1")).status_code == 204


async def test_nothing_is_shown_that_is_not_recorded(
    filled: httpx.AsyncClient, server: Server
) -> None:
    async with server.database.statement() as connection:
        await connection.execute("ALTER TABLE audit_record RENAME TO audit_away")
        try:
            for path in ("Patient/ann", "Patient?name=rao", "Patient/ann/_history"):
                answer = await filled.get(path)
                assert (answer.status_code, "Rao" in answer.text) == (503, False)
            created = await filled.post("Observation", json=RESULT)
            assert created.status_code >= 500
        finally:
            await connection.execute("ALTER TABLE audit_away RENAME TO audit_record")
    assert (await filled.get("Observation?_summary=count")).json()["total"] == 1


async def test_refused_entry_of_a_batch_leaves_its_event(
    filled: httpx.AsyncClient, server: Server
) -> None:
    urls = ("Observation/o1", "Patient/none", "Observation/none/_history/1")
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    (await filled.post("", json=bundle)).raise_for_status()
    assert [(one[0], one[2], one[4]) for one in map(told, await made(server))] == [
        ("batch", "0", "Patient/ann Observation/o1/_history/1"),
        ("read", "4", "Patient/none"),
        ("read", "4", "Observation/none"),
    ]


async def test_rows_of_several_records_become_events_in_their_order(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "_AT_ONCE", 4)
    async with server.database.statement() as connection:
        for row in (("a", "b", "c"), ("d", "e", "f"), ("g",)):
            said = [Record("read", Who(name), places=[("Patient", "ann", 1)]) for name in row]
            await keep(connection, [written(one) for one in said])
    assert [await auditing.step(server) for _ in range(3)] == [6, 1, 0]
    events = await made(server)
    assert "".join(one["agent"][0]["who"]["display"] for one in events) == "abcdefg"


async def test_each_version_is_of_its_own_patient(
    filled: httpx.AsyncClient, server: Server
) -> None:
    bea = {**PATIENT, "id": "bea"}
    (await filled.put("Patient/bea", json=bea)).raise_for_status()
    moved = {**RESULT, "subject": {"reference": "Patient/bea"}}
    (await filled.put("Observation/o1", json=moved)).raise_for_status()
    for path in ("Observation/o1/_history/1", "Observation/o1", "Observation?_id=o1"):
        (await filled.get(path)).raise_for_status()
    assert [told(one)[4] for one in await made(server)][2:] == [
        "Patient/ann Observation/o1/_history/1",
        "Patient/bea Observation/o1/_history/2",
        "Patient/bea",
    ]
