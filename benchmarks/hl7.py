"""HL7 v2 results: `python -m benchmarks.hl7 [--mllp HOST:PORT --base-url URL]`; docs/benchmarks.md.

Messages of 10.7 kB with 25 OBX, each an order of its own: parsed and mapped in this
process, acknowledged over MLLP, committed to FHIR, and many of them for the memory. In the
same run the servers of python-hl7 and hl7apy, which keep nothing.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC
from functools import partial
from itertools import islice
from pathlib import Path

from adapters.hl7.mapping.context import Profile
from adapters.hl7.mapping.transform import transform
from adapters.hl7.message.tokenizer import parse
from adapters.hl7.simulate.values import CRITICAL_SHARE
from benchmarks import messages
from benchmarks.hl7_peers import PEERS, peer
from benchmarks.load import Workload, measure
from benchmarks.processes import Watch
from benchmarks.replies import MllpReply
from benchmarks.report import Row, cells, show, write
from benchmarks.run import Bench, drained, row_of, run_messages, watched
from benchmarks.started import sangam
from benchmarks.target import Target

SCENARIOS = ("map", "paced", "flow", "memory", "peers")
PEER_SECONDS = 5.0
STEPS = 10


def main() -> None:
    """Measure the server that the command line names, or one of our own."""
    options = parse_options()
    bench = Bench(
        Target("-", ""),
        options.seconds,
        tuple(options.connections),
        on_row=announce,
        critical_share=options.critical_share,
    )
    if "map" in options.scenarios:
        bench.add(mapped(options.mapped))
    with tempfile.TemporaryDirectory(prefix="sangam-bench-") as scratch:
        if {"paced", "flow", "memory"} & set(options.scenarios):
            with target_of(options, Path(scratch)) as bench.target:
                measure_target(bench, options)
        name = bench.target.name
        for other in PEERS if "peers" in options.scenarios else ():
            with peer(other) as bench.target:
                acknowledged(bench)
    show(f"{name}: ORU^R01 of 10.7 kB", bench.rows)
    facts: dict[str, object] = {
        "seconds": options.seconds,
        "critical share": options.critical_share,
        "settings": options.note,
    }
    print("written to", write(options.output, f"{name}-hl7", bench.rows, facts))


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hl7", description=__doc__)
    parser.add_argument("--base-url", help="FHIR base of a running server; default: start our own")
    parser.add_argument("--mllp", help="HOST:PORT of its MLLP listener")
    parser.add_argument("--name", default="peer", help="name of that server in the report")
    parser.add_argument("--server-pid", type=int, nargs="*", default=[], help="roots to watch")
    parser.add_argument("--data-dir", type=Path, help="directory of our own server; default: fresh")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=10.0, help="time of each measurement")
    parser.add_argument("--mapped", type=int, default=2_000, help="messages mapped in this process")
    parser.add_argument("--messages", type=int, default=100_000, help="messages for the memory")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second when paced")
    parser.add_argument(
        "--critical-share",
        type=float,
        default=CRITICAL_SHARE,
        help="messages with a critical result; 0.01 to 0.02 in life",
    )
    parser.add_argument("--note", default="", help="settings of the server, kept with the figures")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    return parser.parse_args()


@contextmanager
def target_of(options: argparse.Namespace, scratch: Path) -> Iterator[Target]:
    """Yield the server to measure."""
    if not options.mllp:
        with sangam(options.data_dir or scratch / "data") as target:
            yield target
        return
    host, _, port = options.mllp.rpartition(":")
    pids = tuple(options.server_pid)
    yield Target(options.name, options.base_url or "", (host, int(port)), pids=pids)


def measure_target(bench: Bench, options: argparse.Namespace) -> None:
    """Add what the options ask of a server; without a FHIR base only acknowledgements."""
    if "paced" in options.scenarios:
        paced(bench, options.rate)
    if "flow" in options.scenarios and bench.target.base_url:
        run_messages(bench)
    elif "flow" in options.scenarios:
        acknowledged(bench)
    if "memory" in options.scenarios:
        memory(bench, options.messages)


def mapped(count: int) -> Row:
    """Time the way from text to resources, in this process."""
    profile = Profile(base="http://localhost/fhir", sender="bench", zone=UTC)
    durations = []
    for block in islice(messages.messages(0), count):
        begun = time.perf_counter()
        transform(parse(block[1:-2].decode(), "utf-8"), profile)
        durations.append((time.perf_counter() - begun) * 1000)
    ordered = sorted(durations)
    p50, p95, p99 = (ordered[int(share * len(ordered))] for share in (0.5, 0.95, 0.99))
    return Row("parse and map", 1, 1000 * count / sum(durations), "msg/s", p50, p95, p99)


def acknowledged(bench: Bench) -> None:
    """Send to a server that only acknowledges, until the time is over."""
    assert bench.target.mllp is not None
    for connections in bench.connections:
        seconds = min(bench.seconds, PEER_SECONDS)
        reply = Once if bench.target.name == "hl7apy" else MllpReply
        work = replace(flood(bench.target, connections), reply=reply, seconds=seconds)
        with watched(bench.target) as spent:
            done = measure(work)
        bench.add(row_of(f"{bench.target.name} answers", "msg/s", connections, done, spent))


def paced(bench: Bench, rate: float) -> None:
    """Send so many messages a second, which are mapped meanwhile if the target maps.

    What is left then is waited for, so that nothing is measured beside it.
    """
    maps = bool(bench.target.base_url)
    for connections in bench.connections:
        before = bench.target.count("DiagnosticReport") if maps else 0
        work = flood(bench.target, connections, share=bench.critical_share)
        work = replace(work, seconds=bench.seconds, rate=rate)
        with watched(bench.target) as spent:
            done = measure(work)
        name = f"acknowledged at {rate:g}/s"
        bench.add(row_of(name, "msg/s", connections, done, spent))
        if maps:
            drained(bench.target, before + len(done.durations))


def memory(bench: Bench, count: int) -> None:
    """Send `count` messages over 8 connections and look at the memory after each tenth."""
    watch = Watch(bench.target.pids)
    for step in range(1, STEPS + 1):
        work = flood(bench.target, 8, count // STEPS, bench.critical_share)
        with watched(bench.target) as spent:
            done = measure(work)
        spent.server_memory = watch.look().server_memory / 1e6
        name = f"messages {step * count // STEPS:,}"
        bench.add(row_of(name, "msg/s", work.connections, done, spent))


def flood(
    target: Target, connections: int, count: int | None = None, share: float = CRITICAL_SHARE
) -> Workload:
    """Return the sending of `count` new messages, or of ever more."""
    assert target.mllp is not None
    first = random.SystemRandom().randrange(10**9, 9 * 10**9)
    return Workload(
        *target.mllp, partial(some, first, count, share), MllpReply, connections, None, warmup=0
    )


def some(first: int, count: int | None, share: float) -> Iterator[bytes]:
    """Return messages numbered from `first`, a share of them with a critical result."""
    return islice(messages.messages(first, share), count)


class Once(MllpReply):
    """The acknowledgement of a server that closes after each."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = True


def announce(row: Row) -> None:
    """Show a row as soon as it is measured."""
    print("  ".join(cells(row)), flush=True)


if __name__ == "__main__":
    main()
