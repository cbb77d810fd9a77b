"""Messages that join patients, put into the inbox and processed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from adapters.hl7.inbox import process
from adapters.hl7.inbox.receive import store
from adapters.hl7.mllp.examine import examine
from adapters.hl7.mllp.framing import Frame, Kind
from fhir_server.server import Server

A = "PID|1||A^^^H^MR||Rao^Asha||19800102|F"
B = "PID|1||B^^^H^MR||Rao^Asha K||19800103|F"
C = "PID|1||C^^^H^MR||Rao^A"
MRG_A, MRG_B, MRG_C = (f"MRG|{one}^^^H^MR" for one in "ABC")
IDS = "/hl7/HIS-H/ids/H"


class Numbers:
    """Control ids, each once."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> str:
        self._last += 1
        return f"N{self._last}"


number = Numbers()


def message(kind: str, *segments: str, at: str = "20260102") -> bytes:
    start = f"MSH|^~\\&|HIS|H|EHR|H|{at}||{kind}|{number()}|P|2.5.1"
    return ("\r".join([start, *segments]) + "\r").encode()


def adt(event: str, *segments: str, at: str = "20260102") -> bytes:
    return message(f"ADT^{event}", *segments, at=at)


def result(pid: str, filler: str, value: str = "5", status: str = "F") -> bytes:
    obr = f"OBR|1|O{filler}|{filler}|PANEL^Panel|||20260101"
    obx = f"OBX|1|NM|GLU^Glucose||{value}|mmol/L||||{status}"
    return message("ORU^R01", pid, obr, obx)


async def keep(server: Server, *messages: bytes, channel: str = "mllp") -> None:
    now = datetime.now(UTC)
    group = [
        (examine(Frame(Kind.WHOLE, raw), server.settings.hl7, now), "test") for raw in messages
    ]
    await store(server.database, channel, group)


async def done(server: Server, *messages: bytes) -> list[tuple[Any, ...]]:
    """Store and process messages; return (state, reason) of those that are not done."""
    await keep(server, *messages)
    await process.run(server, {})
    return [row for row in await rows(server) if row != ("done", None)]


async def rows(server: Server, columns: str = "state, reason") -> list[tuple[Any, ...]]:
    async with server.database.connection() as connection:
        cursor = await connection.execute(f"SELECT {columns} FROM hl7_message ORDER BY id")
        return await cursor.fetchall()


async def found(client: httpx.AsyncClient, query: str) -> list[dict[str, Any]]:
    response = await client.get(query)
    assert response.status_code == 200, response.text
    return [entry["resource"] for entry in response.json().get("entry", [])]


async def patients(client: httpx.AsyncClient, server: Server) -> dict[str, dict[str, Any]]:
    """Return the Patients by their own (not old) identifier's value."""
    return {
        identifier["value"]: patient
        for patient in await found(client, "/Patient?_count=100")
        for identifier in patient.get("identifier", ())
        if identifier["system"] == server.base + IDS and identifier.get("use") != "old"
    }


async def subjects(client: httpx.AsyncClient, kinds: Sequence[str]) -> set[str]:
    """Return the subjects of all resources of these types."""
    return {
        one["subject"]["reference"]
        for kind in kinds
        for one in await found(client, f"/{kind}?_count=100")
    }
