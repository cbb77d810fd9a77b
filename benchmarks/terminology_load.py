"""Loading of SNOMED CT: `python -m benchmarks.terminology_load [--concepts 350000]`.

Generates a package (benchmarks/synthetic_rf2.py) unless one is there, loads it into a
database of its own and prints rows, seconds, concepts a second and the largest resident
memory of the loading process.
"""

import argparse
import asyncio
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import psutil
import psycopg

from benchmarks.synthetic_rf2 import Size, write_package
from fhir_server.main import migrate, postgres
from terminology.loaders.recognise import releases
from terminology.loaders.release import Options, Release
from terminology.loaders.report import Step
from terminology.loaders.write import Loaded, load_release, try_release


def main() -> None:
    """Generate, load and print."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="sangam-bench-") as scratch:
        folder = options.package
        if folder is None:
            began = perf_counter()
            folder = write_package(Path(scratch), Size(options.concepts, options.seed))
            print(f"generated in {perf_counter() - began:.1f} s")
        with database(options.database_url, Path(scratch)) as (conninfo, postmaster):
            run(folder, conninfo, postmaster, dry=options.dry_run)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.terminology_load")
    parser.add_argument("--concepts", type=int, default=350_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--package", type=Path, help="folder or zip to load instead")
    parser.add_argument("--database-url", help="default: an embedded PostgreSQL of its own")
    parser.add_argument("--dry-run", action="store_true", help="read only")
    return parser.parse_args()


@contextmanager
def database(given: str | None, scratch: Path) -> Iterator[tuple[str, psutil.Process | None]]:
    """Lend a migrated database, with its parent process where it is ours."""
    if given:
        migrate.migrate(given)
        yield given, None
        return
    place = scratch / "postgres"
    uri = postgres.ensure_database(postgres.start(place), "terminology")
    try:
        migrate.migrate(uri)
        found = postgres.postmaster(place)
        yield uri, psutil.Process(found.pid) if found else None
    finally:
        postgres.stop(place)


def worked(process: psutil.Process | None) -> float:
    """The processor seconds of a process and of its ended children."""
    return sum(process.cpu_times()[:4]) if process else 0.0


def run(folder: Path, conninfo: str, postmaster: psutil.Process | None, *, dry: bool) -> None:
    """Load once and print the figures."""
    stages: dict[str, float] = {}

    def note(step: Step) -> None:
        stages.setdefault(step.stage, perf_counter() - began)

    here = psutil.Process()
    loader, server = worked(here), worked(postmaster)
    before = psutil.Process().memory_info().rss
    began = perf_counter()
    (release,) = releases([folder], Options(progress=note))
    assert isinstance(release, Release)
    if dry:
        done = asyncio.run(try_release(release, progress=note))
    else:
        done = asyncio.run(load_release(conninfo, release, accepted=True, progress=note))
    seconds = perf_counter() - began
    for stage, at in stages.items():
        print(f"{at:7.1f} s  {stage} begins")
    show(done, seconds, before)
    loader, server = worked(here) - loader, worked(postmaster) - server
    print(f"processor seconds: {loader:.1f} loader, {server:.1f} database")
    if not dry:
        with psycopg.connect(conninfo) as connection:
            query = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'"
            row = connection.execute(f"{query} AND relnamespace = 'tx'::regnamespace").fetchone()
            assert row
            print(f"{int(row[0] or 0) >> 20:,} MB in the database")


def show(done: Loaded, seconds: float, before: int) -> None:
    """Print what was loaded, how fast, and in how much memory."""
    for table, rows in sorted(done.report.rows.items()):
        print(f"{rows:12,}  {table}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{done.concepts:,} concepts in {seconds:.1f} s: {done.concepts / seconds:,.0f} a second")
    print(f"memory: {before >> 20} MB before, {peak >> 20} MB at most")


if __name__ == "__main__":
    main()
