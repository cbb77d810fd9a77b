from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.hl7.inbox.process import run
from adapters.hl7.operators.load import load
from fhir_server.server import Server

pytestmark = pytest.mark.anyio

MESSAGE = (
    "MSH|^~\\&|LIS|LAB|EHR|H|2026||ORU^R01|{}|P|2.5.1||||||{}\r"
    "PID|1||P1^^^H||ರಾವ್^Asha\rOBR|1||{}|X\rOBX|1|NM|A||1||||||F\r"
)


def message(name: str, charset: str = "UNICODE UTF-8") -> str:
    return MESSAGE.format(name, charset, name)


ONE, TWO = message("C1"), message("C2")
WIDE = message("C1", "UNICODE") + message("C2", "UNICODE UTF-16")


async def rows(server: Server) -> list[tuple[Any, ...]]:
    async with server.database.connection() as connection:
        columns = "control_id, type, state, reason, channel"
        cursor = await connection.execute(f"SELECT {columns} FROM hl7_message ORDER BY id")
        return await cursor.fetchall()


TAKEN = [(name, "ORU", "done", None, "file") for name in ("C1", "C2")]


@pytest.mark.parametrize(
    ("content", "envelope"),
    [
        ((ONE + TWO).replace("\r", "\r\n").encode(), []),
        (f"\x0b{ONE}\x1c\r\x0b{TWO}\x1c\r".encode(), []),
        (f"BHS|^~\\&|LIS\r{ONE}{TWO}BTS|2\r".encode(), ["done"]),
        (WIDE.encode("utf-32-be"), []),
        (f"BHS|^~\\&|LIS\r{WIDE}BTS|3\r".encode("utf-16-le"), ["dead"]),
    ],
    ids=["plain", "frames", "batch", "utf-32", "utf-16-batch"],
)
async def test_messages_of_a_file_reach_fhir_once(
    server: Server, client: httpx.AsyncClient, tmp_path: Path, content: bytes, envelope: list[str]
) -> None:
    file = tmp_path / "some.hl7"
    file.write_bytes(content)
    found = await load(server, [file])
    assert [one.state for _, one in found] == ["stored", "stored", *envelope]
    await run(server, {})
    await load(server, [file])
    kept = await rows(server)
    assert [row for row in kept if row[0]] == TAKEN
    patients = (await client.get("/Patient")).json()["entry"]
    assert [one["resource"]["name"][0]["family"] for one in patients] == ["ರಾವ್"]


async def test_file_without_messages_is_kept_as_rejected(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("no message")
    await load(server, [file])
    assert await rows(server) == [(None, "", "rejected", "BAD_MSH", "file")]
