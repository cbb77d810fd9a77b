"""What waits for other systems, in numbers that are read when they are asked for."""

from typing import Final

from prometheus_client import CollectorRegistry

from fhir_server.database import Connection
from fhir_server.figures import Figure

# Those that are done are by far the most.
_COUNTS: Final = """
SELECT destination, state, count(*),
       coalesce(extract(epoch FROM clock_timestamp() - min(queued_at)), 0)::float8
FROM hl7_outbound WHERE state IN ('queued', 'accepted', 'dead') GROUP BY 1, 2
"""


async def figures(connection: Connection, registry: CollectorRegistry) -> None:
    """Add the gauges of destinations to a registry."""
    counts = Figure(
        "hl7_outbound", "Messages by destination.", ("destination", "state"), registry=registry
    )
    oldest = Figure(
        "hl7_outbound_oldest_seconds",
        "Age of the oldest message that waits for a destination.",
        ("destination",),
        registry=registry,
    )
    for destination, state, count, age in await (await connection.execute(_COUNTS)).fetchall():
        counts.labels(destination, state).set(count)
        if state == "queued":
            oldest.labels(destination).set(max(0.0, age))
