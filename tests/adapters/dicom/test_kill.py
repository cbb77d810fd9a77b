"""kill -9 in the middle of C-STOREs: nothing acknowledged is lost, nothing is doubled."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from adapters.dicom.network.pdu import Fault
from adapters.dicom.network.scu import Instance, Refusal, Sender
from adapters.dicom.network.wire import Closed, TimedOut
from adapters.dicom.simulation.computed_tomography import Study, instances
from adapters.dicom.storage.store import archive_root
from fhir_server.blobs import Blobs

LISTENER = """
import json, socket, sys, threading
from pathlib import Path
from adapters.dicom.listener import listen
from fhir_server.blobs import Blobs
from fhir_server.config import Settings
given = json.loads(sys.argv[1])
sock = socket.socket(fileno=given["socket"])
settings = Settings(demo=True, data_dir=given["data"])
print("listening", flush=True)
blobs = Blobs(Path(given["data"]))
listen(settings, given["conninfo"], blobs, sock, threading.Event())
"""
SEED = int(os.environ.get("SANGAM_TEST_SEED", "20"))
KILLS = int(os.environ.get("SANGAM_TEST_KILLS", "3"))
GONE = (OSError, Closed, TimedOut, Refusal, Fault)


@dataclass
class Run:
    """The listening socket outlives the process, as under a supervisor."""

    conninfo: str
    data: Path
    sock: socket.socket = field(
        default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=64)
    )

    def start(self) -> "subprocess.Popen[str]":
        given = {
            "socket": self.sock.fileno(),
            "conninfo": self.conninfo,
            "data": str(self.data),
        }
        process = subprocess.Popen(
            [sys.executable, "-c", LISTENER, json.dumps(given)],
            pass_fds=[self.sock.fileno()],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        return process

    def send(self, instances: Sequence[Instance], acknowledged: set[str]) -> None:
        """Send until all are acknowledged or the listener is gone."""
        contexts = [(one.sop_class_uid, one.transfer_syntax_uid) for one in instances]
        address = self.sock.getsockname()
        try:
            with Sender(
                address, called="SANGAM", calling="KILL", contexts=contexts, timeout=10
            ) as sender:
                for one in instances:
                    assert sender.store(one) == 0
                    acknowledged.add(one.sop_instance_uid)
        except GONE:
            return


def test_kill_9_loses_nothing_acknowledged(database_url: str, tmp_path: Path) -> None:
    source = random.Random(SEED)
    sent = [one for seed in range(4) for one in instances(Study(seed, 30, size=64))]
    source.shuffle(sent)
    run = Run(database_url, tmp_path)
    acknowledged: set[str] = set()
    interrupted = 0
    with run.sock:
        for round_ in range(KILLS + 1):
            process = run.start()
            left = [one for one in sent if one.sop_instance_uid not in acknowledged]
            threads = [
                threading.Thread(target=run.send, args=(left[n::4], acknowledged)) for n in range(4)
            ]
            for thread in threads:
                thread.start()
            if round_ < KILLS:
                goal = len(acknowledged) + source.randrange(5, 25)
                while len(acknowledged) < goal and any(t.is_alive() for t in threads):
                    time.sleep(0.001)
                process.send_signal(signal.SIGKILL)
                interrupted += any(thread.is_alive() for thread in threads)
            for thread in threads:
                thread.join(30)
            if round_ == KILLS:
                process.kill()
            process.communicate(timeout=10)
            check(run, sent, acknowledged)
    assert interrupted == KILLS
    assert acknowledged == {one.sop_instance_uid for one in sent}


def check(run: Run, sent: Sequence[Instance], acknowledged: set[str]) -> None:
    """Each acknowledged instance is there with its bytes, each row has its blob and job."""
    blobs = Blobs(archive_root(run.data))
    expected = {one.sop_instance_uid: one.data_set for one in sent}
    with psycopg.connect(run.conninfo, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT sop_instance_uid, encode(blob, 'hex'), data_set_offset FROM dicom_instance"
        ).fetchall()
        studies = connection.execute(
            "SELECT DISTINCT study_instance_uid FROM dicom_instance ORDER BY 1"
        ).fetchall()
        jobs = connection.execute("SELECT dedupe_key FROM job ORDER BY 1").fetchall()
        conflicts = connection.execute("SELECT count(*) FROM dicom_conflict").fetchone()
    kept = {uid: blobs.get(blob)[offset:] for uid, blob, offset in rows}
    assert acknowledged <= set(kept)
    assert kept == {uid: expected[uid] for uid in kept}
    assert jobs == studies
    assert conflicts == (0,)


def test_an_association_of_a_killed_listener_ends_at_once(
    database_url: str, tmp_path: Path
) -> None:
    run = Run(database_url, tmp_path)
    with run.sock:
        process = run.start()
        sender = Sender(run.sock.getsockname(), called="SANGAM", calling="KILL", timeout=10)
        assert sender.echo() == 0
        process.kill()
        process.communicate(timeout=10)
        with pytest.raises(GONE):
            sender.echo()
        sender.abandon()
