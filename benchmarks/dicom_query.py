"""C-FIND over many instances: `python -m benchmarks.dicom_query [--studies N]`.

The index is filled by SQL with studies of two series and 50 instances; each query goes
over one association of its kind again and again, with random keys.
DICOM PS3.4 C.4.1.
"""

import argparse
import random
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from adapters.dicom import listener
from adapters.dicom.dataset.levels import Level
from adapters.dicom.network import classes
from adapters.dicom.network.scu import Sender
from adapters.dicom.query import requester
from fhir_server.config import Settings
from fhir_server.main.databases import database_of
from fhir_server.main.migrate import migrate

SERIES, INSTANCES = 2, 25

FILL = (
    """
    INSERT INTO dicom_study (study_instance_uid, patient_id, patient_name, study_date,
        accession_number, folded, attributes)
    SELECT '1.2.' || n, 'P' || n / 2, 'family' || n %% 1000 || '^given' || n %% 77, day, 'A' || n,
        '{}', jsonb_build_object('PatientID', jsonb_build_array('P' || n / 2),
            'PatientName', jsonb_build_array('Family' || n %% 1000 || '^Given' || n %% 77),
            'StudyDate', jsonb_build_array(day), 'StudyTime', '["101500"]'::jsonb,
            'AccessionNumber', jsonb_build_array('A' || n),
            'StudyDescription', '["CT chest with contrast"]'::jsonb)
    FROM generate_series(1, %(studies)s) n,
        LATERAL (SELECT to_char(date '2020-01-01' + n %% 2000, 'YYYYMMDD') AS day) d
    """,
    """
    INSERT INTO dicom_series (study_instance_uid, series_instance_uid, modality, series_number,
        folded, attributes)
    SELECT '1.2.' || n, '1.2.' || n || '.' || m, (ARRAY['CT', 'MR', 'US'])[n %% 3 + 1], m, '{}',
        jsonb_build_object('Modality', jsonb_build_array((ARRAY['CT', 'MR', 'US'])[n %% 3 + 1]))
    FROM generate_series(1, %(studies)s) n, generate_series(1, %(series)s) m
    """,
    """
    INSERT INTO dicom_instance (sop_instance_uid, study_instance_uid, series_instance_uid,
        sop_class_uid, transfer_syntax_uid, blob, data_set_hash, size, data_set_offset,
        calling_ae, peer, flags, attributes, instance_number, indexed)
    SELECT '1.2.' || n || '.' || m || '.' || i, '1.2.' || n, '1.2.' || n || '.' || m,
        '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1',
        sha256((n || '.' || m || '.' || i)::bytea), '', 525000, 400, 'CT1', '127.0.0.1', '{}',
        jsonb_build_object('Rows', '[512]'::jsonb, 'InstanceNumber', jsonb_build_array(i::text)),
        i, 1
    FROM generate_series(1, %(studies)s) n, generate_series(1, %(series)s) m,
        generate_series(1, %(instances)s) i
    """,
)

Keys = Callable[[int], tuple[Level, list[str]]]


def _day(n: int) -> str:
    return f"2020{n % 12 + 1:02}{n % 28 + 1:02}"


QUERIES: dict[str, Keys] = {
    "study by patient id": lambda n: (Level.STUDY, [f"PatientID=P{n}", "StudyDate"]),
    "study by accession": lambda n: (Level.STUDY, [f"AccessionNumber=A{n}"]),
    "study by name prefix": lambda n: (Level.STUDY, [f"PatientName=FAMILY{n % 1000}^*"]),
    "a day's CT, with counts": lambda n: (
        Level.STUDY,
        [f"StudyDate={_day(n)}", "ModalitiesInStudy=CT", "NumberOfStudyRelatedInstances"],
    ),
    "series of a study": lambda n: (
        Level.SERIES,
        [f"StudyInstanceUID=1.2.{n}", "Modality", "NumberOfSeriesRelatedInstances"],
    ),
    "images of a series": lambda n: (
        Level.IMAGE,
        [f"StudyInstanceUID=1.2.{n}", f"SeriesInstanceUID=1.2.{n}.1", "InstanceNumber", "Rows"],
    ),
    "description with wildcard in front": lambda n: (
        Level.STUDY,
        [f"StudyDescription=*x{n}*", "StudyDate"],
    ),
}


def main() -> None:
    """Fill an index, and print how long each kind of query takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=20_000, help="of 50 instances each")
    parser.add_argument("--seconds", type=float, default=5.0, help="time of each kind of query")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sangam-bench-") as scratch:
        settings = Settings(demo=True, data_dir=Path(scratch))
        with database_of(settings) as conninfo:
            migrate(conninfo)
            print(f"filled in {_fill(conninfo, options.studies):.0f} s")
            with _listening(settings, conninfo) as address:
                _measure(address, options.studies, options.seconds)


def _fill(conninfo: str, studies: int) -> float:
    begun = time.perf_counter()
    values = {"studies": studies, "series": SERIES, "instances": INSTANCES}
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for statement in FILL:
            connection.execute(statement, values)
        connection.execute("VACUUM ANALYZE")
    return time.perf_counter() - begun


@contextmanager
def _listening(settings: Settings, conninfo: str) -> Iterator[tuple[str, int]]:
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        root = settings.data_dir / "blobs"
        arguments = (settings, conninfo, root, sock, stop)
        thread = threading.Thread(target=listener.listen, args=arguments)
        thread.start()
        try:
            yield sock.getsockname()
        finally:
            stop.set()
            thread.join()


def _measure(address: tuple[str, int], studies: int, seconds: float) -> None:
    source = random.Random(1)
    pairs = requester.contexts(classes.STUDY_ROOT_FIND)
    with Sender(address, called="SANGAM", calling="BENCH", contexts=pairs) as sender:
        for name, keys in QUERIES.items():
            times: list[float] = []
            answers = 0
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                level, given = keys(source.randint(1, studies))
                identifier = requester.identifier(level, given)
                begun = time.perf_counter()
                found = list(requester.find(sender, classes.STUDY_ROOT_FIND, identifier))
                times.append(time.perf_counter() - begun)
                answers += len(found) - 1
            middle, slow = statistics.median(times), statistics.quantiles(times, n=20)[-1]
            print(
                f"{name:36} p50 {middle * 1000:7.1f} ms  p95 {slow * 1000:7.1f} ms  "
                f"{answers / len(times):6.1f} answers  {len(times)} queries"
            )


if __name__ == "__main__":
    main()
