"""A real SCU of storage commitment, pynetdicom, which asks and is told."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread
import psycopg
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel

from adapters.dicom.commitment import deliver, rows
from adapters.dicom.network.scu import Instance
from adapters.dicom.query import peers
from adapters.dicom.query.peers import Known
from adapters.dicom.simulation import computed_tomography as simulate
from fhir_server import jobs
from fhir_server.config import DicomSettings, Settings
from fhir_server.server import Server
from tests.adapters.dicom.conftest import Archive, serving

WELL_KNOWN = "1.2.840.10008.1.20.1.1"
TRANSACTION = "1.2.826.0.1.43.1"
CT = "1.2.840.10008.5.1.4.1.1.2"


@dataclass
class Told:
    """What a requester has been told: event types and information."""

    status: int = 0
    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)

    def hear(self, event: Any) -> tuple[int, None]:
        self.reports.append((event.request.EventTypeID, event.event_information))
        self.came.set()
        return self.status, None

    def last(self) -> tuple[int, list[str], list[tuple[str, int]]]:
        kind, found = self.reports[-1]
        kept = [one.ReferencedSOPInstanceUID for one in found.get("ReferencedSOPSequence", ())]
        failed = [
            (one.ReferencedSOPInstanceUID, one.FailureReason)
            for one in found.get("FailedSOPSequence", ())
        ]
        return kind, kept, failed


@contextmanager
def listening(told: Told) -> Iterator[int]:
    """Listen for reports as CT1, on a port."""
    ae = AE("CT1")
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    handlers = [(evt.EVT_N_EVENT_REPORT, told.hear)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


@contextmanager
def associated(archive: Archive, told: Told | None = None) -> Iterator[Association]:
    host, port = archive.address
    handlers = [(evt.EVT_N_EVENT_REPORT, told.hear)] if told else []
    association = AE("CT1").associate(
        host,
        port,
        [build_context(StorageCommitmentPushModel)],
        ae_title="SANGAM",
        evt_handlers=handlers,
    )
    assert association.is_established
    try:
        yield association
    finally:
        association.release()


def wanted(*uids: str, sop_class: str = CT, transaction: str = TRANSACTION) -> Dataset:
    found = Dataset()
    found.TransactionUID = transaction
    items = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        items.append(item)
    found.ReferencedSOPSequence = items
    return found


def ask(archive: Archive, asked: Dataset, action: int = 1, instance: str = WELL_KNOWN) -> int:
    with associated(archive) as association:
        status, _ = association.send_n_action(asked, action, StorageCommitmentPushModel, instance)
    return int(status.Status)


def know(archive: Archive, port: int) -> None:
    with psycopg.connect(archive.conninfo, autocommit=True) as connection:
        peers.add(connection, Known("CT1", "127.0.0.1", port, peers.SERVICES))


def state(archive: Archive) -> list[tuple[Any, ...]]:
    return archive.rows("SELECT state, attempts, failure FROM dicom_commitment ORDER BY id")


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    dicom = DicomSettings(quiet_seconds=0, commit_wait_seconds=0)
    return Settings(demo=True, data_dir=tmp_path / "data", dicom=dicom)


@pytest.fixture
def stored() -> list[Instance]:
    return list(simulate.instances(simulate.Study(1, 2, size=8)))


async def work(server: Server) -> None:
    """Run the jobs of commitments that are due, until none is."""
    while True:
        async with server.database.statement() as connection:
            cursor = await connection.execute(
                "SELECT id FROM job WHERE state = 'ready' AND kind = %s AND due_at <= now()",
                (rows.KIND,),
            )
            ids = [row[0] for row in await cursor.fetchall()]
            for claimed in [job for id_ in ids if (job := await jobs.claim(connection, id_, 1))]:
                await deliver.run(server, claimed.payload)
                await jobs.finish(connection, claimed.id, 1)
        if not ids:
            return


def serve(server: Server, act: Callable[[Archive], Any]) -> Any:
    with serving(server.settings, server.database.conninfo) as archive:
        return act(archive)


async def test_what_is_stored_is_committed(server: Server, stored: list[Instance]) -> None:
    told = Told()
    uids = [one.sop_instance_uid for one in stored]
    with listening(told) as port:

        def play(archive: Archive) -> Archive:
            know(archive, port)
            assert archive.send(*stored) == [0, 0]
            assert ask(archive, wanted(*uids)) == 0
            return archive

        archive = await anyio.to_thread.run_sync(serve, server, play)
        await work(server)
    assert told.last() == (1, uids, [])
    assert told.reports[0][1].TransactionUID == TRANSACTION
    assert told.reports[0][1].RetrieveAETitle == "SANGAM"
    assert state(archive) == [("reported", 1, None)]


async def test_what_cannot_be_committed_is_named(server: Server, stored: list[Instance]) -> None:
    told = Told()
    good, broken = (one.sop_instance_uid for one in stored)
    references = wanted(good, broken, "1.2.3.4")
    references.ReferencedSOPSequence += [
        *wanted("1.2.3.5", sop_class="1.2.840.10008.1.1").ReferencedSOPSequence,
        *wanted(good, sop_class="1.2.840.10008.5.1.4.1.1.4").ReferencedSOPSequence,
    ]
    with listening(told) as port:

        def play(archive: Archive) -> Archive:
            know(archive, port)
            archive.send(*stored)
            [(digest,)] = archive.rows(
                "SELECT encode(blob, 'hex') FROM dicom_instance WHERE sop_instance_uid = %s", broken
            )
            path = archive.blobs.path(digest)
            path.write_bytes(path.read_bytes()[:-1])
            assert ask(archive, references) == 0
            return archive

        archive = await anyio.to_thread.run_sync(serve, server, play)
        await work(server)
    failed = [(broken, 0x0110), ("1.2.3.4", 0x0112), ("1.2.3.5", 0x0122), (good, 0x0119)]
    assert told.last() == (2, [good], failed)
    assert state(archive) == [("reported", 1, None)]


async def test_a_report_that_does_not_arrive_is_sent_again(server: Server) -> None:
    told = Told()

    def play(archive: Archive) -> Archive:
        know(archive, 1)  # nobody listens there
        assert ask(archive, wanted("1.2.3.4")) == 0
        return archive

    archive = await anyio.to_thread.run_sync(serve, server, play)
    await work(server)
    [(status, attempts, failure)] = state(archive)
    assert (status, attempts, failure) == ("decided", 1, "ConnectionRefusedError")
    due = "SELECT extract(epoch FROM due_at - now()) BETWEEN 50 AND 60 FROM job"
    assert archive.rows(due) == [(True,)]
    with listening(told) as port:
        archive.rows("UPDATE dicom_peer SET port = %s RETURNING port", port)
        archive.rows("UPDATE job SET due_at = now() RETURNING id")
        await work(server)
    assert told.last() == (2, [], [("1.2.3.4", 0x0112)])
    assert state(archive) == [("reported", 2, None)]


async def test_instances_may_come_after_the_request(server: Server, stored: list[Instance]) -> None:
    uids = [one.sop_instance_uid for one in stored]
    waiting = server.settings.dicom.model_copy(update={"commit_wait_seconds": 60})
    object.__setattr__(server, "settings", server.settings.model_copy(update={"dicom": waiting}))
    told = Told()
    with listening(told) as port:

        def begin(archive: Archive) -> None:
            know(archive, port)
            assert ask(archive, wanted(*uids)) == 0

        def finish(archive: Archive) -> Archive:
            archive.send(*stored)
            archive.rows("UPDATE job SET due_at = now() RETURNING id")
            return archive

        await anyio.to_thread.run_sync(serve, server, begin)
        await work(server)
        assert told.reports == []
        archive = await anyio.to_thread.run_sync(serve, server, finish)
        await work(server)
    assert told.last() == (1, uids, [])
    assert state(archive) == [("reported", 1, None)]


async def test_a_transaction_uid_in_use_is_not_taken_for_another(
    server: Server, stored: list[Instance]
) -> None:
    told = Told()
    first, second = (one.sop_instance_uid for one in stored)
    with listening(told) as port:

        def play(archive: Archive) -> Archive:
            know(archive, port)
            archive.send(*stored)
            assert ask(archive, wanted(first)) == 0
            assert ask(archive, wanted(first)) == 0  # its answer was lost
            assert ask(archive, wanted(second)) == 0
            return archive

        archive = await anyio.to_thread.run_sync(serve, server, play)
        await work(server)
    assert len(told.reports) == 2
    assert sorted(kind for kind, _ in told.reports) == [1, 2]
    assert told.last() == (2, [], [(second, 0x0131)])
    assert state(archive) == [("reported", 1, None), ("reported", 1, None)]


async def test_a_report_comes_on_the_requesters_association(
    server: Server, stored: list[Instance]
) -> None:
    told = Told()
    uids = [one.sop_instance_uid for one in stored]
    asked = anyio.Event()

    def play(archive: Archive) -> Archive:
        archive.send(*stored)
        with associated(archive, told) as association:
            status, _ = association.send_n_action(
                wanted(*uids), 1, StorageCommitmentPushModel, WELL_KNOWN
            )
            assert status.Status == 0
            anyio.from_thread.run_sync(asked.set)
            assert told.came.wait(20)
            # What was told is noted once the answer to it has come.
            while state(archive) == [("decided", 0, None)]:
                time.sleep(0.005)
        return archive

    async with anyio.create_task_group() as tasks:
        played: list[Archive] = []

        async def play_it() -> None:
            played.append(await anyio.to_thread.run_sync(serve, server, play))

        tasks.start_soon(play_it)
        await asked.wait()
        await work(server)
    assert told.last() == (1, uids, [])
    assert state(played[0]) == [("reported", 1, None)]


@pytest.mark.parametrize(
    ("asked", "action", "instance", "expected"),
    [
        pytest.param(wanted("1.2.3"), 2, WELL_KNOWN, 0x0123, id="another action"),
        pytest.param(wanted("1.2.3"), 1, "1.2.3.4", 0x0112, id="another instance"),
        pytest.param(wanted(), 1, WELL_KNOWN, 0x0115, id="no references"),
        pytest.param(wanted("1.2.3", transaction=""), 1, WELL_KNOWN, 0x0115, id="no transaction"),
        pytest.param(wanted("1.2.3", sop_class=""), 1, WELL_KNOWN, 0x0115, id="no class"),
    ],
)
def test_a_request_that_cannot_be_is_refused(
    archive: Archive, asked: Dataset, action: int, instance: str, expected: int
) -> None:
    assert ask(archive, asked, action, instance) == expected
    assert state(archive) == []
