"""`sangam migrate`: the database's tables brought to this version."""

from rich.console import Console

from fhir_server.main import migrate as migrations
from fhir_server.main.databases import database_of
from fhir_server.main.options import DatabaseUrl, DataDir, given
from fhir_server.main.tenants import migrate_all


def migrate(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database's tables to this version; `serve` does so by itself."""
    settings = given(data_dir=data_dir, database_url=database_url)
    with database_of(settings) as conninfo:
        current = migrations.is_current(conninfo)
        migrations.migrate(conninfo)
        migrate_all(settings, conninfo)
    Console(markup=False).print(
        "The database is current." if current else "The database was migrated."
    )
