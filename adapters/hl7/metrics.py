"""What the operator sees of the HL7 adapter in numbers; no label holds patient data."""

from collections import Counter as Counts
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_MOST_SENDERS = 500
_MOST_FIELDS: Final = 10_000
_LONGEST_NAME: Final = 3
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

received = Counter("hl7_received", "Messages received.", ("channel", "type"))
acknowledged = Counter("hl7_ack", "Acknowledgements sent.", ("code",))
store_seconds = Histogram("hl7_store_seconds", "Time of a group commit.", buckets=_SECONDS)
map_seconds = Histogram("hl7_map_seconds", "Time to parse and map a message.", buckets=_SECONDS)
commit_seconds = Histogram("hl7_commit_seconds", "Time of a FHIR transaction.", buckets=_SECONDS)
processed = Counter("hl7_processed", "Messages that reached FHIR.", ("channel",))
dead = Counter("hl7_dead", "Messages that could not be taken or mapped.", ("reason",))
duplicates = Counter("hl7_duplicates", "Messages sent again with the same bytes.")
reused = Counter("hl7_control_id_reused", "Messages that reuse the control id of another.")
stale = Counter("hl7_stale", "Messages older than what is stored, that filled nothing.")
frame_errors = Counter("hl7_frame_errors", "Pieces of the stream that were no frame.", ("kind",))
connections = Gauge("hl7_connections", "Open MLLP connections.", multiprocess_mode="livesum")
critical = Counter("hl7_critical", "Critical results that were told.", ("level",))
critical_escalated = Counter("hl7_critical_escalated", "Critical results nobody acknowledged.")
profile_problems = Gauge(
    "hl7_profile_problems",
    "What is wrong with files of profiles; the last good ones serve.",
    multiprocess_mode="mostrecent",
)
unmapped_codes = Counter(
    "hl7_unmapped_codes", "Local codes and units without translation.", ("sender", "field")
)
unmapped_leaves = Counter(
    "hl7_unmapped_leaves",
    "Leaves of messages that are in no resource.",
    ("sender", "field", "reason"),
)
refused_connections = Counter(
    "hl7_refused_connections", "MLLP connections that were not taken.", ("channel",)
)
outbound = Counter(
    "hl7_outbound_answers", "What destinations answered, or why not.", ("destination", "answer")
)
queries = Counter("hl7_queries", "Queries that were answered.", ("name", "status"))

astm_connections = Gauge(
    "astm_connections", "Open lines to analyzers.", multiprocess_mode="livesum"
)
astm_sessions = Counter("astm_sessions", "Sessions that ended.", ("outcome",))
astm_frames = Counter("astm_frames", "Good frames that were made durable.")
astm_faults = Counter("astm_faults", "What went wrong on lines to analyzers.", ("kind",))
astm_nak = Counter("astm_nak", "Frames and sessions that were refused.")
astm_queries = Counter("astm_queries", "Queries of analyzers that were answered.", ("outcome",))
astm_orders = Counter("astm_orders", "Messages sent to analyzers.", ("outcome",))

_labelled: set[str] = set()
_fields: set[tuple[str, str, str]] = set()


def sender_label(name: str) -> str:
    """Return a sender as a label; "other" beyond 500, as whoever sends names himself."""
    if name not in _labelled:
        if len(_labelled) >= _MOST_SENDERS:
            return "other"
        _labelled.add(name)
    return name


def count_unmapped(sender: str, leaves: Iterable[tuple[str, str]]) -> None:
    """Count (address, reason) of leaves of a message that are in no resource."""
    whose = sender_label(sender)
    for (field, reason), count in Counts((_field(at), why) for at, why in leaves).items():
        key = (whose, field, reason)
        if key not in _fields and len(_fields) >= _MOST_FIELDS:
            key = (whose, "other", reason)
        _fields.add(key)
        unmapped_leaves.labels(*key).inc(count)


@lru_cache(4_096)
def _field(address: str) -> str:
    """Return the field of an address, without numbers that a long message makes many."""
    name, _, rest = address.partition("[")
    number = rest.partition("-")[2].partition("[")[0]
    return f"{name}-{number}" if name.isalnum() and len(name) <= _LONGEST_NAME else "other"
