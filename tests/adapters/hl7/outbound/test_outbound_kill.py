"""kill -9 of what sends: nothing that changed is lost, and a resend is the same message."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from httpx import AsyncClient

from fhir_server.server import Server
from tests.adapters.hl7.outbound.destination import (
    Answer,
    Destination,
    agree,
    destination,
    fields,
    patient,
    positive,
    put,
    rows,
    settled,
    telling,
)

SENDER = """
import asyncio, sys
from adapters.hl7.outbound.serve import serve
from fhir_server.config import Settings
from fhir_server.main.wiring import running
conninfo, data, profiles = sys.argv[1:]

async def main():
    said = {"profiles_dir": profiles, "outbound_poll_seconds": 0.02}
    settings = Settings(demo=True, data_dir=data, hl7=said)
    async with running(settings, conninfo, "http://testserver/fhir") as server:
        print("running", flush=True)
        await serve(server, asyncio.Event())

asyncio.run(main())
"""
PATIENTS, KILLED_AT = 8, 3


@asynccontextmanager
async def sender(
    conninfo: str, data: Path, profiles: Path
) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """Run a process that sends, and wait until it has imported what it needs."""
    arguments = [sys.executable, "-c", SENDER, conninfo, str(data), str(profiles)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE)  # noqa: ASYNC220  (returns at once)
    assert process.stdout is not None
    try:
        assert await asyncio.to_thread(process.stdout.readline) == b"running\n"
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
        process.stdout.close()


async def test_what_was_under_way_when_the_sender_was_killed_is_sent_again(
    server: Server, client: AsyncClient, database_url: str, tmp_path: Path
) -> None:
    place = tmp_path / "profiles"
    async with destination() as there:
        agree(place, there.port, "ADT")
        async with telling(server, place):
            pass  # changes count from here on
        for number in range(PATIENTS):
            await put(client, patient(f"p{number}"))
            await put(client, patient(f"p{number}", birthDate="1981-01-15"))
        async with sender(database_url, tmp_path / "data", place) as process:
            there.answer = killing(there, process.pid)
            await there.until(KILLED_AT)
            await asyncio.to_thread(process.wait)
        assert process.returncode == -signal.SIGKILL
        there.answer = positive
        async with telling(server, place) as telling_server:
            await settled(telling_server, [("done",)] * 2 * PATIENTS, "state")
    sent = {
        control: bytes(payload) for control, payload in await rows(server, "control_id, payload")
    }
    assert set(there.came) == set(sent.values())
    assert len(there.came) == len(sent) + 1  # the one without an answer came twice
    told: dict[str, list[str]] = {}
    for message in there.texts:
        (pid,) = fields(message, "PID")
        told.setdefault(pid[3], []).append(pid[7])
    assert all(births == sorted(births) for births in told.values())


def killing(there: Destination, pid: int) -> Answer:
    """Return what acknowledges the first messages, and kills the sender at the next."""

    def answer(control_id: str) -> bytes | None:
        if len(there.came) < KILLED_AT:
            return positive(control_id)
        os.kill(pid, signal.SIGKILL)
        return None

    return answer
