"""Who may connect and use what, and the commands about it."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from adapters.dicom.cli import app
from adapters.dicom.dataset.levels import Level
from adapters.dicom.network import classes
from adapters.dicom.network.scu import Refusal, Sender
from adapters.dicom.network.tls import Certificate
from adapters.dicom.query import requester
from adapters.dicom.query.peers import Known, add, fits, valid
from adapters.dicom.simulation.computed_tomography import Study, instances, uid, write
from fhir_server.config import Settings
from fhir_server.database import Database
from fhir_server.errors import BadRequest, Conflict
from tests.adapters.dicom.conftest import Archive, serving

SHOWN = Certificate(frozenset(("ct1.hospital",)), "ab" * 32)


@pytest.mark.parametrize(
    ("host", "identity", "certificate", "fit"),
    [
        ("10.0.0.7", None, None, True),
        ("10.0.0.8", None, None, False),
        ("10.0.0.0/24", None, None, True),
        ("*", None, None, True),
        ("localhost", None, None, False),
        ("*", "ct1.hospital", SHOWN, True),
        ("*", "AB:" * 31 + "AB", SHOWN, True),
        ("*", "ct2.hospital", SHOWN, False),
        ("*", "ct1.hospital", None, False),
        ("10.0.0.8", "ct1.hospital", SHOWN, False),
    ],
)
def test_a_peer_is_where_its_row_says_and_proves_who_it_is(
    host: str, identity: str | None, certificate: Certificate | None, *, fit: bool
) -> None:
    peer = Known("CT1", host, identity=identity)
    assert fits(peer, "10.0.0.7", certificate) is fit


@pytest.mark.parametrize(
    "peer",
    [
        Known("", "h"),
        Known("A" * 17, "h"),
        Known("A\\B", "h"),
        Known(" A", "h"),
        Known("A\n", "h"),
        Known("A", "h", 70_000),
        Known("A", "h", services=("print",)),
        Known("A", "h", discloses_to="there"),
        Known("A", "*", services=("get",), discloses_to="Organization/there"),
        Known("A", "h", services=("find",), discloses_to="Organization/there"),
        Known("A", "h", services=("worklist",), discloses_to="Organization/there"),
    ],
)
def test_what_cannot_be_a_peer_is_refused(peer: Known) -> None:
    with pytest.raises(BadRequest):
        valid(peer)


def find_status(archive: Archive, calling: str) -> int:
    sop_class = classes.STUDY_ROOT_FIND
    pairs = requester.contexts(sop_class)
    keys = requester.identifier(Level.STUDY, ["StudyInstanceUID="])
    with Sender(archive.address, called="SANGAM", calling=calling, contexts=pairs) as sender:
        return list(requester.find(sender, sop_class, keys))[-1][0]


def test_a_peer_may_use_its_services_only(archive: Archive, know: Callable[..., None]) -> None:
    know("SENDER", services=("store",))
    know("READER", services=("find",))
    one = next(instances(Study(1, 1, size=8)))
    assert archive.send(one, calling="SENDER") == [0]
    assert archive.send(one, calling="READER") == [0x0124]
    assert find_status(archive, "READER") == 0
    assert find_status(archive, "SENDER") == 0x0124
    assert archive.rows("SELECT count(*) FROM dicom_peer WHERE heard_at IS NOT NULL") == [(2,)]


def test_a_peer_that_calls_from_elsewhere_is_rejected(
    archive: Archive, know: Callable[..., None]
) -> None:
    know("FAR", host="10.9.8.7")
    with pytest.raises(Refusal) as caught:
        Sender(archive.address, called="SANGAM", calling="FAR")
    assert caught.value.body == bytes((0, 1, 1, 3))


def test_outside_demo_mode_only_listed_callers_come_in(database_url: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", dicom={"calling_ae_titles": ["LISTED"]})
    with serving(settings, database_url) as archive, psycopg.connect(database_url) as connection:
        add(connection, Known("KNOWN", "127.0.0.1", 0, ("find",)))
        connection.commit()
        assert find_status(archive, "KNOWN") == 0
        assert find_status(archive, "LISTED") == 0x0124
        with pytest.raises(Refusal) as caught:
            Sender(archive.address, called="SANGAM", calling="STRANGER")
        assert caught.value.body == bytes((0, 1, 1, 3))


def test_defaults_of_a_peer_stand_in_for_what_it_leaves_away(
    archive: Archive, know: Callable[..., None]
) -> None:
    know("CT1", issuer="HOSP", timezone="Asia/Kolkata")
    archive.send(next(instances(Study(1, 1, size=8))), calling="CT1")
    assert archive.rows(
        "SELECT patient_issuer, attributes -> 'TimezoneOffsetFromUTC' ->> 0 FROM dicom_study"
    ) == [("HOSP", "+0530")]


@dataclass(frozen=True)
class Target:
    """What the command line gives its commands."""

    archive: Archive

    tenant: str | None = None

    def settings(self) -> Settings:
        return self.archive.settings

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Database]:
        database = Database(self.archive.conninfo, size=2)
        await database.open()
        try:
            yield database
        finally:
            await database.close()


def sangam(archive: Archive, *arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, obj=Target(archive), env={"COLUMNS": "200"})


def test_peers_are_added_listed_reached_and_removed(archive: Archive) -> None:
    host, port = archive.address
    added = sangam(archive, "peers", "add", "SANGAM", host, str(port), "--service", "find")
    assert added.output == "SANGAM may use: find\n"
    assert isinstance(sangam(archive, "peers", "add", "SANGAM", host).exception, Conflict)
    assert sangam(archive, "peers", "echo", "SANGAM").output == "SANGAM: success\n"
    [(reached, failure)] = archive.rows("SELECT reached_at, failure FROM dicom_peer")
    assert (reached is not None, failure) == (True, None)
    shown = sangam(archive, "peers", "list").output
    assert all(word in shown for word in ("SANGAM", host, str(port), "find"))
    assert sangam(archive, "peers", "remove", "SANGAM").exit_code == 0
    assert archive.rows("SELECT FROM dicom_peer") == []
    assert sangam(archive, "peers", "remove", "SANGAM").exit_code == 1


def test_a_peer_elsewhere_is_called_with_tls_or_knowingly_without(archive: Archive) -> None:
    added = sangam(archive, "peers", "add", "PACS", "10.0.0.7", "104")
    assert "It is not called. It would go out in the clear" in added.stderr
    listed = " ".join(sangam(archive, "peers", "list").output.split())
    assert "It is not called. It would go out in the clear; `sangam dicom peers protect" in listed
    assert "PACS is not called. It would" in str(sangam(archive, "echo", "PACS").exception)
    assert "make it a peer" in str(sangam(archive, "find", "X@10.0.0.7:104").exception)
    for option, row in (("--tls", (True, False)), ("--plain", (False, True))):
        assert sangam(archive, "peers", "protect", "PACS", option).exit_code == 0
        assert archive.rows("SELECT tls, plain FROM dicom_peer") == [row]
    assert sangam(archive, "peers", "protect", "NOBODY", "--tls").exit_code == 1


def test_files_are_sent_found_and_taken_back_by_commands(archive: Archive, tmp_path: Path) -> None:
    """All of it with ourselves as the peer."""
    host, port = archive.address
    peer = f"SANGAM@{host}:{port}"
    study = Study(3, 2, size=8)
    write(tmp_path / "ct", study)
    assert sangam(archive, "send", peer, str(tmp_path / "ct")).stdout == "2 sent, 0 refused\n"
    key = f"StudyInstanceUID={uid(3, 'study')}"
    found = sangam(archive, "find", peer, "-k", key, "-k", "NumberOfStudyRelatedInstances").output
    assert "NumberOfStudyRelatedInstances: 2\n" in found
    got = sangam(archive, "get", peer, str(tmp_path / "back"), "-k", key)
    assert got.output == "2 completed, 0 with warnings, 0 failed: success\n"
    assert sorted(path.stem for path in (tmp_path / "back").iterdir()) == sorted(
        one.sop_instance_uid for one in instances(study)
    )
    moved = sangam(archive, "move", peer, "NOBODY", "-k", key)
    assert (moved.exit_code, "A801" in moved.output) == (1, True)


def test_a_peer_that_does_not_answer_is_told(archive: Archive) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    refused = sangam(archive, "echo", f"X@127.0.0.1:{port}")
    assert "ConnectionRefusedError" in str(refused.exception)
