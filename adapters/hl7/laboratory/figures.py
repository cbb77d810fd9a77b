"""What is told and not acknowledged, in numbers that are read when they are asked for."""

from typing import Final

from prometheus_client import CollectorRegistry

from fhir_server.database import Connection
from fhir_server.figures import Figure

_OPEN: Final = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(raised_at)), 0)::float8
FROM hl7_critical WHERE state = 'open'
"""


async def figures(connection: Connection, registry: CollectorRegistry) -> None:
    """Add the gauges of critical results to a registry; no label holds patient data."""
    row = await (await connection.execute(_OPEN)).fetchone()
    assert row is not None
    count = Figure("hl7_critical_open", "Critical results not acknowledged.", registry=registry)
    count.set(row[0])
    oldest = Figure(
        "hl7_critical_oldest_seconds",
        "Age of the oldest critical result that is not acknowledged.",
        registry=registry,
    )
    oldest.set(max(0.0, row[1]))
