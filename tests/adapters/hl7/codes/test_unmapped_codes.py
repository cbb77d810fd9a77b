"""Codes without a translation, from the message to the repaired resource."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from adapters.hl7.codes import follow, repair, settle
from adapters.hl7.codes.task import Asked
from adapters.hl7.inbox import process
from adapters.hl7.inbox.receive import store
from adapters.hl7.inbox.replay import Chosen, replay
from adapters.hl7.mllp.examine import examine
from adapters.hl7.mllp.framing import Frame, Kind
from fhir_server.caller import trusted
from fhir_server.database import Connection
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7
from tests.cluster import no_others

pytestmark = pytest.mark.anyio

BASE = "http://testserver/fhir"
CODES = f"{BASE}/hl7/LIS-LAB/codes"
LOINC = "http://loinc.org"
GLUCOSE = {"system": LOINC, "code": "2345-7", "display": "Glucose"}
LOCAL = {"system": f"{CODES}/OBX-3", "code": "GLU", "display": "Sugar"}
OBX = "OBX|1|NM|GLU^Sugar||5.10|mmol/L|||||F"


def oru(*obx: str, control_id: str = "C1", number: str = "1") -> bytes:
    segments = (
        f"MSH|^~\\&|LIS|LAB|EHR|H|2026||ORU^R01|{control_id}|P|2.5.1",
        f"PID|1||P{number}^^^H^MR",
        f"OBR|1|O{number}|F{number}|58410-2^CBC^LN|||20260101120000|||||||||||||||||||F",
        *obx,
    )
    return ("\r".join(segments) + "\r").encode()


async def done(server: Server, *messages: bytes) -> list[tuple[str, str | None]]:
    """Store and process messages; return (state, reason) of every row."""
    now, hl7 = datetime.now(UTC), server.settings.hl7
    group = [(examine(Frame(Kind.WHOLE, raw), hl7, now), "test") for raw in messages]
    if group:
        await store(server.database, "mllp", group)
    await process.run(server, {})
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT state, reason FROM hl7_message ORDER BY id")
        return await cursor.fetchall()


async def codes(server: Server) -> list[tuple[Any, ...]]:
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT sender, fields, code, display, unit, count, state FROM hl7_code ORDER BY code"
        )
        return await cursor.fetchall()


async def look(server: Server) -> None:
    """Run the job when the feed shows all that was written."""
    await no_others(server.database)
    await follow.run(server, {})


async def comes_back(server: Server) -> tuple[int, int]:
    """Run the job alone; return how many places of the feed and jobs for later it leaves."""
    async with server.database.statement() as connection:
        await connection.execute("DELETE FROM job")
    await look(server)
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT (SELECT count(*) FROM feed_reader WHERE name = 'hl7.codes'),"
            " (SELECT count(*) FROM job WHERE kind = 'hl7.codes')"
        )
        row = await cursor.fetchone()
    assert row is not None
    return row[0], row[1]


async def found(client: httpx.AsyncClient, query: str) -> list[dict[str, Any]]:
    response = await client.get(query)
    assert response.status_code == 200, response.text
    return [entry["resource"] for entry in response.json().get("entry", [])]


async def answered(client: httpx.AsyncClient, task: dict[str, Any], *outputs: Any) -> None:
    """Complete a Task by REST, as a person does."""
    body = {**task, "status": "completed"}
    if outputs:
        body["output"] = [{"type": {"text": "code"}, **output} for output in outputs]
    response = await client.put(f"Task/{task['id']}", json=body)
    assert response.status_code == 200, response.text


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repair what is settled without waiting for other processes: there are none."""
    monkeypatch.setattr(follow, "SEEN_SECONDS", 0.0)


async def test_code_without_translation_is_one_task_with_its_count(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, oru(OBX))
    await look(server)
    await done(server, oru(OBX, control_id="C2", number="2"))
    await done(server, oru(OBX, control_id="C3", number="3"))
    assert await comes_back(server) == (1, 1)
    (task,) = await found(client, "Task")
    assert task["status"] == "requested"
    assert [list(one.values())[1] for one in task["input"]] == [LOCAL, "OBX-3", "mmol/L", 3]
    assert await codes(server) == [("LIS-LAB", ["OBX-3"], "GLU", "Sugar", "mmol/L", 3, "open")]


async def test_code_that_others_understand_is_no_task(server: Server) -> None:
    message = oru("OBX|1|NM|2345-7^Glucose^LN^GLU^Sugar^L||5|mmol/L|||||F")
    assert await done(server, message) == [("done", None)]
    assert await codes(server) == []


@pytest.mark.usefixtures("at_once")
async def test_completed_task_translates_what_is_stored_and_what_comes(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, oru(OBX))
    await look(server)
    (task,) = await found(client, "Task")
    await answered(client, task, {"valueCoding": GLUCOSE})
    await look(server)
    (stored,) = await found(client, f"Observation?code={LOINC}|2345-7")
    assert stored["code"]["coding"] == [GLUCOSE, LOCAL]
    assert stored["valueQuantity"]["value"] == 5.1
    assert stored["meta"]["versionId"] == "2"
    assert [one[-1] for one in await codes(server)] == ["done"]

    await look(server)
    assert (await found(client, f"Observation?code={LOINC}|2345-7"))[0]["meta"] == stored["meta"]
    assert await comes_back(server) == (0, 0)
    fresh = with_hl7(server, profiles_dir="other")  # what another process knows
    await done(fresh, oru(OBX, control_id="C2", number="2"))
    both = await found(client, f"Observation?code={LOINC}|2345-7")
    assert [one["code"]["coding"] for one in both] == [[GLUCOSE, LOCAL]] * 2
    assert len(await found(client, "Task")) == 1


@pytest.mark.usefixtures("at_once")
async def test_held_message_is_applied_once_its_code_has_a_translation(
    server: Server, client: httpx.AsyncClient
) -> None:
    holding = with_hl7(server, unmapped_policy="hold")
    assert await done(holding, oru(OBX)) == [("dead", "UNMAPPED_CODE_HELD")]
    assert await found(client, "Observation") == []
    await look(holding)
    (task,) = await found(client, "Task")
    await answered(client, task, {"valueCodeableConcept": {"coding": [GLUCOSE]}})
    await look(holding)
    fresh = with_hl7(holding, profiles_dir="other")
    assert await done(fresh) == [("done", None)]
    (stored,) = await found(client, "Observation")
    assert stored["code"]["coding"] == [GLUCOSE, LOCAL]


@pytest.mark.usefixtures("at_once")
async def test_rejected_task_settles_that_nothing_is_meant(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, oru(OBX))
    await look(server)
    (task,) = await found(client, "Task")
    response = await client.put(f"Task/{task['id']}", json={**task, "status": "rejected"})
    assert response.status_code == 200
    await look(server)
    (stored,) = await found(client, "ConceptMap")
    assert [t["equivalence"] for t in stored["group"][0]["element"][0]["target"]] == ["unmatched"]
    fresh = with_hl7(server, profiles_dir="other", unmapped_policy="hold")
    assert (await done(fresh, oru(OBX, control_id="C2")))[-1] == ("done", None)
    assert [one[-2:] for one in await codes(server)] == [(1, "done")]


async def test_task_completed_without_a_coding_is_opened_again(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, oru(OBX))
    await look(server)
    (task,) = await found(client, "Task")
    await answered(client, task)
    await look(server)
    (again,) = await found(client, "Task")
    assert (again["status"], again["statusReason"]["text"]) == (
        "requested",
        "The output needs a coding with system and code",
    )
    assert await found(client, "ConceptMap") == []


@pytest.mark.usefixtures("at_once")
async def test_unknown_unit_gets_its_ucum_code_in_stored_results(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, oru("OBX|1|NM|2345-7^Glucose^LN||5.10|blips/L|||||F"))
    assert await codes(server) == [("LIS-LAB", ["OBX-6"], "blips/L", "", "", 1, "open")]
    await look(server)
    (task,) = await found(client, "Task")
    await answered(client, task, {"valueString": "no unit"})
    await look(server)
    (task,) = await found(client, "Task?status=requested")
    await answered(client, task, {"valueString": "mmol/L"})
    await look(server)
    fresh = with_hl7(server, profiles_dir="other")
    await done(fresh)
    (stored,) = await found(client, "Observation")
    assert stored["valueQuantity"] == {
        "value": 5.1,
        "unit": "blips/L",
        "system": "http://unitsofmeasure.org",
        "code": "mmol/L",
    }


@pytest.mark.usefixtures("at_once")
async def test_code_whose_map_is_gone_is_asked_for_again(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(server, oru(OBX))
    await look(server)
    (task,) = await found(client, "Task")
    await answered(client, task, {"valueCoding": GLUCOSE})
    await look(server)
    (map_,) = await found(client, "ConceptMap")
    assert (await client.delete(f"ConceptMap/{map_['id']}")).status_code == 204
    fresh = with_hl7(server, profiles_dir="other")
    await done(fresh, oru(OBX, control_id="C2", number="2"))
    await look(server)
    await look(server)
    (again,) = await found(client, "Task")
    assert again["status"] == "requested"
    assert "output" not in again


async def test_repair_goes_over_all_pages(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "_PAGE", 2)
    await done(server, *(oru(OBX, control_id=f"C{n}", number=str(n)) for n in range(5)))
    asked = follow.Asked("LIS-LAB", LOCAL["system"], "GLU", ("OBX-3",))
    meant = (settle.Translation(LOINC, "2345-7", "Glucose"),)
    assert await repair.add_codings(server, trusted("hl7", "worker"), asked, meant) == 5
    assert await repair.add_codings(server, trusted("hl7", "worker"), asked, meant) == 0
    assert len(await found(client, f"Observation?code={LOINC}|2345-7")) == 5


async def test_sender_has_no_more_open_tasks_than_somebody_can_answer(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_MOST_OPEN", 2)
    monkeypatch.setattr(follow, "_PAGE", 1)
    await done(server, oru(*(OBX.replace("GLU", f"C{n}") for n in range(4))))
    await look(server)
    assert len(await found(client, "Task")) == 2
    assert len(await codes(server)) == 4


@pytest.mark.parametrize(
    ("obx", "policy", "asked"),
    [
        (OBX, "hold", Asked("LIS-LAB", f"{CODES}/OBX-3", "GLU", ("OBX-3",))),
        (
            "OBX|1|NM|2345-7^Glucose^LN||5.10|blips/L|||||F",
            "accept",
            Asked("LIS-LAB", f"{CODES}/OBX-6", "blips/L", ("OBX-6",)),
        ),
    ],
    ids=["held", "with the unit"],
)
async def test_messages_are_mapped_again_page_by_page(
    server: Server, monkeypatch: pytest.MonkeyPatch, obx: str, policy: str, asked: Asked
) -> None:
    taken: list[list[int]] = []

    async def counted(connection: Connection, chosen: Chosen, actor: str) -> list[int]:
        taken.append(list(chosen.ids or ()))
        return await replay(connection, chosen, actor)

    before = [oru(obx, control_id=f"C{n}", number=str(n)) for n in range(5)]
    await done(with_hl7(server, unmapped_policy=policy), *before)
    monkeypatch.setattr(repair, "_MESSAGES", 2)
    monkeypatch.setattr(repair, "replay", counted)
    assert await repair.resume(server, asked) == 5
    assert [len(page) for page in taken] == [2, 2, 1]
    assert len({id_ for page in taken for id_ in page}) == 5
