"""What the operator sees of the DICOM services in numbers; no label holds patient data."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_MOST_PEERS: Final = 500
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

associations = Gauge(
    "dicom_associations", "Connections of DICOM that are open.", multiprocess_mode="livesum"
)
rejected = Counter(
    "dicom_associations_rejected",
    "Associations that were rejected, by result, source and reason; `host`: closed at once.",
    ("reason",),
)
instances = Counter(
    "dicom_instances_received", "Instances that came, by what was answered.", ("peer", "status")
)
received_bytes = Counter("dicom_received_bytes", "Bytes of instances that were kept.", ("peer",))
store_seconds = Histogram(
    "dicom_store_seconds",
    "Time of an instance by step: receive, parse, fsync, commit.",
    ("step",),
    buckets=_SECONDS,
)
query_seconds = Histogram(
    "dicom_query_seconds",
    "Time of a C-FIND up to its last answer, by its level.",
    ("level",),
    buckets=_SECONDS,
)
suboperations = Counter(
    "dicom_suboperations", "Instances sent for C-MOVE and C-GET, by outcome.", ("result",)
)
documents = Counter(
    "dicom_documents_done", "Reports and documents that were worked on, by outcome.", ("state",)
)

_STEPS: Final = {
    step: store_seconds.labels(step) for step in ("receive", "parse", "fsync", "commit")
}
_peers: set[str] = set()


def peer_label(title: str) -> str:
    """Return an AE title as a label; "other" beyond 500, as whoever calls names himself."""
    if title not in _peers:
        if len(_peers) >= _MOST_PEERS:
            return "other"
        _peers.add(title)
    return title


def answered(peer: str, status: int, size: int) -> None:
    """Count an instance of a peer by the status that it had; 0 bytes: it was not kept."""
    label = peer_label(peer)
    instances.labels(label, f"{status:04X}").inc()
    if size:
        received_bytes.labels(label).inc(size)


def stepped(step: str, since: float) -> float:
    """Note how long a step of a C-STORE took since then, and return the time now."""
    now = time.monotonic()
    _STEPS[step].observe(now - since)
    return now


@contextmanager
def querying(level: str) -> Iterator[None]:
    """Note how long the answers to a query take, also when nobody reads them to the end."""
    since = time.monotonic()
    try:
        yield
    finally:
        query_seconds.labels(level).observe(time.monotonic() - since)


def sent(status: int) -> None:
    """Count a sub-operation by its status: completed, warning or failed."""
    kind = "completed" if status == 0 else "warning" if status >> 12 == 0xB else "failed"  # noqa: PLR2004  (Bxxx)
    suboperations.labels(kind).inc()
