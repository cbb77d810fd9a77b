"""Studies in numbers that are read when they are asked for: what waits for somebody, and lag."""

from typing import Final

from prometheus_client import CollectorRegistry

from fhir_server.database import Connection
from fhir_server.figures import Figure

_COUNTS: Final = """
SELECT (SELECT count(*) FROM dicom_study WHERE unmatched_at IS NOT NULL),
    (SELECT count(*) FROM dicom_conflict WHERE state = 'open'),
    (SELECT count(*) FROM dicom_rejection),
    coalesce((SELECT extract(epoch FROM clock_timestamp() - min(created_at)) FROM job
              WHERE kind = 'dicom.fold' AND due_at <= clock_timestamp()), 0)::float8
"""


async def figures(connection: Connection, registry: CollectorRegistry) -> None:
    """Add the gauges of studies to a registry."""
    row = await (await connection.execute(_COUNTS)).fetchone()
    assert row is not None
    texts = {
        "dicom_studies_unmatched": "Studies whose patient is not known.",
        "dicom_conflicts_open": "Other contents of known instances, not decided on.",
        "dicom_instances_rejected": "Instances that are rejected.",
        "dicom_fold_lag_seconds": "Age of the oldest ImagingStudy that is due to be written.",
    }
    for (name, text), value in zip(texts.items(), row, strict=True):
        Figure(name, text, registry=registry).set(value)
