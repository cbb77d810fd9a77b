"""Commitments that wait to be reported, in numbers that are read when they are asked for."""

from typing import Final

from prometheus_client import CollectorRegistry

from fhir_server.database import Connection
from fhir_server.figures import Figure

_OPEN: Final = """
SELECT states.state, count(c.id),
       coalesce(extract(epoch FROM clock_timestamp() - min(c.requested_at)), 0)::float8
FROM unnest(ARRAY['waiting', 'decided']) AS states(state)
LEFT JOIN dicom_commitment c USING (state)
GROUP BY 1
"""


async def figures(connection: Connection, registry: CollectorRegistry) -> None:
    """Add the gauges of open commitments to a registry."""
    counts = Figure(
        "dicom_commitments", "Storage commitments not reported.", ("state",), registry=registry
    )
    oldest = Figure(
        "dicom_commitment_oldest_seconds",
        "Age of the oldest storage commitment that is not reported.",
        ("state",),
        registry=registry,
    )
    for state, count, age in await (await connection.execute(_OPEN)).fetchall():
        counts.labels(state).set(count)
        oldest.labels(state).set(max(0.0, age))
