"""The PostgreSQL that the workers of a run share."""

import asyncio

from fhir_server.database import Database

_OTHERS = (
    "SELECT FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND datname <> current_database()"
)


async def no_others(database: Database) -> None:
    """Wait for the transactions of other databases of the cluster: they hold back the feed too."""
    async with database.connection() as connection, asyncio.timeout(30):
        while await (await connection.execute(_OTHERS)).fetchone() is not None:
            await connection.execute("SELECT pg_sleep(0.01)")
