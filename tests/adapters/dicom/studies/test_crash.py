"""Studies that arrive on many lines while everything is killed: each ends up exact.

SANGAM_TEST_INSTANCES sets the size (1,000 for the full run), SANGAM_TEST_SEED the order.
"""

import os
import random
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread

from adapters.dicom.network.pdu import Fault
from adapters.dicom.network.scu import Instance, Refusal, Sender
from adapters.dicom.network.wire import Closed, TimedOut
from adapters.dicom.studies import fold
from fhir_server.server import Server
from tests.adapters.dicom.studies.archive import Held, check, instances, study_uid
from tests.adapters.dicom.studies.processes import Given, started

SEED = int(os.environ.get("SANGAM_TEST_SEED", "7"))
INSTANCES = int(os.environ.get("SANGAM_TEST_INSTANCES", "60"))
STUDIES, LINES, KILLS, MOST_VERSIONS = 20, 8, 2, 5
GONE = (OSError, Closed, TimedOut, Refusal, Fault)


@dataclass
class Run:
    """The listening socket outlives the processes, as under a supervisor."""

    given: Given
    sock: socket.socket
    acknowledged: set[str] = field(default_factory=set)

    def send(self, part: Sequence[Instance]) -> None:
        contexts = [(one.sop_class_uid, one.transfer_syntax_uid) for one in part]
        address = self.sock.getsockname()
        try:
            with Sender(address, called="SANGAM", calling="CT", contexts=contexts) as sender:
                for one in part:
                    assert sender.store(one) == 0
                    self.acknowledged.add(one.sop_instance_uid)
        except GONE:
            return

    def round(self, sent: Sequence[Instance], *, goal: int | None) -> None:
        """Send what is not acknowledged on several lines; kill everything at the goal."""
        left = [one for one in sent if one.sop_instance_uid not in self.acknowledged]
        lines = [threading.Thread(target=self.send, args=(left[n::LINES],)) for n in range(LINES)]
        running = started(self.given, self.sock)
        for line in lines:
            line.start()
        while goal and len(self.acknowledged) < goal and any(x.is_alive() for x in lines):
            time.sleep(0.001)
        for line in lines if goal is None else ():
            line.join(60)
        for one in running:
            one.kill()
            one.join(10)
        for line in lines:
            line.join(60)


async def test_studies_are_exact_after_kills(server: Server, archive: Held) -> None:
    data = Path(server.settings.data_dir)
    each = INSTANCES // STUDIES
    sent = [one for seed in range(1, STUDIES + 1) for one in instances(seed, each)]
    random.Random(SEED).shuffle(sent)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as sock:
        run = Run(Given(server.database.conninfo, data, server.base), sock)
        for number in range(KILLS):
            goal = len(sent) * (number + 1) // (KILLS + 1)
            await anyio.to_thread.run_sync(lambda goal=goal: run.round(sent, goal=goal))
        await anyio.to_thread.run_sync(lambda: run.round(sent, goal=None))
    assert run.acknowledged == {one.sop_instance_uid for one in sent}
    await ended(archive)
    for seed in range(1, STUDIES + 1):
        [one] = await archive.found(
            f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{study_uid(seed)}"
        )
        check(server.validator, one)
        expected = sorted(x.sop_instance_uid for x in instances(seed, each))
        assert sorted(x["uid"] for x in one["series"][0]["instance"]) == expected
        assert one["numberOfInstances"] == each
        assert int(one["meta"]["versionId"]) <= MOST_VERSIONS


async def ended(archive: Held) -> None:
    """Do what the killed workers have left: their jobs are nobody's, and come back."""
    left = await archive.rows("DELETE FROM job WHERE kind = 'dicom.fold' RETURNING payload")
    for (payload,) in left:
        await fold.run(archive.server, payload)
    await archive.work()


async def test_what_is_sent_four_times_on_four_lines_is_one_study(archive: Held) -> None:
    sent = instances(1, max(40, INSTANCES // 2))
    orders = [random.Random(n).sample(sent, len(sent)) for n in range(4)]

    async def fold_all_the_time(done: anyio.Event) -> None:
        while not done.is_set():
            await archive.work()
            await anyio.sleep(0.05)

    done = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(fold_all_the_time, done)
        async with anyio.create_task_group() as senders:
            for order in orders:
                senders.start_soon(lambda order=order: archive.send(*order, fold=False))
        done.set()
    await archive.work()
    one = await archive.study()
    assert one["numberOfInstances"] == len(sent)
    assert [x["uid"] for x in one["series"][0]["instance"]] == [x.sop_instance_uid for x in sent]
    assert await archive.rows("SELECT count(*) FROM dicom_conflict") == [(0,)]
    assert len(await archive.found("ImagingStudy")) == 1
