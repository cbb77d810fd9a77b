"""What waits in the inbox, in numbers that are read when they are asked for."""

from typing import Final

from prometheus_client import CollectorRegistry

from fhir_server.database import Connection
from fhir_server.figures import Figure

# Those that are done are by far the most, and a counter has them (hl7_processed).
_STATES: Final = ("stored", "stale", "dead", "rejected", "dismissed")

_COUNTS: Final = """
SELECT state, coalesce(reason, ''), count(*) FROM hl7_message
WHERE state = ANY(%s) GROUP BY 1, 2
"""
_OLDEST: Final = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - (
    SELECT received_at FROM hl7_message WHERE state = 'stored' ORDER BY id LIMIT 1
)), 0)::float8, (SELECT count(*) FROM hl7_message WHERE holds)
"""


async def figures(connection: Connection, registry: CollectorRegistry) -> None:
    """Add the gauges of the inbox to a registry; no label holds patient data."""
    states = Figure("hl7_inbox", "Messages by state.", ("state",), registry=registry)
    reasons = Figure("hl7_inbox_dead", "Dead letters by reason.", ("reason",), registry=registry)
    for state in _STATES:
        states.labels(state).set(0)
    cursor = await connection.execute(_COUNTS, (list(_STATES),))
    for state, reason, count in await cursor.fetchall():
        states.labels(state).inc(count)
        if state == "dead":
            reasons.labels(reason).set(count)
    row = await (await connection.execute(_OLDEST)).fetchone()
    assert row is not None
    oldest = Figure(
        "hl7_oldest_pending_seconds", "Age of the oldest unprocessed message.", registry=registry
    )
    oldest.set(max(0.0, row[0]))
    held = Figure("hl7_inbox_holding", "Dead letters behind which others wait.", registry=registry)
    held.set(row[1])
