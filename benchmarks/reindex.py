"""A search parameter defined on N stored resources, its reindex killed twice.

    python -m benchmarks.reindex --size 1000000 --data-dir /tmp/reindex

Others read and search meanwhile. Told are the time from the definition until the
parameter is searchable, the resources indexed per second of it, how long reads and
searches took before and meanwhile, and whether every resource was found.
"""

import argparse
import itertools
import json
import os
import signal
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.bulk import by_interaction
from benchmarks.load import Measured, Workload, measure
from benchmarks.population import (
    CODE_SYSTEM,
    Population,
    observation_id,
    patient_id,
    shot,
)
from benchmarks.replies import HttpReply
from benchmarks.started import sangam
from benchmarks.target import Target

SLICE = 3.0
POLL = 0.2

EXPRESSIONS = {
    "token": ("Observation.interpretation", "N"),
    "date": ("Observation.issued", "ge1900"),
    "sparse": ("Observation.extension('urn:none').value.as(code)", "none"),
}
"""A parameter that all resources have a term of, one with a row of each, and one without."""


@dataclass
class Meanwhile:
    """What others see: durations in seconds of good answers, and how many were not good."""

    durations: "array[float]" = field(default_factory=lambda: array("d"))
    errors: int = 0

    def add(self, measured: Measured) -> None:
        """Take a slice in."""
        self.durations.extend(measured.durations)
        self.errors += measured.errors

    def told(self) -> str:
        """Return percentiles in milliseconds."""
        ordered = sorted(self.durations)
        shares = (0.5, 0.95, 0.99)
        found = [ordered[min(len(ordered) - 1, int(len(ordered) * s))] * 1000 for s in shares]
        p50, p95, p99 = found if ordered else (0.0, 0.0, 0.0)
        return (
            f"p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms"
            f" ({len(ordered):,} answers, {self.errors} errors)"
        )


def reads(target: Target, population: Population) -> Iterator[bytes]:
    """Yield reads of Observations."""
    for number in itertools.count():
        wanted = observation_id(number * 7919 % population.observations)
        yield target.request("GET", f"/Observation/{wanted}")


def searches(target: Target, population: Population) -> Iterator[bytes]:
    """Yield searches by patient and code."""
    for number in itertools.count():
        one = shot(number * 7919 % population.observations, population)
        query = f"patient={patient_id(one.patient)}&code={CODE_SYSTEM}%7CA{one.code:03d}"
        yield target.request("GET", f"/Observation?{query}&_count=20&_total=none")


LOADS = {"reads": reads, "searches": searches}


def watch(target: Target, population: Population, stop: Callable[[], bool]) -> dict[str, Meanwhile]:
    """Read and search, two connections each, until `stop`."""
    seen = {name: Meanwhile() for name in LOADS}

    def keep(name: str) -> None:
        while not stop():
            requests = partial(LOADS[name], target, population)
            work = Workload(
                target.host, target.port, requests, HttpReply, 2, seconds=SLICE, warmup=0
            )
            seen[name].add(measure(work))

    threads = [threading.Thread(target=keep, args=(name,)) for name in LOADS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def progress(target: Target) -> dict[str, Any]:
    """Return what `$reindex` tells of the parameter: state, done, total."""
    _, told = target.fetch("GET", "/SearchParameter/bench/$reindex")
    (one,) = told["parameter"]
    return {
        part["name"]: next(v for name, v in part.items() if name != "name") for part in one["part"]
    }


def define(target: Target, kind: str) -> None:
    """Define the parameter."""
    body = {
        "resourceType": "SearchParameter",
        "id": "bench",
        "url": "urn:sangam:benchmark",
        "name": "bench",
        "status": "active",
        "description": "Benchmark",
        "code": "bench",
        "base": ["Observation"],
        "type": "token" if kind == "sparse" else kind,
        "expression": EXPRESSIONS[kind][0],
    }
    status, told = target.fetch("PUT", "/SearchParameter/bench", json.dumps(body).encode())
    if status not in {200, 201}:
        raise RuntimeError(f"{status}: {told}")


def until_complete(target: Target, kills: int) -> None:
    """Wait for the end; kill the worker `kills` times on the way."""
    assert target.data_dir is not None
    marks = [n / (kills + 1) for n in range(1, kills + 1)]
    while (now := progress(target))["state"] != "complete":
        if now["state"] == "failed":
            raise RuntimeError(f"the reindex failed: {now}")
        if marks and now["total"] and now["done"] >= marks[0] * now["total"]:
            said = json.loads((target.data_dir / "serve.json").read_text())
            os.kill(said["children"]["worker"], signal.SIGKILL)
            print(f"worker killed at {now['done']:,} of {now['total']:,}", flush=True)
            marks.pop(0)
        time.sleep(POLL)


def run(target: Target, size: int, kind: str, kills: int) -> None:
    """Load, define, kill, wait, and tell."""
    assert target.data_dir is not None
    population = Population.of(size)
    if not target.count("Observation"):
        print(f"loaded in {by_interaction(target.data_dir, population):.0f} s", flush=True)
    ends = time.monotonic() + SLICE
    before = watch(target, population, lambda: time.monotonic() > ends)
    begun = time.monotonic()
    define(target, kind)
    over = threading.Event()
    seen: dict[str, Meanwhile] = {}
    watching = threading.Thread(target=lambda: seen.update(watch(target, population, over.is_set)))
    watching.start()
    try:
        until_complete(target, kills)
        took = time.monotonic() - begun
    finally:
        over.set()
        watching.join()
    total = target.count("Observation")
    print(f"{kind}: {total:,} resources in {took:.1f} s, {total / took:,.0f}/s")
    for name in LOADS:
        print(f"{name} before: {before[name].told()}")
        print(f"{name} meanwhile: {seen[name].told()}")
    time.sleep(1.5)  # a process may not have heard of it for a second
    found = target.count(f"Observation?bench={EXPRESSIONS[kind][1]}")
    print(f"found {found:,} of {0 if kind == 'sparse' else total:,}")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--kind", choices=sorted(EXPRESSIONS), default="token")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--data-dir", type=Path, help="kept; default: a temporary one")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="sangam-reindex-") as place,
        sangam(given.data_dir or Path(place) / "data") as target,
    ):
        run(target, given.size, given.kind, given.kills)


if __name__ == "__main__":
    main()
