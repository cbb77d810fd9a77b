"""The roles that are in force: those that Sangam ships, with what the tenant has changed.

A change is a new version; what was in force before stays in the table.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from weakref import WeakKeyDictionary

import msgspec
from psycopg.types.json import Jsonb

from fhir_server.access.role_table import Role, RoleTable, shipped
from fhir_server.database import Connection, Database
from fhir_server.role_settings import RoleSettings
from fhir_server.server import Server

KEPT_SECONDS = 2.0
"""How soon every process knows of a change."""

_LATEST = """
SELECT DISTINCT ON (name) name, version, definition, changed_by, changed_at
FROM role ORDER BY name, version DESC
"""

_CHANGE = """
INSERT INTO role (name, version, definition, changed_by)
SELECT %(name)s, coalesce(max(version), 0) + 1, %(definition)s, %(by)s
FROM role WHERE name = %(name)s
RETURNING version
"""


@dataclass(frozen=True, slots=True)
class Changed:
    """The last change of a role; `role` is None when it is again as it is shipped."""

    name: str
    version: int
    role: Role | None
    by: str
    at: datetime


_kept: "WeakKeyDictionary[Database, tuple[float, RoleTable]]" = WeakKeyDictionary()


def flags(settings: RoleSettings) -> Mapping[str, bool]:
    """Return the settings that take rules away, by name."""
    return {"admin_clinical": settings.admin_clinical}


async def in_force(server: Server) -> RoleTable:
    """Return the roles in force, as they were at most `KEPT_SECONDS` ago.

    The same table as long as nothing was changed.
    """
    kept, now = _kept.get(server.database), time.monotonic()
    if kept is not None and now - kept[0] < KEPT_SECONDS:
        return kept[1]
    async with server.database.connection() as connection:
        found = await table(connection)
    if kept is not None and kept[1] == found:
        found = kept[1]
    _kept[server.database] = (now, found)
    return found


async def table(connection: Connection) -> RoleTable:
    """Return the roles in force now."""
    known = await changed(connection)
    return shipped().replacing({one.name: one.role for one in known if one.role})


async def changed(connection: Connection) -> list[Changed]:
    """Return the last change of each role that was ever changed, by name."""
    cursor = await connection.execute(_LATEST)
    return [
        Changed(name, version, _role(definition), by, at)
        for name, version, definition, by, at in await cursor.fetchall()
    ]


async def change(connection: Connection, name: str, role: Role | None, by: str) -> int:
    """Put a role in force, or with None the one that is shipped; return the change's version."""
    definition = None if role is None else Jsonb(msgspec.to_builtins(role))
    given = {"name": name, "definition": definition, "by": by}
    cursor = await connection.execute(_CHANGE, given)
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


def forget(database: Database) -> None:
    """Read the table anew when it is next asked for, as this process has changed it."""
    _kept.pop(database, None)


def _role(definition: object) -> Role | None:
    return None if definition is None else msgspec.convert(definition, Role)
