"""The archive in numbers that are read when they are asked for: held bytes, quotas, damage."""

from prometheus_client import CollectorRegistry

from adapters.dicom.storage.quota import ALL, accounts
from adapters.dicom.storage.verify import damaged
from fhir_server.database import Connection
from fhir_server.figures import Figure


async def figures(connection: Connection, registry: CollectorRegistry) -> None:
    """Add the gauges of the archive to a registry."""
    held = Figure("dicom_archive_bytes", "Bytes held of a sender.", ("sender",), registry=registry)
    counts = Figure(
        "dicom_archive_instances", "Instances held of a sender.", ("sender",), registry=registry
    )
    quotas = Figure("dicom_archive_quota_bytes", "Its quota.", ("sender",), registry=registry)
    broken = Figure("dicom_archive_damaged", "Stored files that are damaged.", registry=registry)
    for account in await accounts(connection):
        if account.name != ALL:
            held.labels(account.name).set(account.bytes)
            counts.labels(account.name).set(account.instances)
        if account.quota is not None:
            quotas.labels(account.name).set(account.quota)
    broken.set(await damaged(connection))
