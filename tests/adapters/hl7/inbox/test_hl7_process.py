import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from adapters.hl7.inbox import apply, process, turns, writing
from adapters.hl7.inbox.receive import store
from adapters.hl7.mapping.context import urn
from adapters.hl7.mapping.segments import pid
from adapters.hl7.mllp.examine import examine
from adapters.hl7.mllp.framing import Frame, Kind
from adapters.hl7.simulate.chemistry import oru as simulated
from fhir_server.server import Server
from tests.adapters.hl7.conftest import listening, with_hl7

pytestmark = pytest.mark.anyio

PID = "PID|1||P1^^^H^MR||Rao^Asha||19800102|F"
OBR = "OBR|1|O1|F1|PANEL^Panel|||20260101120000"


def oru(*segments: str, control_id: str = "C1", header: str = "") -> bytes:
    start = f"MSH|^~\\&|LIS|LAB|EHR|H|2026||ORU^R01|{control_id}|P|2.5.1{header}"
    return ("\r".join([start, *segments]) + "\r").encode()


async def keep(server: Server, *messages: bytes) -> None:
    now = datetime.now(UTC)
    group = [
        (examine(Frame(Kind.WHOLE, raw), server.settings.hl7, now), "test") for raw in messages
    ]
    await store(server.database, "mllp", group)


async def done(server: Server, *messages: bytes) -> list[tuple[Any, ...]]:
    """Store and process messages; return (state, reason) of every row."""
    await keep(server, *messages)
    await process.run(server, {})
    return await rows(server)


async def rows(server: Server, columns: str = "state, reason") -> list[tuple[Any, ...]]:
    async with server.database.connection() as connection:
        cursor = await connection.execute(f"SELECT {columns} FROM hl7_message ORDER BY id")
        return await cursor.fetchall()


async def found(client: httpx.AsyncClient, query: str) -> list[dict[str, Any]]:
    response = await client.get(query)
    assert response.status_code == 200
    return [entry["resource"] for entry in response.json().get("entry", [])]


async def test_message_is_found_by_rest(server: Server, client: httpx.AsyncClient) -> None:
    message = oru(PID, OBR, "OBX|1|NM|GLU^Glucose||5.10|mmol/L|3.9-6.1|N|||F")
    assert await done(server, message) == [("done", None)]
    base = f"{server.base}/hl7/LIS-LAB"
    (patient,) = await found(client, f"/Patient?identifier={base}/ids/H|P1")
    query = f"/Observation?subject=Patient/{patient['id']}&code={base}/codes/OBX-3|GLU"
    (observation,) = await found(client, query)
    assert observation["valueQuantity"]["code"] == "mmol/L"
    assert b'"value":5.10' in (await client.get(query)).content.replace(b" ", b"")
    (report,) = await found(client, f"/DiagnosticReport?result=Observation/{observation['id']}")
    (order,) = await found(client, f"/ServiceRequest?identifier={base}/ids/placer|O1")
    assert report["basedOn"] == observation["basedOn"]
    assert report["basedOn"] == [{"reference": f"ServiceRequest/{order['id']}"}]


async def test_row_tells_what_was_written_and_what_was_not(server: Server) -> None:
    await done(server, oru(PID, OBR, "OBX|1|NM|GLU||5|||||||F", "ZZZ|x"))
    ((versions, unmapped, warnings, attempts),) = await rows(
        server, "result_versions, unmapped, warnings, attempts"
    )
    assert sorted(v.split("/")[0] for v in versions) == [
        *("DiagnosticReport", "Observation", "Patient", "ServiceRequest")
    ]
    assert ["ZZZ[1]-1[1].1.1", "z_segment"] in unmapped
    assert (warnings, attempts) == (None, 1)


async def test_same_result_under_another_control_id_writes_no_new_version(
    server: Server, client: httpx.AsyncClient
) -> None:
    segments = (PID, OBR, "OBX|1|NM|GLU||5||||||F")
    await done(server, oru(*segments), oru(*segments, control_id="C2"))
    first, second = (set(v) for (v,) in await rows(server, "result_versions"))
    assert first == second
    assert len(await found(client, "/Observation")) == 1


async def test_correction_is_a_new_version(server: Server, client: httpx.AsyncClient) -> None:
    await done(
        server,
        oru(PID, OBR, "OBX|1|NM|GLU||5||||||F"),
        oru(PID, OBR, "OBX|1|NM|GLU||6||||||C", control_id="C2"),
    )
    (observation,) = await found(client, "/Observation")
    assert (observation["status"], observation["valueQuantity"]) == ("corrected", {"value": 6})
    assert observation["meta"]["versionId"] == "2"
    history = (await client.get(f"/Observation/{observation['id']}/_history")).json()
    assert [e["resource"]["status"] for e in history["entry"]] == ["corrected", "final"]


async def test_results_of_one_patient_keep_their_order(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(
        server,
        *(oru(PID, OBR, f"OBX|1|NM|GLU||{n}||||||F", control_id=f"C{n}") for n in range(1, 8)),
    )
    (observation,) = await found(client, "/Observation")
    assert (observation["valueQuantity"], observation["meta"]["versionId"]) == ({"value": 7}, "7")


async def test_result_does_not_change_what_is_known_of_a_person(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(
        server,
        oru(PID, OBR),
        oru("PID|1||P1^^^H^MR||Other^Name||19990101|M", OBR, control_id="C2"),
    )
    (patient,) = await found(client, "/Patient")
    assert patient["name"] == [{"family": "Rao", "given": ["Asha"]}]


async def test_order_that_is_known_is_ended_by_its_result_and_not_changed_else(
    server: Server, client: httpx.AsyncClient
) -> None:
    system = f"{server.base}/hl7/LIS-LAB/ids/placer"
    known = [{"system": f"{server.base}/hl7/LIS-LAB/ids/H", "value": "P1"}]
    person = {"resourceType": "Patient", "identifier": known}
    patient = (await client.post("/Patient", json=person)).json()
    order = {
        "resourceType": "ServiceRequest",
        "identifier": [{"system": system, "value": "O1"}],
        "status": "draft",
        "intent": "plan",
        "subject": {"reference": f"Patient/{patient['id']}"},
    }
    stored = (await client.post("/ServiceRequest", json=order)).json()
    await done(server, oru(PID, OBR, "OBX|1|NM|GLU||5||||||F"))
    (found_order,) = await found(client, "/ServiceRequest")
    assert found_order.pop("meta")["versionId"] == "2"
    filler = found_order["identifier"].pop()
    assert filler["value"] == "F1"
    assert found_order == {**order, "id": stored["id"], "status": "completed"}
    (observation,) = await found(client, "/Observation")
    assert observation["basedOn"] == [{"reference": f"ServiceRequest/{stored['id']}"}]


async def test_patient_is_found_by_a_second_identifier(
    server: Server, client: httpx.AsyncClient
) -> None:
    await done(
        server,
        oru("PID|1||P1^^^H", OBR),
        oru("PID|1||P1^^^H~N1^^^N", "OBR|1|O2|F2|X", control_id="C2"),
        oru("PID|1||P1^^^H~ZZ^^^Z", "OBR|1|O3|F3|X", control_id="C3"),
    )
    assert len(await found(client, "/Patient")) == 1


async def test_two_patients_for_one_message_are_ambiguous(
    server: Server, client: httpx.AsyncClient
) -> None:
    states = await done(
        server,
        oru("PID|1||P1^^^H", OBR),
        oru("PID|1||N1^^^N", "OBR|1|O2|F2|X", control_id="C2"),
        oru("PID|1||P1^^^H~N1^^^N", "OBR|1|O3|F3|X", control_id="C3"),
    )
    assert states == [("done", None), ("done", None), ("dead", "AMBIGUOUS_PATIENT")]
    assert len(await found(client, "/DiagnosticReport")) == 2


async def test_report_of_another_patient_is_a_conflict(
    server: Server, client: httpx.AsyncClient
) -> None:
    states = await done(
        server,
        oru(PID, OBR, "OBX|1|NM|GLU||5||||||F"),
        oru("PID|1||P2^^^H", OBR, "OBX|1|NM|GLU||9||||||F", control_id="C2"),
    )
    assert states == [("done", None), ("dead", "PATIENT_CONFLICT")]
    (observation,) = await found(client, "/Observation")
    assert observation["valueQuantity"] == {"value": 5}
    assert len(await found(client, "/Patient")) == 1


async def test_dead_message_does_not_stop_the_others(
    server: Server, client: httpx.AsyncClient
) -> None:
    good = [simulated(seed, 3) for seed in range(4)]
    bad = oru("PID|1", OBR, "OBX|1|NM|GLU||5||||||F")
    states = await done(server, *good[:2], bad, *good[2:])
    assert states == [
        *[("done", None)] * 2,
        ("dead", "NO_PATIENT_ID"),
        *[("done", None)] * 2,
    ]
    assert len(await found(client, "/Observation?_count=100")) == 12


async def test_detail_of_a_dead_message_names_the_place_and_no_person(server: Server) -> None:
    await done(server, oru("PID|1||||Rao", OBR))
    assert await rows(server, "detail") == [("PID-3: The patient has no identifier",)]


async def test_refused_write_is_an_invalid_resource(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pid, "GENDER", {"F": "no such gender"})
    assert await done(server, oru(PID, OBR)) == [("dead", "INVALID_RESOURCE")]
    ((detail,),) = await rows(server, "detail")
    assert detail.startswith("Bundle.entry[0].resource.gender: ")
    assert "no such gender" not in detail
    assert await found(client, "/DiagnosticReport") == []


async def test_failing_map_is_a_mapping_error_and_can_be_replayed(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(apply, "transform", lambda *_: 1 / 0)
        assert await done(server, oru(PID, OBR)) == [("dead", "MAPPING_ERROR")]
    assert await rows(server, "detail") == [("The mapping failed with ZeroDivisionError",)]
    assert await found(client, "/Patient") == []


async def test_transient_error_is_tried_again_in_order(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = writing.transaction, []

    async def flaky(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) <= 2:  # as part of its group, and alone
            raise psycopg.errors.DeadlockDetected
        return await real(*arguments, **named)

    monkeypatch.setattr(writing, "transaction", flaky)
    await keep(
        server,
        oru(PID, OBR, "OBX|1|NM|GLU||1||||||F"),
        oru(PID, OBR, "OBX|1|NM|GLU||2||||||F", control_id="C2"),
    )
    await process.run(server, {})
    assert await rows(server, "state, attempts") == [("stored", 1), ("stored", 0)]
    async with server.database.statement() as connection:
        await connection.execute("UPDATE hl7_message SET next_attempt = now()")
    await process.run(server, {})
    assert await rows(server) == [("done", None)] * 2
    (observation,) = await found(client, "/Observation")
    assert observation["valueQuantity"] == {"value": 2}


async def test_tries_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> Any:
        raise psycopg.errors.SerializationFailure

    monkeypatch.setattr(writing, "transaction", never)
    await keep(server, oru(PID, OBR))
    await process.run(with_hl7(server, attempts=1), {})
    assert await rows(server) == [("dead", "RETRY_EXHAUSTED")]


async def test_two_processes_apply_each_message_once(
    server: Server, client: httpx.AsyncClient
) -> None:
    await keep(server, *(simulated(seed, 2) for seed in range(40)))
    await asyncio.gather(*(process.run(server, {}) for _ in range(4)))
    assert set(await rows(server, "state, attempts")) == {("done", 1)}
    assert len(await found(client, "/Observation?_count=200")) == 80


async def test_replayed_message_waits_for_a_later_one_that_another_process_writes(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    obx = "OBX|1|NM|GLU||1||||||F"
    await keep(server, oru(PID, OBR, obx), oru(PID, OBR, obx, control_id="C2"))
    (_, (later,)) = await rows(server, "id")
    given_back: list[bool] = []
    usual = process.apply

    async def watched(work: apply.Work, group: Sequence[apply.Row]) -> set[str]:
        given_back.append(other_is_done.is_set())
        return await usual(work, group)

    monkeypatch.setattr(process, "apply", watched)
    other_is_done = asyncio.Event()
    async with server.database.statement() as other:
        assert await turns.claim(other, [later]) == [later]
        processing = asyncio.create_task(process.run(server, {}))
        await asyncio.sleep(0.2)
        other_is_done.set()
        await turns.release(other, [later])
    await processing
    assert given_back == [True, True]
    assert await rows(server) == [("done", None)] * 2


async def test_interrupted_process_leaves_nothing_half_written(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    async def killed(*_: Any) -> None:
        raise Killed

    await keep(server, oru(PID, OBR, "OBX|1|NM|GLU||1||||||F"))
    with monkeypatch.context() as at_the_end:
        at_the_end.setattr(apply, "_finish", killed)
        with pytest.raises(Killed):
            await process.run(server, {})
    assert await rows(server) == [("stored", None)]
    assert await found(client, "/Observation") == []
    await process.run(server, {})
    assert await rows(server) == [("done", None)]


async def test_what_is_known_to_exist_is_not_written_again(
    server: Server, client: httpx.AsyncClient
) -> None:
    one = with_hl7(server, batch_messages=1, workers=1)
    await keep(one, *(simulated(seed, 2) for seed in range(3)))
    await process.run(one, {})
    (device,) = await found(client, "/Device")
    versions = [set(map(kind, v)) for (v,) in await rows(server, "result_versions")]
    assert ["Device" in written for written in versions] == [True, False, False]
    observations = await found(client, "/Observation")
    assert {o["device"]["reference"] for o in observations} == {f"Device/{device['id']}"}


def kind(version: str) -> str:
    return version.split("/", maxsplit=1)[0]


async def test_what_was_known_and_is_gone_is_written_again(
    server: Server, client: httpx.AsyncClient
) -> None:
    await keep(server, simulated(1, 2))
    url = urn("Device", f"{server.base}/hl7/CHEM-SIM-LAB/ids/SIMLAB|CHEM-SIM-01")
    work = apply.Work(server, server.base, known={url: "Device/gone"})
    assert await apply.apply(work, await turns.load(server, [1])) == set()
    assert await rows(server) == [("done", None)]
    (device,) = await found(client, "/Device")
    assert work.known[url] == f"Device/{device['id']}"


async def test_keys_survive_a_change_of_the_base_url(
    server: Server, client: httpx.AsyncClient
) -> None:
    moved = dataclasses.replace(server, base="http://moved.example.org/fhir")
    await done(server, oru(PID, OBR, "OBX|1|NM|GLU||5||||||F"))
    await done(moved, oru(PID, OBR, "OBX|1|NM|GLU||6||||||C", control_id="C2"))
    (observation,) = await found(client, "/Observation")
    assert observation["meta"]["versionId"] == "2"
    assert len(await found(client, "/Patient")) == 1


@pytest.mark.parametrize("processes", [1, 3])
async def test_lanes_keep_the_order_of_each_patient(
    server: Server, client: httpx.AsyncClient, processes: int
) -> None:
    wide = with_hl7(server, batch_messages=2, workers=4)
    messages = [
        oru(
            f"PID|1||P{patient}^^^H",
            f"OBR|1||F{patient}|X",
            f"OBX|1|NM|GLU||{turn}||||||F",
            control_id=f"C{patient}-{turn}",
        )
        for turn in range(1, 6)
        for patient in range(7)
    ]
    await keep(wide, *messages)
    # Each has a connection and claims of its own, as processes have.
    await asyncio.gather(*(process.run(wide, {}) for _ in range(processes)))
    assert [attempts for (attempts,) in await rows(server, "attempts")] == [1] * 35
    observations = await found(client, "/Observation?_count=100")
    assert [o["valueQuantity"]["value"] for o in observations] == [5] * 7
    assert [o["meta"]["versionId"] for o in observations] == ["5"] * 7


async def test_simulated_messages_go_through(server: Server, client: httpx.AsyncClient) -> None:
    assert set(await done(server, *(simulated(seed) for seed in range(20)))) == {("done", None)}
    bundle = (await client.get("/Observation?_summary=count")).json()
    assert bundle["total"] == 500


async def test_answer_after_the_commit(server: Server) -> None:
    async with listening(server, ack_when="committed") as connect, connect() as sender:
        await sender.send(oru(PID, OBR))
        await sender.send(oru("PID|1", OBR, control_id="C2"))
        assert await sender.is_silent()
        await process.run(server, {})
        assert await sender.msa() == ["MSA", "AA", "C1"]
        refused = await sender.ack()
        assert b"\rMSA|AE|C2|The patient has no identifier\r" in refused
        assert b"\rERR||PID^1^3^1^1|101^" in refused
        await sender.send(oru("PID|1", OBR, control_id="C2"))
        assert await sender.ack() == refused


async def test_application_acknowledgement_follows_in_enhanced_mode(server: Server) -> None:
    async with listening(server) as connect, connect() as sender:
        await sender.send(oru(PID, OBR, header="|||AL|AL"))
        await sender.send(oru("PID|1", OBR, control_id="C2", header="|||AL|ER"))
        await sender.send(oru(PID, OBR, control_id="C3", header="|||AL|NE"))
        assert [(await sender.msa())[1] for _ in range(3)] == ["CA"] * 3
        await process.run(server, {})
        answers = {tuple(await sender.msa())[:3] for _ in range(2)}
        assert answers == {("MSA", "AA", "C1"), ("MSA", "AE", "C2")}
        assert await sender.is_silent()


async def test_large_messages_are_taken_a_few_at_a_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_GROUP_BYTES", 1)
    started: list[int] = []

    async def counted(server: Server, ids: Sequence[int]) -> list[apply.Row]:
        started.append(len(ids))
        return await load(server, ids)

    load = turns.load
    monkeypatch.setattr(turns, "load", counted)
    sent = [oru(f"PID|1||P{n}^^^H", f"OBR|1||F{n}|X", control_id=f"C{n}") for n in range(3)]
    await keep(server, *sent)
    await process.run(server, {})
    assert await rows(server) == [("done", None)] * 3
    assert started == [1, 1, 1]
