"""What rights cost: `python -m benchmarks.security [--base-url URL]`; docs/benchmarks.md.

Starts a server of our own in demo mode, loads a population with relationships, labels and
consents, and sends the same requests by turns without a token, as who may do everything, and
with the token of each caller.
"""

import argparse
import multiprocessing
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from benchmarks import callers, mixes, protected
from benchmarks.load import Measured, Workload, generate, measure
from benchmarks.population import CODE_SYSTEM, Population
from benchmarks.preload import BUNDLE, by_transactions
from benchmarks.processes import Usage, Watch
from benchmarks.protected import Result
from benchmarks.replies import HttpReply
from benchmarks.report import Row, cells, show, write
from benchmarks.run import Spent, row_of, with_usage
from benchmarks.started import sangam
from benchmarks.target import Target

SAMPLE = 2_000
CHECKED = 40
OK = 200
WARM_UP = 0.2
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_READABLE = ("Patient", "Encounter", "Condition", "MedicationRequest", "RiskAssessment")
_DIRECTORY = ("Practitioner", "Organization")
GRANULAR = " ".join(
    (
        f"user/Observation.rs?category={CATEGORY}|laboratory",
        *(f"user/{name}.rs" for name in (*_READABLE, *_DIRECTORY)),
    )
)

Paths = Callable[[Population, Sequence[Result]], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Asker:
    """A caller: how it gets a token, and the results that its requests ask for."""

    name: str
    token: Callable[[], str]
    results: Sequence[Result]


def main() -> None:
    """Measure the server that the command line names, or one of our own."""
    options = parse()
    with (
        tempfile.TemporaryDirectory(prefix="sangam-bench-") as scratch,
        target_of(options, Path(scratch)) as target,
    ):
        population = Population.of(options.load)
        doctors = protected.cared_for(population, options.doctor_patients)
        load(target, population, doctors)
        rows = run_all(target, population, askers(target, population, doctors), options)
        show(f"{target.name}, {options.load:,} resources, in pairs: without a token, with", rows)
        facts: dict[str, object] = {"load": options.load, "doctor": len(doctors)}
        facts |= {"seconds": options.seconds, "rounds": options.rounds, "settings": options.note}
        print("written to", write(options.output, f"{target.name}-security", rows, facts))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.security", description=__doc__)
    parser.add_argument("--base-url", help="FHIR base of a Sangam in demo mode; default: our own")
    parser.add_argument("--name", default="peer", help="name of that server in the report")
    parser.add_argument("--server-pid", type=int, nargs="*", default=[], help="roots to watch")
    parser.add_argument("--data-dir", type=Path, help="directory of our own server, kept")
    parser.add_argument("--processes", type=int, default=1, help="HTTP processes of our own server")
    parser.add_argument("--load", type=int, default=50_000, help="resources of the population")
    parser.add_argument("--doctor-patients", type=int, default=100, help="whom the doctor treats")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=1.0, help="time of each turn")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each of a pair")
    parser.add_argument("--only", default="", help="only scenarios whose name holds this")
    parser.add_argument("--callers", default="", help="only callers whose name holds this")
    parser.add_argument("--note", default="", help="settings of the server, kept with the figures")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args()


@contextmanager
def target_of(options: argparse.Namespace, scratch: Path) -> Iterator[Target]:
    """Yield the server to measure."""
    if options.base_url:
        yield Target(options.name, options.base_url, pids=tuple(options.server_pid))
        return
    with sangam(options.data_dir or scratch / "data", processes=options.processes) as target:
        yield target


def load(target: Target, population: Population, doctors: Sequence[int]) -> None:
    """Load the population and what rights look at, unless it is already there."""
    last = f"/Encounter/bench-care-{population.patients - 1}"
    if target.fetch("GET", last)[0] == OK:
        print("the population is already loaded")
        return
    begun = time.perf_counter()
    by_transactions(target, population)
    # The sample users are stored in FHIR when they first log in.
    for name in ("doctor", "patient"):
        callers.user_token(target, name, "openid fhirUser")
    requests = partial(_bundles, target, population, doctors)
    done = measure(
        Workload(target.host, target.port, requests, HttpReply, 1, seconds=None, warmup=0)
    )
    if done.errors:
        raise RuntimeError(f"{done.errors} Bundles refused: {done.statuses}")
    print(f"loaded in {time.perf_counter() - begun:.0f} s", flush=True)


def _bundles(target: Target, population: Population, doctors: Sequence[int]) -> Iterator[bytes]:
    found = protected.records(population, doctors)
    while chunk := list(islice(found, BUNDLE)):
        entries = ",".join(
            f'{{"resource":{text},"request":{{"method":"PUT","url":"{kind}/{id_}"}}}}'
            for kind, id_, text in chunk
        )
        body = f'{{"resourceType":"Bundle","type":"transaction","entry":[{entries}]}}'
        yield target.request("POST", target.root, body.encode())


def askers(target: Target, population: Population, doctors: Sequence[int]) -> list[Asker]:
    """Return the callers that are compared with who has no token."""
    scope = "system/*.rs"
    service = callers.service(target, scope)
    everyone = protected.results(population, range(population.patients), SAMPLE)
    treated = protected.results(population, doctors, SAMPLE)
    user = partial(callers.user_token, target)
    return [
        Asker(
            "service, system/*.rs", partial(callers.service_token, target, service, scope), everyone
        ),
        Asker("administrator, by category", partial(user, "admin", GRANULAR), everyone),
        Asker(
            "patient",
            partial(user, "patient", "launch/patient patient/*.rs"),
            protected.own_results(),
        ),
        Asker("doctor", partial(user, "doctor", "user/*.rs"), treated),
    ]


def reads(_: Population, found: Sequence[Result]) -> Iterator[str]:
    """Yield reads of results."""
    return (f"/Observation/{one.id}" for one in found)


def by_patient(_: Population, found: Sequence[Result]) -> Iterator[str]:
    """Yield searches of one patient and one code, newest first."""
    return (f"/Observation?{_both(one)}&_sort=-date" for one in found)


def by_code(_: Population, found: Sequence[Result]) -> Iterator[str]:
    """Yield searches by code and status, over all patients."""
    return (f"/Observation?{_code(one)}&status=final&_count=20" for one in found)


def chained(_: Population, found: Sequence[Result]) -> Iterator[str]:
    """Yield searches by something of the patient."""
    return (f"/Observation?patient._id={one.patient}&{_code(one)}&_count=20" for one in found)


def including(_: Population, found: Sequence[Result]) -> Iterator[str]:
    """Yield searches with patient and encounter on the page."""
    include = "_include=Observation:subject&_include=Observation:encounter"
    return (f"/Observation?{_both(one)}&_count=20&{include}" for one in found)


def mixed(population: Population, _: Sequence[Result]) -> Iterator[str]:
    """Yield the thirty kinds of search, of all patients: to some, most is as if not there."""
    return mixes.searches(population)


def _both(one: Result) -> str:
    return f"patient=Patient/{one.patient}&{_code(one)}"


def _code(one: Result) -> str:
    return f"code={CODE_SYSTEM}%7C{one.code}"


SCENARIOS: dict[str, Paths] = {
    "read": reads,
    "search patient+code by date": by_patient,
    "search code+status": by_code,
    "search by chain": chained,
    "search _include": including,
    "search mix, 30 kinds": mixed,
}


def run_all(
    target: Target, population: Population, found: Sequence[Asker], options: argparse.Namespace
) -> list[Row]:
    """Measure each scenario for each caller, paired with who has no token."""
    rows: list[Row] = []
    for asker in found:
        for name, paths in SCENARIOS.items():
            if options.callers not in asker.name or options.only not in name:
                continue
            asked = list(paths(population, asker.results))
            # A compartment of another's is refused, whatever is asked of it.
            asked = [one for one in asked if not one.startswith("/Patient/")]
            pair = (target, callers.with_token(target, asker.token()))
            for fault in check(pair, asked):
                print("CHECK:", asker.name, name, fault)
            for connections in options.connections:
                turns = Turns(pair, asked, connections, options.seconds, options.rounds)
                for row in compared(turns, name, asker.name):
                    rows.append(row)
                    print("  ".join(cells(row)), flush=True)
    return rows


def check(pair: Sequence[Target], asked: Sequence[str]) -> Iterator[str]:
    """Ask some of the requests, and yield what was refused."""
    for path in asked[:: max(1, len(asked) // CHECKED)]:
        for target in pair:
            status, _ = target.fetch("GET", path)
            if status != OK:
                yield f"status {status} at {path.partition('?')[0]}"


@dataclass(frozen=True, slots=True)
class Turns:
    """The same requests to be sent to each target by turns, so many seconds and rounds."""

    targets: Sequence[Target]
    paths: Sequence[str]
    connections: int
    seconds: float
    rounds: int


def compared(turns: Turns, scenario: str, name: str) -> list[Row]:
    """Return a row of who has no token and one of who has, with what it is of the first."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        free, held = executor.submit(by_turns, turns).result()
    rows = [
        with_usage(row_of(f"{scenario}: {one}", "req/s", turns.connections, done, Spent()), spent)
        for one, (done, spent) in ((f"none, as {name}", free), (name, held))
    ]
    told = f"p50 x {(rows[1].p50 or 0) / (rows[0].p50 or 1):.2f}"
    if turns.targets[0].pids:
        told += f", processor x {_processor(rows[1]) / (_processor(rows[0]) or 1):.2f}"
    return [rows[0], replace(rows[1], note=told)]


def _processor(row: Row) -> float:
    """Return the processor time of server and database that a request takes, in seconds."""
    return ((row.server_cores or 0) + (row.database_cores or 0)) / (row.rate or 1)


def by_turns(turns: Turns) -> list[tuple[Measured, Spent]]:
    """Send the requests, in this process; return what each target answered and used."""
    found = [Measured(array("d"), Counter(), 0, 0.0, 0.0) for _ in turns.targets]
    used = [Used() for _ in turns.targets]
    watch = Watch(turns.targets[0].pids)
    for number in range(turns.rounds):
        # Not always the same requests first, of which what they ask for would be at hand.
        start = number * len(turns.paths) // turns.rounds
        paths = [*turns.paths[start:], *turns.paths[:start]]
        for at, target in enumerate(turns.targets):
            requests = [target.request("GET", path) for path in paths]
            work = Workload(
                target.host,
                target.port,
                partial(cycle, requests),
                HttpReply,
                turns.connections,
                turns.seconds,
                warmup=WARM_UP,
            )
            before, begun = watch.look(), time.perf_counter()
            found[at] = _together(found[at], generate(work))
            used[at].add(before, watch.look(), time.perf_counter() - begun)
    return [(done, one.spent()) for done, one in zip(found, used, strict=True)]


@dataclass(slots=True)
class Used:
    """What the server's processes used in the turns of one target."""

    seconds: float = 0.0
    server: float = 0.0
    database: float = 0.0
    last: Usage = field(default_factory=Usage)

    def add(self, before: Usage, after: Usage, seconds: float) -> None:
        """Add a turn."""
        self.seconds += seconds
        self.server += after.server_cpu - before.server_cpu
        self.database += after.database_cpu - before.database_cpu
        self.last = after

    def spent(self) -> Spent:
        """Return cores that were busy, and memory at the end."""
        return Spent(
            self.server / self.seconds,
            self.database / self.seconds,
            self.last.server_memory / 1e6,
            self.last.database_memory / 1e6,
        )


def _together(one: Measured, other: Measured) -> Measured:
    return Measured(
        one.durations + other.durations,
        Counter(one.statuses) + Counter(other.statuses),
        one.lost + other.lost,
        one.elapsed + other.elapsed,
        one.cpu + other.cpu,
    )


if __name__ == "__main__":
    main()
