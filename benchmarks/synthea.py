"""Synthea's transaction Bundles, as a hospital's history would be brought in.

https://github.com/synthetichealth/synthea
"""

import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.load import Measured, Workload, measure
from benchmarks.replies import HttpReply
from benchmarks.target import Target


@dataclass(frozen=True, slots=True)
class Transaction:
    """A Bundle's text and its number of entries."""

    name: str
    body: bytes
    entries: int


def transactions(archive: Path) -> list[Transaction]:
    """Read the Bundles of the archive; hospitals and practitioners come first."""
    found = []
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            file = tar.extractfile(member)
            if file is not None and member.name.endswith(".json"):
                body = file.read()
                entries = len(json.loads(body)["entry"])
                found.append(Transaction(member.name, body, entries))
    return sorted(found, key=lambda one: ("Information" not in one.name, one.name))


def post(target: Target, found: list[Transaction], connections: int) -> Measured:
    """Send each Bundle once."""
    requests = [target.request("POST", target.root, one.body) for one in found]
    return measure(
        Workload(
            target.host,
            target.port,
            partial(list, requests),
            HttpReply,
            connections=connections,
            seconds=None,
            warmup=0,
        )
    )


def groups(found: Iterable[Transaction]) -> tuple[list[Transaction], list[Transaction]]:
    """Split into the Bundles that others refer to, and the patients' Bundles."""
    shared = [one for one in found if "Information" in one.name]
    return shared, [one for one in found if "Information" not in one.name]
