"""DICOMweb: `python -m benchmarks.dicomweb [--instances N] [--base-url URL]`.

Searches over an index that SQL fills, then studies, metadata and frames over HTTP from a
server in a process of its own, whose memory is watched. With `--base-url` the retrievals
run against another server, which gets its studies by STOW-RS; its index is not filled.
DICOM PS3.18.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import random
import socket
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import uvicorn
import uvloop

from adapters.dicom.dataset.filemeta import file_meta
from adapters.dicom.simulation.computed_tomography import Study, instances
from adapters.dicom.storage.store import archive_root
from adapters.dicom.web.routes import routes
from benchmarks.dicom_query import FILL, INSTANCES, SERIES
from benchmarks.dicom_rendered import scenarios
from fhir_server.api.app import create_app
from fhir_server.bases import DEFAULT
from fhir_server.blobs import Blobs, blobs_of
from fhir_server.config import Settings
from fhir_server.main import wiring
from fhir_server.main.databases import database_of
from fhir_server.main.migrate import migrate

STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
OCTETS = 'multipart/related; type="application/octet-stream"'
JSON = "application/dicom+json"
SEED, SLICES = 77, 500
LARGE_FRAMES, LARGE_FRAME = 1024, 2 << 20

SEARCHES: dict[str, Callable[[int], str]] = {
    "newest studies, first page": lambda _: "/studies?limit=100",
    "study by patient id": lambda n: f"/studies?PatientID=P{n}",
    "study by accession": lambda n: f"/studies?AccessionNumber=A{n}",
    "study by name prefix": lambda n: f"/studies?PatientName=FAMILY{n % 1000}%5E*",
    "a day's CT": lambda n: (
        f"/studies?StudyDate=2020{n % 12 + 1:02}{n % 28 + 1:02}&ModalitiesInStudy=CT"
    ),
    "series of a study": lambda n: f"/studies/1.2.{n}/series",
    "instances of a series": lambda n: f"/studies/1.2.{n}/series/1.2.{n}.1/instances",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """A DICOMweb service; if it is ours, the process that is watched, and its database."""

    base: str
    process: psutil.Process | None = None
    conninfo: str = ""

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection."""
        return http.client.HTTPConnection(urlsplit(self.base).netloc, timeout=600)

    def path(self, below: str) -> str:
        """Return the path of a resource."""
        return urlsplit(self.base).path + below

    def get(self, connection: http.client.HTTPConnection, below: str, accept: str) -> int:
        """Read a resource, and return how many bytes it has."""
        connection.request("GET", self.path(below), headers={"Accept": accept})
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"{below}: {response.status} {response.read()[:200]!r}")
        buffer, size = bytearray(1 << 20), 0
        while count := response.readinto(buffer):
            size += count
        return size


def main() -> None:
    """Run what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=1_000_000, help="rows of the index")
    parser.add_argument("--seconds", type=float, default=5.0, help="time of each measurement")
    parser.add_argument("--base-url", help="another DICOMweb service, without a slash at its end")
    parser.add_argument("--large", type=int, default=LARGE_FRAMES, help="frames of 2 MiB; 0: none")
    options = parser.parse_args()
    if options.base_url:
        _retrieve(Peer(options.base_url), options.seconds)
        return
    with tempfile.TemporaryDirectory(prefix="sangam-bench-") as scratch:
        settings = Settings(demo=True, data_dir=Path(scratch))
        with database_of(settings) as conninfo:
            migrate(conninfo)
            studies = max(1, options.instances // (SERIES * INSTANCES))
            _fill(conninfo, studies)
            with _serving(settings, conninfo) as peer:
                _search(peer, studies, options.seconds)
                _retrieve(peer, options.seconds)
                if options.large:
                    _large(peer, settings, conninfo, options.large)


@contextmanager
def _serving(settings: Settings, conninfo: str) -> Iterator[Peer]:
    context = multiprocessing.get_context("spawn")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        process = context.Process(target=_serve, args=(settings, conninfo, sock), daemon=True)
        process.start()
        try:
            yield Peer(f"http://127.0.0.1:{port}/dicom-web", psutil.Process(process.pid), conninfo)
        finally:
            process.terminate()
            process.join()


def _serve(settings: Settings, conninfo: str, sock: socket.socket) -> None:
    async def serve() -> None:
        base = f"http://127.0.0.1:{sock.getsockname()[1]}/fhir"
        async with wiring.running(settings, conninfo, base) as server:
            app = create_app(server, (), routes(server))
            config = uvicorn.Config(
                app, lifespan="off", log_config=None, access_log=False, http="httptools"
            )
            await uvicorn.Server(config).serve(sockets=[sock])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


def _fill(conninfo: str, studies: int) -> None:
    begun = time.perf_counter()
    values = {"studies": studies, "series": SERIES, "instances": INSTANCES}
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for statement in FILL:
            connection.execute(statement, values)
        connection.execute("VACUUM ANALYZE")
    rows = studies * SERIES * INSTANCES
    print(f"{rows:,} instances of {studies:,} studies in {time.perf_counter() - begun:.0f} s")


def _search(peer: Peer, studies: int, seconds: float) -> None:
    source = random.Random(1)
    connection = peer.connect()

    def asking(path: Callable[[int], str]) -> Callable[[], int]:
        return lambda: peer.get(connection, path(source.randint(1, studies)), JSON)

    for name, path in SEARCHES.items():
        _timed(name, seconds, asking(path))


def _timed(name: str, seconds: float, ask: Callable[[], int]) -> None:
    times: list[float] = []
    try:
        ask()
    except RuntimeError as error:  # another service need not have everything
        print(f"{name:32} {str(error).rpartition('/')[2][:60]}")
        return
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(times) < 2:
        begun = time.perf_counter()
        ask()
        times.append(time.perf_counter() - begun)
    middle, slow = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    print(
        f"{name:32} p50 {middle * 1000:8.1f} ms  p95 {slow * 1000:8.1f} ms  {len(times)} requests"
    )


def _retrieve(peer: Peer, seconds: float) -> None:
    made = list(instances(Study(SEED, SLICES)))
    connection = peer.connect()
    for at in range(0, SLICES, 50):
        _stow(peer, connection, [
            file_meta(one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid)
            + one.data_set for one in made[at : at + 50]
        ])  # fmt: skip
    connection.request("GET", peer.path(f"/studies?PatientID=SIM{SEED:08}"))
    [found] = json.loads(connection.getresponse().read())
    study = f"/studies/{found['0020000D']['Value'][0]}"
    connection.request("GET", peer.path(f"{study}/series"))
    [series] = json.loads(connection.getresponse().read())
    place = f"{study}/series/{series['0020000E']['Value'][0]}"
    _throughput(peer, connection, study, seconds)
    metadata = f"{study}/metadata"
    _timed("metadata of 500 instances", seconds, lambda: peer.get(connection, metadata, JSON))
    if peer.conninfo:
        with psycopg.connect(peer.conninfo, autocommit=True) as database:
            rested = "UPDATE dicom_instance SET received_at = now() - interval '1 hour'"
            database.execute(f"{rested} WHERE study_instance_uid = %s", (study.split("/")[2],))
        _timed("the same, at rest", seconds, lambda: peer.get(connection, metadata, JSON))
    source = random.Random(2)

    def frame() -> int:
        one = source.choice(made).sop_instance_uid
        return peer.get(connection, f"{place}/instances/{one}/frames/1", OCTETS)

    _timed("one frame of 0.5 MB", seconds, frame)

    def picture(path: str, accept: str) -> int:
        return peer.get(connection, path, accept)

    uids = [one.sop_instance_uid for one in made]
    for name, ask in scenarios(picture, place, uids).items():
        _timed(name, seconds, ask)


def _throughput(
    peer: Peer, connection: http.client.HTTPConnection, study: str, seconds: float
) -> None:
    size, used, begun = 0, _cpu(peer), time.perf_counter()
    while time.perf_counter() - begun < seconds:
        size += peer.get(connection, study, STORED)
    elapsed, used = time.perf_counter() - begun, _cpu(peer) - used
    told = f", {size / used / 1e6:.0f} MB for a second of the server's CPU" if used else ""
    print(f"a study of {SLICES} slices            {size / elapsed / 1e6:8.0f} MB/s{told}")


def _cpu(peer: Peer) -> float:
    if peer.process is None:
        return 0.0
    times = peer.process.cpu_times()
    return float(times.user + times.system)


def _stow(peer: Peer, connection: http.client.HTTPConnection, parts: list[bytes]) -> None:
    head = b"\r\n--X\r\nContent-Type: application/dicom\r\n\r\n"
    body = b"".join(head + part for part in parts) + b"\r\n--X--\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=X'
    connection.request("POST", peer.path("/studies"), body, {"Content-Type": kind, "Accept": JSON})
    response = connection.getresponse()
    told = response.read()
    if response.status != 200:
        raise RuntimeError(f"STOW: {response.status} {told[:300]!r}")


def _large(peer: Peer, settings: Settings, conninfo: str, frames: int) -> None:
    """Retrieve an object of many frames, and one of its frames, and tell how memory grows."""
    assert peer.process is not None
    path = _written(settings, conninfo, frames)
    connection = peer.connect()
    before = peer.process.memory_info().rss
    most = before
    connection.request("GET", peer.path(path), headers={"Accept": STORED})
    response, buffer, size = connection.getresponse(), bytearray(1 << 20), 0
    begun = time.perf_counter()
    while count := response.readinto(buffer):
        size += count
        most = max(most, peer.process.memory_info().rss)
    elapsed = time.perf_counter() - begun
    for below in ("/metadata", f"/frames/{frames // 2}"):
        peer.get(connection, path + below, "*/*")
        most = max(most, peer.process.memory_info().rss)
    print(f"an object of {size / 1e9:.2f} GB at {size / elapsed / 1e6:.0f} MB/s, metadata and a "
          f"frame: memory {before / 2**20:.0f} MiB, at most {most / 2**20:.0f} MiB")  # fmt: skip


def _written(settings: Settings, conninfo: str, frames: int) -> str:
    """Put an object into the archive without sending it, and return its path."""
    uids = ("1.3.9", "1.3.9.1", "1.3.9.1.1")
    meta = file_meta("1.2.840.10008.5.1.4.1.1.4.1", uids[2], "1.2.840.10008.1.2.1")
    rows = struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 1024)
    columns = struct.pack("<HH2sHH", 0x28, 0x11, b"US", 2, 1024)
    count = f"{frames:<6}".encode()
    size = (
        struct.pack("<HH2sH", 0x28, 8, b"IS", len(count)) + count + rows + columns
    ) + struct.pack("<HH2sHH", 0x28, 0x100, b"US", 2, 16)
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, frames * LARGE_FRAME)
    own = blobs_of(settings, conninfo, DEFAULT)
    arrival = Blobs(archive_root(own.root), own.keys).arrive()
    piece = random.Random(3).randbytes(LARGE_FRAME)
    for part in (meta, size, pixels, *(piece for _ in range(frames))):
        arrival.write(part)
    arrival.keep()
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(
            """INSERT INTO dicom_instance (sop_instance_uid, study_instance_uid,
            series_instance_uid, sop_class_uid, transfer_syntax_uid, blob, data_set_hash, size,
            data_set_offset, pixel_offset, calling_ae, peer, flags, attributes, indexed)
            VALUES (%s, %s, %s, '1.2.840.10008.5.1.4.1.1.4.1', '1.2.840.10008.1.2.1', %s, '', %s,
            %s, %s, '', '', '{}', '{}', 1)""",
            (uids[2], uids[0], uids[1], arrival.digest(), len(size) + 12 + frames * LARGE_FRAME,
             len(meta), len(size)),
        )  # fmt: skip
    return f"/studies/{uids[0]}/series/{uids[1]}/instances/{uids[2]}"


if __name__ == "__main__":
    main()
