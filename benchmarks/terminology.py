"""Terminology over HTTP: `python -m benchmarks.terminology [--base-url URL]`; docs/benchmarks.md.

Starts a server of our own and loads a synthetic SNOMED CT of 350,000 concepts, or measures
any FHIR server that has a code system with implicit value sets. What is asked is drawn from
what the server says of itself: codes, displays, and the subtrees below the root.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.load import Workload, measure
from benchmarks.replies import HttpReply
from benchmarks.report import Row, cells, show, write
from benchmarks.run import row_of, watched
from benchmarks.started import sangam
from benchmarks.synthetic_rf2 import Size, write_package
from benchmarks.target import Target

SYSTEM = "http://snomed.info/sct"
ROOT = "138875005"
SEED = 4
PAGES = 20
PAGE = 500
"""Codes drawn from each of so many places of the code system."""
COUNT = 20
"""Codes of a page of an expansion."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a server has: concepts with their displays, and subtrees with their sizes."""

    system: str
    concepts: list[tuple[str, str]]
    subtrees: list[tuple[str, int]]
    """The concepts below the root that have most below themselves, the largest first."""

    @property
    def largest(self) -> str:
        """The code of the largest subtree."""
        return self.subtrees[0][0]


def main() -> None:
    """Measure the server that the command line names, or one of our own."""
    options = parse()
    with (
        tempfile.TemporaryDirectory(prefix="sangam-bench-") as scratch,
        target_of(options, Path(scratch)) as target,
    ):
        drawn = draw(target, options.system, options.root)
        for code, size in drawn.subtrees[:3]:
            print(f"subtree of {code}: {size:,} concepts")
        rows = run_all(target, scenarios(drawn), options)
        show(f"{target.name}, {len(drawn.concepts):,} codes asked for", rows)
        facts: dict[str, object] = {"seconds": options.seconds, "settings": options.note}
        print("written to", write(options.output, f"{target.name}-terminology", rows, facts))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.terminology", description=__doc__)
    parser.add_argument("--base-url", help="FHIR base of a running server; default: start our own")
    parser.add_argument("--name", default="peer", help="name of that server in the report")
    parser.add_argument("--server-pid", type=int, nargs="*", default=[], help="roots to watch")
    parser.add_argument("--header", action="append", default=[], help="'Name: value' to send along")
    parser.add_argument("--system", default=SYSTEM, help="url of the code system to ask about")
    parser.add_argument("--root", default=ROOT, help="code at the top of its hierarchy")
    parser.add_argument("--package", type=Path, help="RF2 to load into our own server")
    parser.add_argument("--concepts", type=int, default=350_000, help="size of a synthetic one")
    parser.add_argument("--processes", type=int, default=1, help="HTTP processes of our own server")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=10.0, help="time of each measurement")
    parser.add_argument("--only", default="", help="only scenarios whose name holds this")
    parser.add_argument("--note", default="", help="settings of the server, kept with the figures")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args()


@contextmanager
def target_of(options: argparse.Namespace, scratch: Path) -> Iterator[Target]:
    """Yield the server to measure, its code system loaded."""
    if options.base_url:
        headers = dict(line.split(": ", 1) for line in options.header)
        pids = tuple(options.server_pid)
        yield Target(options.name, options.base_url, pids=pids, headers=headers)
        return
    package = options.package or write_package(scratch, Size(options.concepts, SEED))
    with sangam(scratch / "data", processes=options.processes) as target:
        command = [str(Path(sys.executable).parent / "sangam"), "terminology", "load"]
        command += [
            "--data-dir",
            str(scratch / "data"),
            "--accept-license",
            "--skip-bad-rows",
            str(package),
        ]
        subprocess.run(command, check=True)
        yield target


def draw(target: Target, system: str, root: str) -> Drawn:
    """Ask a server for codes from all over the code system, and for its largest subtrees."""
    total = expand(target, f"{system}?fhir_vs", "&count=0").get("total", 0)
    dice = random.Random(SEED)
    concepts: list[tuple[str, str]] = []
    for _ in range(PAGES):
        offset = dice.randrange(max(1, total - PAGE))
        page = expand(target, f"{system}?fhir_vs", f"&activeOnly=true&count={PAGE}&offset={offset}")
        concepts += [(one["code"], one["display"]) for one in page.get("contains", ())]
    if not concepts:
        raise RuntimeError(f"the server has no codes of {system}")
    dice.shuffle(concepts)
    sizes = {code: size_of(target, system, code) for code in children_of(target, system, root)}
    return Drawn(system, concepts, sorted(sizes.items(), key=lambda pair: -pair[1]))


def expand(target: Target, url: str, more: str) -> dict[str, Any]:
    """Return the expansion of a value set; `more` are further parameters."""
    path = f"/ValueSet/$expand?url={quote(url, safe='')}{more}"
    status, answer = target.fetch("GET", path)
    if status != 200:
        raise RuntimeError(f"GET {path}: {status} {answer}")
    return dict(answer["expansion"])


def size_of(target: Target, system: str, code: str) -> int:
    """Return the number of concepts at and below a code."""
    return int(expand(target, f"{system}?fhir_vs=isa/{code}", "&count=0").get("total", 0))


def children_of(target: Target, system: str, root: str) -> list[str]:
    """Return the codes right below one."""
    path = f"/CodeSystem/$lookup?system={quote(system, safe='')}&code={root}&property=child"
    _, answer = target.fetch("GET", path)
    properties = [one["part"] for one in answer["parameter"] if one["name"] == "property"]
    named = [{part["name"]: part for part in parts} for parts in properties]
    return [one["value"]["valueCode"] for one in named if one["code"]["valueCode"] == "child"]


def scenarios(drawn: Drawn) -> dict[str, Callable[[], Iterator[str]]]:
    """Return what is asked by the scenario's name; each answer is a success."""
    return {
        "$lookup": partial(lookups, drawn),
        "$lookup, all properties": partial(lookups, drawn, "&property=*"),
        "$validate-code with display": partial(validations, drawn),
        "$validate-code, is-a set": partial(memberships, drawn),
        "$subsumes": partial(subsumptions, drawn),
        "$expand by text": partial(searches, drawn, ""),
        "$expand by text in subtree": partial(searches, drawn, f"=isa/{drawn.largest}"),
        "$expand is-a": partial(descendants, drawn),
        "$expand largest subtree": partial(pages, drawn),
        "$expand ECL": partial(constraints, drawn),
    }


def lookups(drawn: Drawn, more: str = "") -> Iterator[str]:
    """Yield look-ups of codes."""
    system = quote(drawn.system, safe="")
    for code, _ in drawn.concepts:
        yield f"/CodeSystem/$lookup?system={system}&code={code}{more}"


def validations(drawn: Drawn) -> Iterator[str]:
    """Yield validations of codes with their displays against the code system."""
    system = quote(drawn.system, safe="")
    for code, display in drawn.concepts:
        yield f"/CodeSystem/$validate-code?url={system}&code={code}&display={quote(display)}"


def memberships(drawn: Drawn) -> Iterator[str]:
    """Yield validations of codes against the value set of a subtree."""
    url = quote(f"{drawn.system}?fhir_vs=isa/{drawn.largest}", safe="")
    system = quote(drawn.system, safe="")
    for code, _ in drawn.concepts:
        yield f"/ValueSet/$validate-code?url={url}&system={system}&code={code}"


def subsumptions(drawn: Drawn) -> Iterator[str]:
    """Yield questions whether one concept is another; every second time from near the root."""
    system = quote(drawn.system, safe="")
    for number, (code, _) in enumerate(drawn.concepts):
        above = drawn.subtrees[number % len(drawn.subtrees)][0]
        other = above if number % 2 else drawn.concepts[number - 1][0]
        yield f"/CodeSystem/$subsumes?system={system}&codeA={other}&codeB={code}"


def searches(drawn: Drawn, of: str) -> Iterator[str]:
    """Yield what users type: the beginnings of one, two or three words of a display."""
    url = quote(f"{drawn.system}?fhir_vs{of}", safe="")
    dice = random.Random(SEED)
    for _, display in drawn.concepts:
        words = display.split()
        typed = dice.sample(words, min(len(words), dice.choice((1, 1, 2, 3))))
        text = " ".join(word[: dice.randrange(3, 8)] for word in typed)
        yield f"/ValueSet/$expand?url={url}&filter={quote(text)}&count={COUNT}"


def descendants(drawn: Drawn) -> Iterator[str]:
    """Yield the first pages of the subtrees of codes drawn, most of them small."""
    for code, _ in drawn.concepts:
        url = quote(f"{drawn.system}?fhir_vs=isa/{code}", safe="")
        yield f"/ValueSet/$expand?url={url}&count={COUNT}"


def pages(drawn: Drawn) -> Iterator[str]:
    """Yield pages of the largest subtree at any offset."""
    url = quote(f"{drawn.system}?fhir_vs=isa/{drawn.largest}", safe="")
    dice = random.Random(SEED)
    for _ in drawn.concepts:
        offset = dice.randrange(max(1, drawn.subtrees[0][1] - COUNT))
        yield f"/ValueSet/$expand?url={url}&count={COUNT}&offset={offset}"


def constraints(drawn: Drawn) -> Iterator[str]:
    """Yield the first pages of expression constraints, each another one."""
    tops = [code for code, _ in drawn.subtrees]
    dice = random.Random(SEED)
    for code, _ in drawn.concepts:
        top = dice.choice(tops)
        ecl = dice.choice(
            (
                f"<< {code} OR < {top}",
                f"<< {code} AND << {top}",
                f"(<< {top} AND < {dice.choice(tops)}) MINUS << {code}",
                f"< {code} : * = *",
                f"> {code}",
            )
        )
        url = quote(f"{drawn.system}?fhir_vs=ecl/{quote(ecl, safe='')}", safe="")
        yield f"/ValueSet/$expand?url={url}&count={COUNT}"


def run_all(
    target: Target, asked: dict[str, Callable[[], Iterator[str]]], options: argparse.Namespace
) -> list[Row]:
    """Return the figures of the scenarios that are wanted, told as they are made."""
    rows: list[Row] = []
    for name, paths in asked.items():
        if options.only not in name:
            continue
        for connections in options.connections:
            rows.append(run(target, name, paths, connections, options.seconds))
            print("  ".join(cells(rows[-1])), flush=True)
    return rows


def run(
    target: Target,
    name: str,
    paths: Callable[[], Iterator[str]],
    connections: int,
    seconds: float,
) -> Row:
    """Return the figures of one scenario at a number of connections."""
    requests = partial(_requests, target, paths)
    work = Workload(target.host, target.port, requests, HttpReply, connections, seconds)
    with watched(target) as spent:
        done = measure(work)
    return row_of(name, "req/s", connections, done, spent)


def _requests(target: Target, paths: Callable[[], Iterator[str]]) -> Iterator[bytes]:
    """Yield the requests again and again."""
    return cycle([target.request("GET", path) for path in paths()])


if __name__ == "__main__":
    main()
