"""Peers beside a listener, and instances that differ in what queries ask for."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

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


@pytest.fixture
def orthanc(tmp_path: Path, archive: Archive) -> Iterator[int]:
    """Orthanc on a port, which knows us as SANGAM."""
    program = shutil.which("Orthanc")
    if program is None:
        pytest.skip("Orthanc is not installed")
    port = free_port()
    settings = tmp_path / "orthanc.json"
    host, ours = archive.address
    settings.write_text(
        f"""{{"StorageDirectory": "{tmp_path / "orthanc"}", "HttpServerEnabled": false,
        "IndexDirectory": "{tmp_path / "orthanc"}", "DicomPort": {port}, "DicomAet": "ORTHANC",
        "DicomAlwaysAllowMove": true, "DicomAlwaysAllowFind": true, "DicomAlwaysAllowGet": true,
        "DicomModalities": {{"us": ["SANGAM", "{host}", {ours}]}}, "Plugins": []}}"""
    )
    process = subprocess.Popen(
        [program, str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait()
