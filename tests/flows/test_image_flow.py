"""A CT leaves the scanner by C-STORE and is found as an ImagingStudy by REST."""

import asyncio
import shutil
import socket
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from adapters.dicom import listener
from adapters.dicom.simulation.computed_tomography import Study, uid, write
from adapters.dicom.storage import index
from adapters.dicom.studies import fold
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings
from fhir_server.server import Server
from fhir_server.worker.runner import work


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(demo=True, data_dir=tmp_path / "data", dicom=DicomSettings(quiet_seconds=0.1))


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[int]:
    """Run the listener and the worker; gives the DICOM port."""
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    stop, stop_worker = threading.Event(), asyncio.Event()
    listening = asyncio.create_task(asyncio.to_thread(listener.serve, server, sock, stop))
    working = asyncio.create_task(work(server, {index.FOLD: fold.run}, "memory://", stop_worker))
    try:
        yield port
    finally:
        stop.set()
        stop_worker.set()
        await asyncio.gather(listening, working)
        sock.close()


async def storescu(port: int, *paths: Path | str) -> None:
    program = shutil.which("storescu")
    if program is None:
        pytest.skip("dcmtk's storescu is not installed")
    command = (program, "-R", "-aec", "SANGAM", "+sd", "localhost", str(port), *map(str, paths))
    await asyncio.to_thread(subprocess.run, command, check=True, timeout=60, capture_output=True)


async def study(client: httpx.AsyncClient, study_uid: str, instances: int) -> dict[str, Any]:
    """Return the ImagingStudy once it shows so many instances."""
    for _ in range(200):
        answer = await client.get(
            "ImagingStudy", params={"identifier": f"urn:dicom:uid|urn:oid:{study_uid}"}
        )
        assert answer.status_code == 200
        entries = answer.json().get("entry", [])
        if entries and entries[0]["resource"]["numberOfInstances"] == instances:
            [entry] = entries
            return dict(entry["resource"])
        await asyncio.sleep(0.05)
    raise AssertionError("The study was not folded within ten seconds")


async def test_a_slice_is_sent_by_storescu_and_found_by_rest(
    server: Server, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    source = str(get_testdata_file("CT_small.dcm"))
    sent = dcmread(source)
    async with running(server) as port:
        await storescu(port, source)
        found = await study(client, sent.StudyInstanceUID, 1)
    [series] = found["series"]
    assert found["status"] == "available"
    assert found["modality"][0]["code"] == "CT"
    assert found["started"] == "2004-01-19T07:27:30-05:00"
    assert series["uid"] == sent.SeriesInstanceUID
    assert series["instance"][0]["uid"] == sent.SOPInstanceUID
    patient = await client.get(found["subject"]["reference"])
    assert patient.json()["name"] == [{"family": "CompressedSamples", "given": ["CT1"]}]
    by_patient = await client.get("ImagingStudy", params={"patient": found["subject"]["reference"]})
    assert [e["resource"]["id"] for e in by_patient.json()["entry"]] == [found["id"]]


async def test_a_study_from_several_associations_is_one_imaging_study(
    server: Server, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    paths = write(tmp_path / "ct", Study(3, 40, size=16))
    async with running(server) as port:
        await asyncio.gather(*(storescu(port, *paths[n::4]) for n in range(4)))
        found = await study(client, uid(3, "study"), 40)
    assert [i["number"] for i in found["series"][0]["instance"]] == list(range(1, 41))
    patients = await client.get("Patient")
    assert len(patients.json()["entry"]) == 1
