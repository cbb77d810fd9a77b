"""Runs of pgbench, whose client costs a tenth of a Python one.

https://www.postgresql.org/docs/18/pgbench.html
"""

import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.storage.cluster import BINARIES


@dataclass(frozen=True, slots=True)
class Latency:
    """Rate per second and latencies in milliseconds of one script."""

    rate: float
    p50: float
    p95: float
    p99: float
    worst: float


@dataclass(frozen=True, slots=True)
class Script:
    """A pgbench script with its weight in a mixed run."""

    text: str
    weight: int = 1


def run(uri: str, scripts: Sequence[Script], *, clients: int, seconds: float) -> list[Latency]:
    """Run the mix for `seconds` and return one Latency per script."""
    with tempfile.TemporaryDirectory(prefix="sangam-pgbench-") as root:
        arguments = [str(BINARIES / "pgbench"), "-n", "-M", "extended", "--random-seed=7"]
        arguments += ["-c", str(clients), "-j", "1", "-T", str(max(1, round(seconds))), "-l"]
        for number, script in enumerate(scripts):
            path = Path(root) / f"{number}.sql"
            path.write_text(script.text)
            arguments += ["-f", f"{path}@{script.weight}"]
        done = subprocess.run(
            [*arguments, uri], cwd=root, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return latencies(Path(root), len(scripts), seconds)


def latencies(root: Path, scripts: int, seconds: float) -> list[Latency]:
    """Read pgbench's per-transaction logs (client, number, µs, script, ...)."""
    times: dict[int, list[int]] = defaultdict(list)
    for log in root.glob("pgbench_log.*"):
        for line in log.read_text().splitlines():
            fields = line.split()
            times[int(fields[3])].append(int(fields[2]))
    return [latency(sorted(times[number]), seconds) for number in range(scripts)]


def latency(micros: list[int], seconds: float) -> Latency:
    """Return the Latency of sorted durations in microseconds."""

    def at(share: float) -> float:
        return micros[min(len(micros) - 1, int(share * len(micros)))] / 1000 if micros else 0.0

    return Latency(len(micros) / seconds, at(0.5), at(0.95), at(0.99), at(1.0))
