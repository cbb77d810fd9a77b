"""The scenarios run one after the other, each watched from outside."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from adapters.hl7.simulate.values import CRITICAL_SHARE
from benchmarks import images, messages, rest, synthea
from benchmarks.echo import echo_server
from benchmarks.load import Measured, Workload, measure
from benchmarks.population import Population
from benchmarks.processes import Usage, Watch
from benchmarks.replies import HttpReply, MllpReply
from benchmarks.report import Row
from benchmarks.target import Target

DRAIN_SECONDS = 300.0


@dataclass(slots=True)
class Bench:
    """A target, how long to measure, and the rows so far."""

    target: Target
    seconds: float = 10.0
    connections: tuple[int, ...] = (1, 8)
    ceiling: dict[int, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    on_row: Callable[[Row], None] = lambda _: None
    critical_share: float = CRITICAL_SHARE

    def add(self, row: Row) -> None:
        """Keep a row and show it at once."""
        self.rows.append(row)
        self.on_row(row)


@dataclass(slots=True)
class Spent:
    """Cores and memory between two looks; `busy_cores` is the whole machine's."""

    server_cores: float | None = None
    database_cores: float | None = None
    server_memory: float | None = None
    database_memory: float | None = None
    busy_cores: float | None = None

    def set(self, before: Usage, after: Usage, seconds: float) -> None:
        """Compute them from the two looks."""
        self.server_cores = (after.server_cpu - before.server_cpu) / seconds
        self.database_cores = (after.database_cpu - before.database_cpu) / seconds
        self.server_memory = after.server_memory / 1e6
        self.database_memory = after.database_memory / 1e6
        self.busy_cores = (after.machine_cpu - before.machine_cpu) / seconds

    def others(self, generator: float) -> float | None:
        """Return the cores that neither server nor database nor generator used."""
        if self.busy_cores is None or self.server_cores is None or self.database_cores is None:
            return None
        return max(0.0, self.busy_cores - self.server_cores - self.database_cores - generator)


@contextmanager
def watched(target: Target) -> Iterator[Spent]:
    """Measure what the server's processes use inside the block."""
    spent = Spent()
    if not target.pids:
        yield spent
        return
    watch = Watch(target.pids)
    before, begun = watch.look(), time.perf_counter()
    yield spent
    spent.set(before, watch.look(), time.perf_counter() - begun)


def row_of(
    name: str, unit: str, connections: int, done: Measured, spent: Spent, *, per: float = 1.0
) -> Row:
    """Return the row of a measured workload; `per` things are done by one request."""
    generator = done.cpu / done.elapsed if done.elapsed else 0.0
    row = Row(
        name,
        connections,
        done.rate * per,
        unit,
        done.percentile(0.5),
        done.percentile(0.95),
        done.percentile(0.99),
        done.errors,
        generator,
    )
    return with_usage(row, spent, generator)


def with_usage(row: Row, spent: Spent, generator: float = 0.0) -> Row:
    """Return the row with what the processes used."""
    return replace(
        row,
        server_cores=spent.server_cores,
        database_cores=spent.database_cores,
        other_cores=spent.others(generator),
        server_memory=spent.server_memory,
        database_memory=spent.database_memory,
    )


def calibrate(bench: Bench) -> None:
    """Measure the generator against a server that does nothing: its ceiling."""
    with echo_server() as port:
        target = Target("echo", f"http://127.0.0.1:{port}/fhir")
        requests = partial(rest.creates, target, "Observation", Population.of(10_000))
        for connections in bench.connections:
            work = Workload(
                "127.0.0.1", port, requests, HttpReply, connections, min(5.0, bench.seconds), 1.0
            )
            done = measure(work)
            bench.ceiling[connections] = done.rate
            bench.add(row_of("(ceiling of the generator)", "req/s", connections, done, Spent()))


def run_rest(bench: Bench, population: Population, only: str, *, each_kind: bool = False) -> None:
    """Run each REST scenario at each number of connections."""
    target = bench.target
    scenarios = rest.kinds if each_kind else rest.scenarios
    for scenario in scenarios(target, population):
        if only and only not in scenario.name:
            continue
        for connections in bench.connections:
            work = Workload(
                target.host, target.port, scenario.requests, HttpReply, connections, bench.seconds
            )
            with watched(target) as spent:
                done = measure(work)
            row = row_of(scenario.name, "req/s", connections, done, spent)
            bench.add(with_share(row, bench.ceiling.get(connections)))


def with_share(row: Row, ceiling: float | None) -> Row:
    """Return the row with its part of the generator's ceiling."""
    return replace(row, share=row.rate / ceiling) if ceiling else row


def run_synthea(bench: Bench, archive: Path) -> None:
    """Post Synthea's Bundles; the rate counts entries of the patients' Bundles."""
    shared, people = synthea.groups(synthea.transactions(archive))
    done = synthea.post(bench.target, shared, 1)
    if done.errors:
        bench.add(Row("Synthea transactions", 1, 0, "entries/s", errors=done.errors))
        return
    entries = sum(one.entries for one in people) / len(people)
    for connections in bench.connections:
        with watched(bench.target) as spent:
            done = synthea.post(bench.target, people, connections)
        name = "Synthea transactions"
        bench.add(row_of(name, "entries/s", connections, done, spent, per=entries))


def run_messages(bench: Bench) -> None:
    """Send ORU messages; count them as acknowledged and as committed DiagnosticReports."""
    assert bench.target.mllp is not None
    host, port = bench.target.mllp
    for connections in bench.connections:
        first = random.SystemRandom().randrange(10**9, 9 * 10**9)
        before = bench.target.count("DiagnosticReport")
        work = Workload(
            host,
            port,
            partial(messages.messages, first, bench.critical_share),
            MllpReply,
            connections,
            bench.seconds,
            warmup=0,
        )
        with watched(bench.target) as spent:
            begun = time.perf_counter()
            done = measure(work)
        bench.add(row_of("ORU acknowledged", "msg/s", connections, done, spent))
        with watched(bench.target) as spent:
            committed = drained(bench.target, before + len(done.durations)) - before
        elapsed = time.perf_counter() - begun
        row = Row(
            "ORU to committed FHIR",
            connections,
            committed / elapsed,
            "msg/s",
            errors=len(done.durations) - committed,
            note=f"{messages.OBX} OBX",
        )
        bench.add(with_usage(row, spent))


def drained(target: Target, wanted: int) -> int:
    """Wait until so many DiagnosticReports are there, or time is up; return the count."""
    end = time.monotonic() + DRAIN_SECONDS
    found = target.count("DiagnosticReport")
    while found < wanted and time.monotonic() < end:
        time.sleep(0.25)
        found = target.count("DiagnosticReport")
    return found


def run_images(bench: Bench, directory: Path, slices: int) -> None:
    """Send CT slices by storescu on one and on four associations."""
    assert bench.target.dicom is not None
    for no_delay in (True, False):
        for associations in (1, 4):
            each = max(1, slices // associations)
            places = [directory / f"{no_delay}-{associations}-{n}" for n in range(associations)]
            for place in places:
                images.write_study(place, each)
            with watched(bench.target) as spent:
                sent = images.send(
                    bench.target.dicom, bench.target.called_ae, places, no_delay=no_delay
                )
            row = Row(
                "C-STORE of 512 kB CT slices",
                associations,
                sent.rate,
                "inst/s",
                errors=sent.failed,
                note="TCP_NODELAY=1" if no_delay else "untouched",
            )
            bench.add(with_usage(row, spent))
