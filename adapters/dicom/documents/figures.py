"""Documents in numbers that are read when they are asked for: what became of them."""

from typing import Final

from prometheus_client import CollectorRegistry

from adapters.dicom.documents.rows import STATES
from fhir_server.database import Connection
from fhir_server.figures import Figure

_COUNTS: Final = """
SELECT state, count(*), coalesce(sum(jsonb_array_length(unmapped)), 0)::bigint
FROM dicom_document GROUP BY 1
"""


async def figures(connection: Connection, registry: CollectorRegistry) -> None:
    """Add the gauges of documents by state, and of items that only renderings have."""
    states = Figure("dicom_documents", "Documents by state.", ("state",), registry=registry)
    unmapped = Figure(
        "dicom_document_items_unmapped",
        "Content items that only the rendering of their document has.",
        registry=registry,
    )
    for state in STATES:
        states.labels(state).set(0)
    for state, count, items in await (await connection.execute(_COUNTS)).fetchall():
        states.labels(state).set(count)
        unmapped.inc(items)
