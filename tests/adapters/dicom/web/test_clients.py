"""DICOMweb over real HTTP: an independent client, and raw sockets."""

import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from dicomweb_client import DICOMwebClient

from adapters.dicom.simulation.computed_tomography import Study, instances
from tests.adapters.dicom import files
from tests.adapters.dicom.conftest import Archive
from tests.adapters.dicom.web.served import Served, served
from tests.adapters.dicom.web.test_wado import instance_of


@pytest.fixture
def both(tmp_path: Path, database_url: str) -> Iterator[Served]:
    with served(tmp_path / "data", database_url) as running:
        yield running


def test_an_independent_client_finds_and_reads_what_was_stored(both: Served) -> None:
    archive, port = both.archive, both.port
    made = list(instances(Study(3, 3, size=16)))
    compressed = instance_of(files.one("MR_small_RLE.dcm"))
    archive.send(*made, compressed)
    client = DICOMwebClient(f"http://127.0.0.1:{port}/dicom-web")

    [found] = client.search_for_studies(search_filters={"PatientID": "SIM00000003"})
    study = found["0020000D"]["Value"][0]
    [series] = client.search_for_series(study)
    listed = client.search_for_instances(study, series["0020000E"]["Value"][0])
    names = [one["00080018"]["Value"][0] for one in listed]
    assert names == [one.sop_instance_uid for one in made]

    where = (study, series["0020000E"]["Value"][0], names[1])
    stored = pydicom.dcmread(BytesIO(archive.blobs.get(_blob(archive, names[1]))))
    fetched = client.retrieve_instance(*where)
    assert fetched == stored
    assert [one.SOPInstanceUID for one in client.retrieve_study(study)] == names
    assert [one.SOPInstanceUID for one in client.retrieve_series(*where[:2])] == names
    assert client.retrieve_instance_frames(*where, [1]) == [stored.PixelData]
    metadata = client.retrieve_study_metadata(study)
    read = pydicom.Dataset.from_json(metadata[1], lambda *_: b"")
    assert (read.PatientName, read.Rows) == (stored.PatientName, stored.Rows)
    assert client.retrieve_bulkdata(metadata[1]["7FE00010"]["BulkDataURI"]) == [stored.PixelData]

    rle = pydicom.dcmread(files.one("MR_small_RLE.dcm").path)
    at = (rle.StudyInstanceUID, rle.SeriesInstanceUID, rle.SOPInstanceUID)
    octets = (("application/octet-stream", "1.2.840.10008.1.2.1"),)
    [plain] = client.retrieve_instance_frames(*at, [1], media_types=octets)
    assert plain == pydicom.dcmread(files.one("MR_small.dcm").path).PixelData
    asked = (("image/dicom-rle", "1.2.840.10008.1.2.5"),)
    [coded] = client.retrieve_instance_frames(*at, [1], media_types=asked)
    [whole] = pydicom.encaps.generate_frames(rle.PixelData, number_of_frames=1)
    assert coded == whole


def _blob(archive: Archive, sop_instance_uid: str) -> str:
    sql = "SELECT encode(blob, 'hex') FROM dicom_instance WHERE sop_instance_uid = %s"
    [(blob,)] = archive.rows(sql, sop_instance_uid)
    return str(blob)


def _exchanged(port: int, request: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(request.encode())
        received = bytearray()
        while piece := sock.recv(65536):
            received += piece
    return bytes(received)


def test_what_goes_over_the_wire_is_exact(both: Served) -> None:
    archive, port = both.archive, both.port
    [one] = instances(Study(4, 1, size=16))
    archive.send(one)
    [(study, offset)] = archive.rows(
        "SELECT study_instance_uid, data_set_offset FROM dicom_instance"
    )
    raw = _exchanged(
        port,
        f"GET /dicom-web/studies/{study} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        'Accept: multipart/related; type="application/dicom"\r\n\r\n',
    )
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert int(headers[b"content-length"]) == len(body)
    boundary = headers[b"content-type"].rpartition(b'boundary="')[2].rstrip(b'"')
    part, _, content = body.partition(b"\r\n\r\n")
    assert part.split(b"\r\n")[:2] == [
        b"--" + boundary,
        b"Content-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.1",
    ]
    assert content[offset:] == one.data_set + b"\r\n--" + boundary + b"--\r\n"


def test_a_client_that_goes_away_leaves_the_server_well(both: Served) -> None:
    archive, port = both.archive, both.port
    made = list(instances(Study(5, 2, size=512)))
    archive.send(*made)
    [(study,)] = archive.rows("SELECT DISTINCT study_instance_uid FROM dicom_instance")
    request = (
        f"GET /dicom-web/studies/{study} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(request.encode())
            assert sock.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert len(_exchanged(port, request)) > 2 * 512 * 512 * 2
