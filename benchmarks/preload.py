"""Loading a population of N resources before measuring.

Transaction Bundles of updates with client ids work with any server; `sangam
load` reads the same resources as NDJSON.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from benchmarks.clinical import (
    assessments,
    conditions,
    organizations,
    practitioners,
    prescriptions,
)
from benchmarks.load import Workload, measure
from benchmarks.population import Population, encounters, observations, patients
from benchmarks.replies import HttpReply
from benchmarks.target import Target

BUNDLE = 500
Rows = Callable[[Population], Iterator[tuple[str, str, str]]]
# In the order in which they refer to each other.
ROWS: tuple[Rows, ...] = (
    organizations,
    practitioners,
    patients,
    encounters,
    conditions,
    prescriptions,
    assessments,
    observations,
)


def resources(population: Population) -> Iterator[tuple[str, str, str]]:
    """Yield (type, id, JSON) of the whole data set; what is referred to comes first."""
    for rows in ROWS:
        yield from rows(population)


def bundles(target: Target, rows: Rows, population: Population) -> Iterator[bytes]:
    """Yield transaction requests of 500 updates each."""
    found = rows(population)
    while chunk := list(islice(found, BUNDLE)):
        entries = ",".join(
            f'{{"resource":{text},"request":{{"method":"PUT","url":"{kind}/{resource_id}"}}}}'
            for kind, resource_id, text in chunk
        )
        body = f'{{"resourceType":"Bundle","type":"transaction","entry":[{entries}]}}'
        yield target.request("POST", target.root, body.encode())


def by_transactions(target: Target, population: Population, connections: int = 4) -> float:
    """Load over REST, type after type as they refer to each other; return the seconds.

    Raises RuntimeError when a Bundle was refused.
    """
    begun = time.perf_counter()
    for rows in ROWS:
        done = measure(
            Workload(
                target.host,
                target.port,
                partial(bundles, target, rows, population),
                HttpReply,
                connections=connections,
                seconds=None,
                warmup=0,
            )
        )
        if done.errors:
            raise RuntimeError(f"{done.errors} Bundles refused: {done.statuses}")
    return time.perf_counter() - begun


def write_ndjson(directory: Path, population: Population) -> list[Path]:
    """Write one file per type, in the order in which they must be loaded."""
    directory.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    last = ""
    file = None
    for kind, _, text in resources(population):
        if kind != last:
            if file:
                file.close()
            paths.append(directory / f"{len(paths)}-{kind}.ndjson")
            file = paths[-1].open("w")
            last = kind
        assert file is not None
        file.write(text + "\n")
    if file:
        file.close()
    return paths


def by_command(data_dir: Path, paths: list[Path]) -> float:
    """Load the files with `sangam load` into the server of `data_dir`; return the seconds."""
    begun = time.perf_counter()
    command = [str(Path(sys.executable).parent / "sangam"), "load", "--data-dir", str(data_dir)]
    subprocess.run([*command, *map(str, paths)], check=True)
    return time.perf_counter() - begun
