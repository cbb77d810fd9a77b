"""Searches by meaning: `python -m benchmarks.meaning [--base-url URL]`; docs/benchmarks.md.

Starts a server of our own, loads a synthetic SNOMED CT and Observations coded with it, the
codes drawn evenly from all concepts, and searches by hierarchy and value set. Or measures
any FHIR server that has such data.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

from benchmarks.report import show, write
from benchmarks.started import sangam
from benchmarks.synthetic_rf2 import Size, write_package
from benchmarks.target import Target
from benchmarks.terminology import ROOT, SEED, SYSTEM, children_of, expand, run_all, size_of

PAGE = 5_000
PATIENTS = 10_000
ASKED = 50
"""Searches of each kind, with different values."""
SMALL = 200
"""Concepts at most below a small subtree's root."""

Subtrees = list[tuple[str, int]]
"""Codes with the number of concepts at and below them."""


def main() -> None:
    """Measure the server that the command line names, or one of our own."""
    options = parse()
    with (
        tempfile.TemporaryDirectory(prefix="sangam-bench-") as scratch,
        target_of(options, Path(scratch)) as target,
    ):
        large, small = subtrees(target, options.subtree)
        print(f"large subtree: {large[0][1]:,} concepts; {len(small)} small ones", flush=True)
        rows = run_all(target, scenarios(large, small), options)
        show(f"{target.name}, {options.observations:,} Observations", rows)
        facts: dict[str, object] = {"seconds": options.seconds, "settings": options.note}
        print("written to", write(options.output, f"{target.name}-meaning", rows, facts))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.meaning", description=__doc__)
    parser.add_argument("--base-url", help="FHIR base of a running server; default: start our own")
    parser.add_argument("--name", default="peer", help="name of that server in the report")
    parser.add_argument("--concepts", type=int, default=350_000, help="of the code system")
    parser.add_argument("--observations", type=int, default=1_000_000, help="to be stored")
    parser.add_argument("--subtree", type=int, default=50_000, help="concepts of the large one")
    parser.add_argument("--data-dir", type=Path, help="directory of our own server, kept")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=10.0, help="time of each measurement")
    parser.add_argument("--only", default="", help="only scenarios whose name holds this")
    parser.add_argument("--note", default="", help="settings of the server, kept with the figures")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args()


@contextmanager
def target_of(options: argparse.Namespace, scratch: Path) -> Iterator[Target]:
    """Yield the server to measure, loaded."""
    if options.base_url:
        yield Target(options.name, options.base_url)
        return
    data_dir = options.data_dir or scratch / "data"
    with sangam(data_dir) as target:
        _, told = target.fetch("GET", "/Observation?_summary=count")
        if not told["total"]:
            package = write_package(scratch, Size(options.concepts, SEED))
            accepted = ("--accept-license", "--skip-bad-rows")
            command("terminology", "load", data_dir, *accepted, str(package))
            folder = scratch / "observations"
            folder.mkdir()
            observations(folder / "Observation.ndjson", codes(target), options.observations)
            begun = time.perf_counter()
            command("load", "", data_dir, str(folder))
            print(f"loaded in {time.perf_counter() - begun:.0f} s", flush=True)
        yield target


def command(name: str, second: str, data_dir: Path, *more: str) -> None:
    """Run a command of `sangam` on the data of a running server."""
    words = [name, second] if second else [name]
    program = str(Path(sys.executable).parent / "sangam")
    subprocess.run([program, *words, "--data-dir", str(data_dir), *more], check=True)


def codes(target: Target) -> list[str]:
    """Return all codes of the code system."""
    found: list[str] = []
    while True:
        page = expand(target, f"{SYSTEM}?fhir_vs", f"&count={PAGE}&offset={len(found)}")
        some = [one["code"] for one in page.get("contains", ())]
        if not some:
            return found
        found += some


def observations(file: Path, known: Sequence[str], number: int) -> None:
    """Write Observations of no one's, coded evenly with what is known."""
    dice = random.Random(SEED)
    with file.open("w") as lines:
        for n in range(number):
            month, day = dice.randrange(1, 13), dice.randrange(1, 29)
            one = {
                "resourceType": "Observation",
                "id": f"meaning-{n}",
                "status": "final",
                "code": {"coding": [{"system": SYSTEM, "code": dice.choice(known)}]},
                "effectiveDateTime": f"20{dice.randrange(10, 26)}-{month:02d}-{day:02d}",
                "valueInteger": dice.randrange(1000),
            }
            lines.write(json.dumps(one) + "\n")


def subtrees(target: Target, wanted: int) -> tuple[Subtrees, Subtrees]:
    """Return the subtree nearest to a size, and small ones, the largest looked into first."""
    seen = {ROOT: 1 << 62}
    left = dict(seen)
    small: Subtrees = []
    while left and (len(small) < ASKED or max(left.values()) > wanted):
        largest = max(left, key=left.__getitem__)
        del left[largest]
        for child in children_of(target, SYSTEM, largest):
            if child not in seen:
                seen[child] = left[child] = size_of(target, SYSTEM, child)
                if 1 < seen[child] <= SMALL:
                    small.append((child, seen[child]))
    return [min(seen.items(), key=lambda pair: abs(pair[1] - wanted))], small


def scenarios(large: Subtrees, small: Subtrees) -> dict[str, Callable[[], Iterator[str]]]:
    """Return what is searched, by the scenario's name."""
    return {
        "code:below, large subtree": partial(below, large, "&_count=20"),
        "code:below, large subtree, by date": partial(below, large, "&_sort=-date&_count=20"),
        "code:below, large subtree, one day": partial(below, large, "&date=2020-02-02&_count=20"),
        "code:below, small subtrees": partial(below, small, "&_count=20"),
        "code:in, implicit value sets": partial(members, small),
        "code:not-in, large subtree": partial(members, large, "not-in"),
    }


def below(roots: Subtrees, more: str) -> Iterator[str]:
    """Yield searches below the roots."""
    for code, _ in roots[:ASKED]:
        yield f"/Observation?code:below={quote(f'{SYSTEM}|{code}', safe='')}{more}"


def members(roots: Subtrees, modifier: str = "in") -> Iterator[str]:
    """Yield searches by the value sets that the roots imply."""
    for code, _ in roots[:ASKED]:
        value_set = quote(f"{SYSTEM}?fhir_vs=isa/{code}", safe="")
        yield f"/Observation?code:{modifier}={value_set}&_count=20"


if __name__ == "__main__":
    main()
