"""Benchmarks of a FHIR server: `python -m benchmarks [--base-url URL]`; docs/benchmarks.md."""

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import rest, run
from benchmarks.bulk import by_interaction
from benchmarks.population import Population, observation_id
from benchmarks.preload import by_command, by_transactions, write_ndjson
from benchmarks.report import Row, cells, show, write
from benchmarks.started import sangam
from benchmarks.target import Target

SCENARIOS = ("rest", "synthea", "oru", "cstore")
ARCHIVE = "data/synthea/synthea-r4-transactions.tgz"


def main() -> None:
    """Measure the server that the command line names, or one of our own."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="sangam-bench-") as scratch:
        with target_of(options, Path(scratch)) as target:
            bench = run.Bench(target, options.seconds, tuple(options.connections), on_row=announce)
            facts: dict[str, object] = {"seconds": options.seconds, "load": options.load}
            run.calibrate(bench)
            if not options.calibrate:
                facts["load seconds"] = measure_all(bench, options, Path(scratch))
            facts["settings"] = options.note
        show(f"{target.name}, {options.load:,} resources loaded", bench.rows)
        print("written to", write(options.output, target.name, bench.rows, facts))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--base-url", help="FHIR base of a running server; default: start our own")
    parser.add_argument("--name", help="name of that server in the report")
    parser.add_argument("--mllp", help="HOST:PORT of its MLLP listener")
    parser.add_argument("--dicom", help="HOST:PORT of its storage SCP")
    parser.add_argument("--called-ae", default="ANY-SCP", help="AE title of its storage SCP")
    parser.add_argument("--server-pid", type=int, nargs="*", default=[], help="roots to watch")
    parser.add_argument("--header", action="append", default=[], help="'Name: value' to send along")
    parser.add_argument("--processes", type=int, default=1, help="HTTP processes of our own server")
    parser.add_argument("--data-dir", type=Path, help="directory of our own server; default: fresh")
    parser.add_argument("--load", type=int, default=10_000, help="resources to have loaded before")
    parser.add_argument("--load-by", choices=("rest", "command", "interaction"), default="rest")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=10.0, help="time of each measurement")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--only", default="", help="only REST scenarios whose name holds this")
    parser.add_argument("--kinds", action="store_true", help="each search of the mix by itself")
    parser.add_argument("--slices", type=int, default=400, help="CT slices of a C-STORE run")
    parser.add_argument("--calibrate", action="store_true", help="only the generator's ceiling")
    parser.add_argument("--note", default="", help="settings of the server, kept with the figures")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args()


@contextmanager
def target_of(options: argparse.Namespace, scratch: Path) -> Iterator[Target]:
    """Yield the server to measure."""
    if options.calibrate and not options.base_url:
        yield Target("none", "http://127.0.0.1:1/fhir")
    elif options.base_url or options.dicom:
        yield Target(
            options.name or "peer",
            options.base_url or "http://127.0.0.1:1",
            address(options.mllp),
            address(options.dicom),
            options.called_ae,
            tuple(options.server_pid),
            dict(line.split(": ", 1) for line in options.header),
        )
    else:
        with sangam(options.data_dir or scratch / "data", processes=options.processes) as target:
            yield target


def address(text: str | None) -> tuple[str, int] | None:
    """Return HOST:PORT as a pair."""
    if not text:
        return None
    host, _, port = text.rpartition(":")
    return host, int(port)


def measure_all(bench: run.Bench, options: argparse.Namespace, scratch: Path) -> float | None:
    """Load, then run the chosen scenarios; return the seconds of loading."""
    target = bench.target
    population = Population.of(options.load)
    seconds = None
    if "rest" in options.scenarios:
        seconds = load(target, population, options, scratch)
        for fault in rest.check(target, population):
            print("CHECK:", fault)
        run.run_rest(bench, population, options.only, each_kind=options.kinds)
    if "synthea" in options.scenarios:
        shared = Path(os.environ.get("SANGAM_SHARED", "../shared"))
        run.run_synthea(bench, shared / ARCHIVE)
    if "oru" in options.scenarios and target.mllp:
        run.run_messages(bench)
    if "cstore" in options.scenarios and target.dicom:
        run.run_images(bench, scratch / "images", options.slices)
    return seconds


def load(
    target: Target, population: Population, options: argparse.Namespace, scratch: Path
) -> float | None:
    """Load the population unless its last resource is already there."""
    last = observation_id(population.observations - 1)
    if target.fetch("GET", f"/Observation/{last}")[0] == 200:
        print("the population is already loaded")
        return None
    if options.load_by == "rest" or target.data_dir is None:
        seconds = by_transactions(target, population)
    elif options.load_by == "command":
        seconds = by_command(target.data_dir, write_ndjson(scratch / "ndjson", population))
    else:
        seconds = by_interaction(target.data_dir, population)
    print(f"loaded {options.load:,} resources in {seconds:.0f} s ({options.load / seconds:,.0f}/s)")
    return seconds


def announce(row: Row) -> None:
    """Print a row as soon as it is measured."""
    print("  ".join(cells(row)), flush=True)


if __name__ == "__main__":
    main()
