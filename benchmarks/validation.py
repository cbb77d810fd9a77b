"""Validation alone: `python -m benchmarks.validation`.

Prints for some official examples what decoding, structure and invariants take,
in microseconds (p50 and p95 in one process), beside what decoding and structure
alone take, and fails above one and a half times the target.
"""

import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.validation.structure import Validator

EXAMPLES = "data/r4/hl7.fhir.r4.examples-4.0.1.tgz"
# Official example to its target for decoding and validation together, in microseconds.
TARGETS = {
    "Patient-example": 100,
    "Observation-blood-pressure": 100,
    "Observation-f001": 100,
    "Claim-100150": 250,
    "DiagnosticReport-102": 250,
}
BUNDLE_TARGET = 8_000
BUNDLE_ENTRIES = 100
ROUNDS = 300
ALLOWED = 1.5


def main() -> None:
    """Measure, print a line for each example, and end with 1 where a target is missed by far."""
    shared = Path(os.environ.get("SANGAM_SHARED", Path(__file__).parents[2] / "shared"))
    validator = Validator(load())
    print(f"{'example':30} {'structure':>10} {'all p50':>9} {'all p95':>9} {'target':>7}")
    missed = 0
    for name, raw, target in examples(shared):
        validator.validate(json.decode(raw)["resourceType"], raw, json.decode(raw))
        bare = measured(validated(validator, invariants=False), raw)
        whole = measured(validated(validator, invariants=True), raw)
        print(f"{name:30} {bare[0]:10.1f} {whole[0]:9.1f} {whole[1]:9.1f} {target:7d}")
        missed += whole[0] > ALLOWED * target
    sys.exit(1 if missed else 0)


def examples(shared: Path) -> list[tuple[str, bytes, int]]:
    """Return the examples by name with their texts and targets, last a Bundle of them."""
    with tarfile.open(shared / EXAMPLES) as tar:
        names = {name: f"package/{name}.json" for name in TARGETS}
        found = [(name, _content(tar, path), TARGETS[name]) for name, path in names.items()]
    resources = [json.decode(raw) for _, raw, _ in found[:3]]
    entries = [{"resource": resources[at % len(resources)]} for at in range(BUNDLE_ENTRIES)]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    return [*found, (f"Bundle of {BUNDLE_ENTRIES}", json.encode(bundle), BUNDLE_TARGET)]


def _content(tar: tarfile.TarFile, path: str) -> bytes:
    file = tar.extractfile(path)
    if file is None:
        raise FileNotFoundError(path)
    return file.read()


def validated(validator: Validator, *, invariants: bool) -> Callable[[bytes], object]:
    """Return validation with decoding."""

    def run(raw: bytes) -> object:
        data: Any = json.decode(raw)
        return validator.validate(data["resourceType"], raw, data, invariants=invariants)

    return run


def measured(work: Callable[[bytes], object], raw: bytes) -> tuple[float, float]:
    """Return p50 and p95 in microseconds."""
    times = []
    for _ in range(ROUNDS if len(raw) < 100_000 else ROUNDS // 6):
        start = perf_counter_ns()
        work(raw)
        times.append((perf_counter_ns() - start) / 1_000)
    times.sort()
    return times[len(times) // 2], times[len(times) * 95 // 100]


if __name__ == "__main__":
    main()
