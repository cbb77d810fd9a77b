"""The PostgreSQL clusters of a run."""

import asyncio
import os
import subprocess
from pathlib import Path

from filelock import FileLock

from fhir_server.database import Database
from fhir_server.main import logins, postgres
from fhir_server.main.migrate import migrate

QUICK = {
    **postgres.SETTINGS,
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "logging_collector": "off",
}

_OTHERS = (
    "SELECT FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND datname <> current_database()"
)


def lay(place: Path) -> None:
    """Copy to `place` the cluster that was made and migrated once for the run."""
    made = Path(os.environ["SANGAM_TEST_RUN"]) / "cluster"
    with FileLock(made.with_suffix(".lock")):
        if not (made / "PG_VERSION").exists():
            new = made.with_suffix(".new")
            uri = postgres.ensure_database(postgres.start(new, QUICK), postgres.DATABASE)
            migrate(logins.settle(uri))
            postgres.stop(new)
            new.rename(made)
    # As it is, owners too.
    subprocess.run(["cp", "-a", made, place], check=True)


async def no_others(database: Database) -> None:
    """Wait for the transactions of other databases of a cluster that workers share.

    They hold back the feed too.
    """
    async with database.connection() as connection, asyncio.timeout(30):
        while await (await connection.execute(_OTHERS)).fetchone() is not None:
            await connection.execute("SELECT pg_sleep(0.01)")
