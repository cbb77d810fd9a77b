"""Peers beside a listener, and instances that differ in what queries ask for."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

from adapters.dicom.network.scu import Instance
from adapters.dicom.query import peers
from adapters.dicom.query.peers import Known
from tests.adapters.dicom.conftest import Archive

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def instance(sop_instance_uid: str, **attributes: object) -> Instance:
    """Return a small CT instance with these attributes."""
    found = Dataset()
    found.SOPClassUID = CT
    found.SOPInstanceUID = sop_instance_uid
    for name, value in attributes.items():
        setattr(found, name, value)
    buffer = BytesIO()
    stream = DicomIO(buffer)
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, found)
    sop_class = str(found.SOPClassUID)
    return Instance(sop_class, sop_instance_uid, EXPLICIT, buffer.getvalue())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when something listens there."""
    for _ in range(600):
        assert process.poll() is None, "the peer has ended"
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the peer does not listen")


@pytest.fixture
def know(archive: Archive) -> Callable[..., None]:
    """Write a peer's row."""

    def known(ae_title: str, port: int = 0, **changes: object) -> None:
        peer = replace(Known(ae_title, "127.0.0.1", port, peers.SERVICES), **changes)
        with psycopg.connect(archive.conninfo, autocommit=True) as connection:
            peers.add(connection, peer)

    return known


@pytest.fixture
def storescp(tmp_path: Path, dcmtk: Callable[[str], str]) -> Iterator[tuple[int, Path]]:
    """A port of storescp, which takes known classes uncompressed, and where it writes them."""
    directory = tmp_path / "received"
    directory.mkdir()
    port = free_port()
    command = [dcmtk("storescp"), "-aet", "STORESCP", "-od", str(directory), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield port, directory
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc: its DICOM port, and what commands it over HTTP."""

    port: int
    http: int

    def ask(self, path: str, body: object = None) -> Any:
        """Return the answer to a GET, or to a POST of `body`: bytes as they are, else as JSON."""
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/{path}", sent)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def forget(self, path: str) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/{path}", method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()


@pytest.fixture
def orthanc(tmp_path: Path, archive: Archive) -> Iterator[Orthanc]:
    """Orthanc, which knows us as SANGAM."""
    program = shutil.which("Orthanc")
    if program is None:
        pytest.skip("Orthanc is not installed")
    found = Orthanc(free_port(), free_port())
    settings = {
        "StorageDirectory": str(tmp_path / "orthanc"),
        "IndexDirectory": str(tmp_path / "orthanc"),
        "HttpPort": found.http,
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "DicomPort": found.port,
        "DicomAet": "ORTHANC",
        "DicomAlwaysAllowMove": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomModalities": {"us": ["SANGAM", *archive.address]},
        "Plugins": [],
    }
    path = tmp_path / "orthanc.json"
    path.write_text(json.dumps(settings))
    process = subprocess.Popen(
        [program, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(found.port, process)
        wait_for(found.http, process)
        yield found
    finally:
        process.kill()
        process.wait()
