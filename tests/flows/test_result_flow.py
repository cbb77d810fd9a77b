"""An analyzer's result: durable before it is acknowledged, and then found by REST."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.hl7.inbox import process
from adapters.hl7.inbox.replay import Chosen, replay
from adapters.hl7.message.files import messages
from adapters.hl7.simulate.chemistry import oru
from fhir_server.server import Server
from tests.adapters.hl7.conftest import listening

pytestmark = pytest.mark.anyio


async def found(client: httpx.AsyncClient, query: str) -> list[dict[str, Any]]:
    response = await client.get(query)
    assert response.status_code == 200
    return [entry["resource"] for entry in response.json().get("entry", [])]


async def send(server: Server, *raw: bytes) -> list[str]:
    """Send messages on one connection; return MSA-1 of their acknowledgements."""
    async with listening(server) as connect, connect() as sender:
        for message in raw:
            await sender.send(message)
        return [(await sender.msa())[1] for _ in raw]


async def inbox(server: Server) -> list[tuple[Any, ...]]:
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT state, reason FROM hl7_message ORDER BY id")
        return await cursor.fetchall()


async def test_blood_count_of_an_analyzer_is_found_by_patient_and_code(
    server: Server, client: httpx.AsyncClient, shared: Path
) -> None:
    file = shared / "data/hl7v2/analyzers/mindray/bc5380-cbc-result.hl7"
    assert await send(server, *messages(file.read_bytes())) == ["AA"]
    await process.run(server, {})
    (patient,) = await found(client, "/Patient?family=doe&birthdate=1980-01-15")
    (count,) = await found(client, f"/Observation?patient={patient['id']}&code=HGB")
    assert count["valueQuantity"] == {
        "value": 14.2,
        "unit": "g/dL",
        "system": "http://unitsofmeasure.org",
        "code": "g/dL",
    }
    (report,) = await found(client, f"/DiagnosticReport?patient={patient['id']}")
    assert len(report["result"]) == 4
    (order,) = await found(client, f"/ServiceRequest?patient={patient['id']}")
    assert report["basedOn"] == [{"reference": f"ServiceRequest/{order['id']}"}]


async def test_all_messages_of_the_analyzers_go_through(
    server: Server, client: httpx.AsyncClient, shared: Path
) -> None:
    files = sorted((shared / "data/hl7v2/analyzers").glob("*/*-result.hl7"))
    files += (shared / "data/hl7v2/analyzers").glob("stago/*.hl7")
    raw = [message for file in files for message in messages(file.read_bytes())]
    assert await send(server, *raw) == ["AA"] * 9
    await process.run(server, {})
    assert await inbox(server) == [("done", None)] * 9
    bundle = (await client.get("/Observation?_summary=count")).json()
    assert bundle["total"] == 31


async def test_specimen_and_device_and_visit_come_with_the_result(
    server: Server, client: httpx.AsyncClient
) -> None:
    assert await send(server, oru(7)) == ["AA"]
    await process.run(server, {})
    (specimen,) = await found(client, "/Specimen")
    (device,) = await found(client, "/Device")
    (visit,) = await found(client, "/Encounter")
    observations = await found(client, f"/Observation?specimen=Specimen/{specimen['id']}")
    assert len(observations) == 25
    assert {o["device"]["reference"] for o in observations} == {f"Device/{device['id']}"}
    assert {o["encounter"]["reference"] for o in observations} == {f"Encounter/{visit['id']}"}


async def test_message_that_is_sent_again_is_applied_once(
    server: Server, client: httpx.AsyncClient
) -> None:
    assert await send(server, oru(1), oru(1)) == ["AA", "AA"]
    await process.run(server, {})
    assert await send(server, oru(1)) == ["AA"]
    await process.run(server, {})
    assert await inbox(server) == [("done", None)]
    assert {o["meta"]["versionId"] for o in await found(client, "/Observation")} == {"1"}


async def test_result_without_a_patient_is_refused_with_its_reason_and_kept(
    server: Server, client: httpx.AsyncClient
) -> None:
    raw = b"MSH|^~\\&|LIS|LAB|||2026||ORU^R01|C1|P|2.5.1\rOBR|1||F1|X\rOBX|1|NM|A||1\r"
    async with listening(server) as connect, connect() as sender:
        await sender.send(raw)
        ack = (await sender.ack()).decode().split("\r")
    assert ack[1] == "MSA|AE|C1|The PID segment is missing"
    assert ack[2].startswith("ERR||PID^1|100^Segment sequence error^HL70357|E|")
    await process.run(server, {})
    assert await inbox(server) == [("rejected", "NO_PATIENT_ID")]
    assert await found(client, "/Observation") == []


async def test_replay_applies_a_message_again_and_doubles_nothing(
    server: Server, client: httpx.AsyncClient
) -> None:
    await send(server, oru(3))
    await process.run(server, {})
    before = await found(client, "/Observation?_count=100")
    async with server.database.statement() as connection:
        assert await replay(connection, Chosen(ids=[1]), "test") == [1]
    assert await inbox(server) == [("stored", None)]
    await process.run(server, {})
    assert await inbox(server) == [("done", None)]
    assert await found(client, "/Observation?_count=100") == before
