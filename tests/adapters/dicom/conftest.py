"""A listener on a socket, over a real database and a real disk."""

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters.dicom import listener
from adapters.dicom.network.scu import Instance, Sender
from adapters.dicom.serving import Permits
from adapters.dicom.storage.store import archive_root
from fhir_server.bases import DEFAULT
from fhir_server.blobs import Blobs, blobs_of
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings


@dataclass(frozen=True)
class Archive:
    """A running listener and what it keeps."""

    address: tuple[str, int]
    conninfo: str
    blobs: Blobs
    settings: Settings
    stop: threading.Event

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            return connection.execute(sql, values).fetchall()

    def stored(self, sop_instance_uid: str) -> bytes | None:
        """Return the data set that is kept of an instance."""
        found = self.rows(
            "SELECT encode(blob, 'hex'), data_set_offset FROM dicom_instance "
            "WHERE sop_instance_uid = %s",
            sop_instance_uid,
        )
        return self.blobs.get(found[0][0])[found[0][1] :] if found else None

    def files(self) -> list[Path]:
        """Return all blobs and partial files."""
        return [path for path in self.blobs.root.rglob("*") if path.is_file()]

    def send(self, *instances: Instance, calling: str = "MODALITY") -> list[int]:
        contexts = [(one.sop_class_uid, one.transfer_syntax_uid) for one in instances]
        with Sender(self.address, called="SANGAM", calling=calling, contexts=contexts) as sender:
            return [sender.store(one) for one in instances]

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, 10)


@contextmanager
def serving(settings: Settings, conninfo: str, permits: Permits | None = None) -> Iterator[Archive]:
    """Run a listener in a thread until the block ends."""
    blobs = blobs_of(settings, conninfo, DEFAULT)
    sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
    stop = threading.Event()
    thread = threading.Thread(
        target=listener.listen,
        args=(settings, conninfo, blobs, sock, stop),
        kwargs={"permits": permits},
        name="listener",
    )
    thread.start()
    try:
        yield Archive(
            sock.getsockname(),
            conninfo,
            Blobs(archive_root(blobs.root), blobs.keys),
            settings,
            stop,
        )
    finally:
        stop.set()
        thread.join(30)
        sock.close()
        assert not thread.is_alive()


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Iterator[Callable[..., Archive]]:
    """Start a listener with these DICOM settings."""
    with ExitStack() as stack:

        def started(permits: Permits | None = None, **dicom: Any) -> Archive:
            quick = {"quiet_seconds": 0, "stop_seconds": 5, **dicom}
            settings = Settings(demo=True, data_dir=tmp_path / "data", dicom=DicomSettings(**quick))
            return stack.enter_context(serving(settings, database_url, permits))

        yield started


@pytest.fixture
def archive(start: Callable[..., Archive]) -> Archive:
    """A listener with default settings."""
    return start()


@pytest.fixture
def dcmtk() -> Callable[[str], str]:
    """The path of a dcmtk program, or a skip."""

    def path(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"dcmtk's {name} is not installed")
        return found

    return path
