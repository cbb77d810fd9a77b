"""What an operator is told of what rights look at and is not there yet."""

from collections.abc import Iterator

import psycopg
from prometheus_client import CollectorRegistry

from fhir_server.database import Connection
from fhir_server.figures import Figure
from fhir_server.r4 import definitions
from fhir_server.store.behind import BEHIND, Behind, read


def notice(conninfo: str) -> str:
    """Return what stands below the banner, "" where nothing is behind."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        behind = read(connection.execute(BEHIND).fetchone())
    said = [f"  {what:<30} {how}" for what, how in told(behind)]
    if not said:
        return ""
    return "\n".join(["Until this is done, less is shown than may be seen:", "", *said, ""])


def told(behind: Behind) -> Iterator[tuple[str, str]]:
    """Yield what is behind, and how far it has come."""
    names = definitions.load().type_names
    for type_id, total, done in behind.walks:
        yield f"index of {names[type_id]}", f"{done:,} of {total:,}" if total else "waits"
    if behind.reading:
        yield "consents", "read anew"
    if behind.unread:
        yield "consents not read", f"{behind.unread:,} deny all (sangam consent unread)"


async def look(connection: Connection) -> Behind:
    """Return what is behind now."""
    return read(await (await connection.execute(BEHIND)).fetchone())


async def figures(connection: Connection, registry: CollectorRegistry) -> None:
    """Add the gauges to a registry."""
    behind = await look(connection)
    unread = Figure(
        "sangam_consents_unread", "Consents that deny, as they are not read.", registry=registry
    )
    unread.set(behind.unread)
    left = Figure("sangam_index_behind", "Resources to be indexed anew.", registry=registry)
    left.set(sum(max(0, total - done) for _, total, done in behind.walks))
