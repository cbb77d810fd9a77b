"""C-FIND of the modality worklist: `python -m benchmarks.dicom_worklist [--steps N]`.

Without `--address` a worklist is filled by SQL, half of it in the past, and asked for over
one association; with it, another system's is asked for in the same way.
DICOM PS3.4 K.4.1.
"""

import argparse
import multiprocessing
import random
import signal
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import psycopg

from adapters.dicom import listener
from adapters.dicom.network import classes
from adapters.dicom.network.scu import Sender
from adapters.dicom.query import requester
from fhir_server.bases import DEFAULT
from fhir_server.blobs import blobs_of
from fhir_server.config import Settings
from fhir_server.main.databases import database_of
from fhir_server.main.migrate import migrate

STATIONS = 20
FIRST = date(2026, 1, 1)
STEP = "ScheduledProcedureStepSequence"

FILL = """
INSERT INTO worklist_step (service_request, step_id, state, status, start_date, start_time,
    modality, stations, study_instance_uid, accession_number, requested_procedure_id, patient_id,
    attributes, folded, step, step_folded)
SELECT 'o' || n, 'S' || n, 'SCHEDULED', CASE WHEN n %% 2 = 0 THEN 'SCHEDULED' ELSE '' END, day,
    time || '.000000', modality, ARRAY[station], '2.25.' || n, 'A' || n, 'R' || n, 'P' || n,
    jsonb_build_object(
        'PatientID', jsonb_build_array('P' || n),
        'PatientName', jsonb_build_array('Family' || n %% 1000 || '^Given' || n %% 77),
        'PatientBirthDate', '["19700203"]'::jsonb, 'PatientSex', '["F"]'::jsonb,
        'AccessionNumber', jsonb_build_array('A' || n),
        'RequestedProcedureID', jsonb_build_array('R' || n),
        'RequestedProcedureDescription', '["CT of the chest with contrast"]'::jsonb,
        'StudyInstanceUID', jsonb_build_array('2.25.' || n),
        'ReferringPhysicianName', '["House^Greg"]'::jsonb),
    jsonb_build_object('PatientName',
        jsonb_build_array('family' || n %% 1000 || '^given' || n %% 77)),
    jsonb_build_object(
        'ScheduledStationAETitle', jsonb_build_array(station),
        'ScheduledProcedureStepStartDate', jsonb_build_array(day),
        'ScheduledProcedureStepStartTime', jsonb_build_array(time),
        'Modality', jsonb_build_array(modality),
        'ScheduledProcedureStepID', jsonb_build_array('S' || n),
        'ScheduledProcedureStepDescription', '["Chest with contrast"]'::jsonb),
    '{}'
FROM generate_series(1, %(steps)s) n,
    LATERAL (SELECT to_char(date '2026-01-01' + n %% %(days)s, 'YYYYMMDD') AS day,
        to_char(time '07:00' + n %% 600 * interval '1 minute', 'HH24MISS') AS time,
        (ARRAY['CT', 'MR', 'US', 'DX'])[n / %(days)s %% 4 + 1] AS modality,
        'ST' || n / %(days)s %% 20 AS station) d
"""

RETURNED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber"),
    *("RequestedProcedureID", "RequestedProcedureDescription", "StudyInstanceUID"),
    *("ReferringPhysicianName", f"{STEP}.ScheduledProcedureStepStartTime"),
    *(f"{STEP}.ScheduledProcedureStepID", f"{STEP}.ScheduledProcedureStepDescription"),
)


def _day(n: int, days: int) -> str:
    return f"{STEP}.ScheduledProcedureStepStartDate={FIRST + timedelta(days=n % days):%Y%m%d}"


Keys = Callable[[int, int], list[str]]

QUERIES: dict[str, Keys] = {
    "a day": lambda n, days: [_day(n, days)],
    "a day of a modality": lambda n, days: [_day(n, days), f"{STEP}.Modality=CT"],
    "a day of a station": lambda n, days: [
        _day(n, days),
        f"{STEP}.ScheduledStationAETitle=ST{n % STATIONS}",
    ],
    "an accession number": lambda n, _: [f"AccessionNumber=A{n}"],
    "a patient's name": lambda n, _: [f"PatientName=Family{n % 1000}^*"],
}


def main() -> None:
    """Ask for worklists, and print how long each kind of query takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", help="HOST:PORT of a system that has a worklist")
    parser.add_argument("--called", default="SANGAM", help="its AE title")
    parser.add_argument("--steps", type=int, default=20_000, help="rows, half of them listed")
    parser.add_argument("--days", type=int, default=100, help="over which they are spread")
    parser.add_argument("--seconds", type=float, default=5.0, help="time of each kind of query")
    options = parser.parse_args()
    if options.address:
        host, _, port = options.address.rpartition(":")
        _measure((host, int(port)), options)
        return
    with tempfile.TemporaryDirectory(prefix="sangam-bench-") as scratch:
        settings = Settings(demo=True, data_dir=Path(scratch))
        with database_of(settings) as conninfo:
            migrate(conninfo)
            _fill(conninfo, options)
            with _listening(settings, conninfo) as address:
                _measure(address, options)


def _fill(conninfo: str, options: argparse.Namespace) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(FILL, {"steps": options.steps, "days": options.days})
        connection.execute("VACUUM ANALYZE worklist_step")


@contextmanager
def _listening(settings: Settings, conninfo: str) -> Iterator[tuple[str, int]]:
    """Run a listener in a process of its own, as a server does."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        made = multiprocessing.get_context("spawn")
        process = made.Process(target=_listen, args=(settings, conninfo, sock), daemon=True)
        process.start()
        try:
            yield sock.getsockname()
        finally:
            process.terminate()
            process.join()


def _listen(settings: Settings, conninfo: str, sock: socket.socket) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    blobs = blobs_of(settings, conninfo, DEFAULT)
    listener.listen(settings, conninfo, blobs, sock, stop)


def _measure(address: tuple[str, int], options: argparse.Namespace) -> None:
    source = random.Random(1)
    pairs = requester.contexts(classes.WORKLIST_FIND)
    with Sender(address, called=options.called, calling="BENCH", contexts=pairs) as sender:
        for name, keys in QUERIES.items():
            times: list[float] = []
            answers = 0
            end = time.monotonic() + options.seconds
            while time.monotonic() < end:
                given = keys(source.randint(1, options.steps), options.days)
                identifier = requester.identifier(None, [*RETURNED, *given])
                begun = time.perf_counter()
                found = list(requester.find(sender, classes.WORKLIST_FIND, identifier))
                times.append(time.perf_counter() - begun)
                answers += len(found) - 1
            middle, slow = statistics.median(times), statistics.quantiles(times, n=20)[-1]
            print(
                f"{name:24} p50 {middle * 1000:7.1f} ms  p95 {slow * 1000:7.1f} ms  "
                f"{answers / len(times):6.1f} answers  {len(times)} queries"
            )


if __name__ == "__main__":
    main()
