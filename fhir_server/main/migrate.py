"""The database's schema, brought to what this version of Sangam declares.

https://alembic.sqlalchemy.org/
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from alembic import command
from alembic.autogenerate import comparators, compare_metadata
from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations.ops import ExecuteSQLOp, UpgradeOps
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, create_engine, inspect, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSequence

from adapters.dicom import tables as dicom
from adapters.hl7 import tables as hl7
from fhir_server import second_wall, tables
from fhir_server.access import tables as access
from fhir_server.at_rest import tables as at_rest
from fhir_server.audit import tables as audit
from fhir_server.identity import tables as identity
from fhir_server.main.postgres import connect
from fhir_server.main.schema import LOCK, SCRIPTS
from fhir_server.tenancy import tables as tenancy
from terminology.postgres import tables as terminology

SEQUENCES = (tables.process_node, audit.audit_position)
SCHEMAS = {None, terminology.SCHEMA, tenancy.SCHEMA}
_PARTITION = re.compile(r"_\d+$")

ischema_names["xid8"] = tables.Xid8


def _is_ours(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
    """Leave out foreign schemas, and the partitions of tables that are declared as one."""
    if kind == "schema":
        return name in SCHEMAS
    if kind == "table" and name in audit.PARTITIONS:
        return False
    return kind != "table" or parents["schema_name"] is None or not _PARTITION.search(name or "")


COMPARE: Mapping[str, Any] = {
    "compare_type": True,
    "compare_server_default": True,
    "include_schemas": True,
    "include_name": _is_ours,
}


def declared() -> MetaData:
    """Return every table that this version declares, the core's and the adapters'."""
    whole = MetaData(naming_convention=tables.metadata.naming_convention)
    parts = (
        tables.metadata,
        access.metadata,
        at_rest.metadata,
        audit.metadata,
        hl7.metadata,
        dicom.metadata,
        identity.metadata,
        terminology.metadata,
        tenancy.metadata,
    )
    for part in parts:
        for table in part.tables.values():
            table.to_metadata(whole)
    return whole


def migrate(conninfo: str, revision: str = "head", *, tenant: bool = False) -> None:
    """Run the migrations that are missing up to a revision, all in one transaction.

    Other processes that start at the same time wait for the lock and then find
    nothing to do. A `tenant` has tables in its own schema, and none of those that all share.
    """
    with _connected(conninfo) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        config = _config(connection)
        config.attributes["tenant"] = tenant
        command.upgrade(config, revision)
        if revision == "head":
            driver: Any = connection.connection.driver_connection
            second_wall.stand(driver)


def is_current(conninfo: str) -> bool:
    """Say whether the database is at the newest revision."""
    newest = ScriptDirectory(str(SCRIPTS)).get_heads()
    with _connected(conninfo) as connection:
        return set(MigrationContext.configure(connection).get_current_heads()) == set(newest)


def knows(revision: str) -> bool:
    """Say whether a revision is one of this version's; CommandError for what is none at all."""
    scripts = ScriptDirectory(str(SCRIPTS))
    return any(one.revision == revision for one in scripts.walk_revisions())


def differences(conninfo: str) -> list[Any]:
    """Return what `compare_metadata` finds between the database and the declared tables."""
    with _connected(conninfo) as connection:
        found = MigrationContext.configure(connection, opts=dict(COMPARE))
        return list(compare_metadata(found, declared()))


def write_revision(conninfo: str, message: str, number: str) -> None:
    """Write the Alembic script that leads from the database's schema to the declared one."""
    with _connected(conninfo) as connection:
        command.revision(_config(connection), message=message, autogenerate=True, rev_id=number)


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(SCRIPTS))
    return config


@contextmanager
def _connected(conninfo: str) -> Iterator[Connection]:
    """Lend a connection in one transaction, committed at the end."""
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: connect(conninfo), poolclass=NullPool
    )
    with engine.begin() as connection:
        yield connection


def render_item(kind: str, item: object, context: AutogenContext) -> str | Literal[False]:
    """Write our own column type into a script; False leaves it to Alembic."""
    if kind == "type" and isinstance(item, tables.Xid8):
        context.imports.add("from fhir_server.tables import Xid8")
        return "Xid8()"
    return False


class _NewSequence(ExecuteSQLOp):
    """CREATE SEQUENCE as a difference that Alembic can show and undo."""

    def reverse(self) -> ExecuteSQLOp:
        return ExecuteSQLOp(" ".join(["DROP", *str(self.sqltext).split()[1:3]]))

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return ("add_sequence", str(self.sqltext))


@comparators.dispatch_for("schema")
def _compare_sequences(context: AutogenContext, changes: UpgradeOps, _: object) -> None:
    """Add the sequences that are declared and absent, which Alembic does not look for."""
    if context.connection is None:
        return
    present = set(inspect(context.connection).get_sequence_names())
    for sequence in SEQUENCES:
        if sequence.name not in present:
            statement = str(CreateSequence(sequence).compile(context.connection))
            changes.ops.append(_NewSequence(statement))
