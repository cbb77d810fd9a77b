"""Messages of a laboratory, taken as if they had come over MLLP, and what REST gives then."""

from datetime import UTC, datetime
from typing import Any

import httpx

from adapters.hl7.inbox import process
from adapters.hl7.inbox.receive import store
from adapters.hl7.laboratory import following
from adapters.hl7.mllp.examine import examine
from adapters.hl7.mllp.framing import Frame, Kind
from fhir_server.server import Server
from tests.cluster import no_others

PID = "PID|1||P1^^^H^MR||Rao^Asha||19800102|F"


def oru(*segments: str, control_id: str = "C1", at: str = "2026") -> bytes:
    start = f"MSH|^~\\&|LIS|LAB|EHR|H|{at}||ORU^R01|{control_id}|P|2.5.1"
    return ("\r".join([start, PID, *segments]) + "\r").encode()


async def take(server: Server, *messages: bytes) -> None:
    """Store and process messages one after the other; each must be done."""
    for raw in messages:
        frame = examine(Frame(Kind.WHOLE, raw), server.settings.hl7, datetime.now(UTC))
        await store(server.database, "mllp", [(frame, "test")])
        await process.run(server, {})
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT DISTINCT state, reason FROM hl7_message")
        assert await cursor.fetchall() == [("done", None)]


async def found(client: httpx.AsyncClient, query: str) -> list[dict[str, Any]]:
    response = await client.get(query)
    assert response.status_code == 200
    return [entry["resource"] for entry in response.json().get("entry", [])]


async def look(server: Server) -> None:
    """Look for acknowledgements when the feed shows all that was written."""
    await no_others(server.database)
    await following.run(server, {})
