"""kill -9 of the process that reports, after the requester has heard and before we know."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import anyio.to_thread
from pydicom.dataset import Dataset

from adapters.dicom.simulation import computed_tomography as simulate
from fhir_server import jobs
from fhir_server.server import Server
from tests.adapters.dicom.commitment import test_commitment_scu as scu
from tests.adapters.dicom.commitment.test_commitment_scu import Told, settings  # noqa: F401
from tests.adapters.dicom.conftest import Archive

WORKER = """
import asyncio, json, sys
from adapters.dicom.commitment import deliver
from fhir_server import jobs
from fhir_server.blobs import blobs_of
from fhir_server.config import Settings
from fhir_server.database import Database
given = json.loads(sys.argv[1])

class Handle:
    settings = Settings(demo=True, data_dir=given["data"])
    blobs = blobs_of(settings, given["conninfo"], "default")

async def main():
    Handle.database = database = Database(given["conninfo"], size=2)
    await database.open()
    async with database.connection() as held:
        await jobs.take_number(held, 77)
        while True:
            async with database.statement() as connection:
                [(id_,)] = await (await connection.execute(
                    "SELECT id FROM job WHERE kind = 'dicom.commitment'")).fetchall()
                job = await jobs.claim(connection, id_, 77)
            await deliver.run(Handle, job.payload)
            async with database.statement() as connection:
                await jobs.finish(connection, job.id, 77)

asyncio.run(main())
"""


def started(given: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", WORKER, json.dumps(given)])


async def test_a_report_survives_the_kill_of_who_sends_it(server: Server) -> None:
    stored = list(simulate.instances(simulate.Study(1, 2, size=8)))
    uids = [one.sop_instance_uid for one in stored]
    worker: list[subprocess.Popen[bytes]] = []

    class Killing(Told):
        def hear(self, event: Any) -> tuple[int, Dataset | None]:
            if not self.reports:
                os.kill(worker[0].pid, signal.SIGKILL)
            return super().hear(event)

    told = Killing()
    with scu.listening(told) as port:

        def play(archive: Archive) -> Archive:
            scu.know(archive, port)
            archive.send(*stored)
            assert scu.ask(archive, scu.wanted(*uids)) == 0
            return archive

        archive = await anyio.to_thread.run_sync(scu.serve, server, play)
        assert scu.state(archive) == [("waiting", 0, None)]
        given = {"data": str(server.settings.data_dir), "conninfo": server.database.conninfo}
        worker.append(started(given))
        assert await anyio.to_thread.run_sync(worker[0].wait, 60) == -signal.SIGKILL
        assert scu.state(archive) == [("decided", 0, None)]
        async with server.database.statement() as connection:
            assert await jobs.adopt(connection, 1, []) == 1
            await connection.execute("UPDATE job SET due_at = now()")
        await scu.work(server)
    assert [kind for kind, _ in told.reports] == [1, 1]
    assert told.last() == (1, uids, [])
    assert scu.state(archive) == [("reported", 1, None)]
