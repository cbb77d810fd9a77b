"""A tenant as the installation knows it, and the rows it is kept in."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import psycopg
from psycopg.types.json import Jsonb

from fhir_server.bases import DEFAULT, NAME
from fhir_server.errors import BadRequest, Conflict, NotFound

State = Literal["creating", "importing", "active", "suspended", "erasing"]

_NAME: Final = re.compile(NAME)
_COLUMNS: Final = (
    "name, schema, role, state, settings, max_resources, max_bytes, changed_at, former"
)

LIST: Final = f"SELECT {_COLUMNS} FROM tenancy.tenant ORDER BY name"
"""The statement that reads all tenants; `of_row` makes one of each row."""

_ADD: Final = """
INSERT INTO tenancy.tenant
    (name, schema, role, state, settings, max_resources, max_bytes, former)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_STATE: Final = """
UPDATE tenancy.tenant SET state = %s, changed_at = clock_timestamp()
WHERE name = %s AND state = ANY(%s)
"""
_CHANGE: Final = """
UPDATE tenancy.tenant
SET settings = %s, max_resources = %s, max_bytes = %s, changed_at = clock_timestamp()
WHERE name = %s
"""
_REMOVE: Final = "DELETE FROM tenancy.tenant WHERE name = %s"

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant: its name, the schema and the role that it is in PostgreSQL, and its state.

    `settings` are those that differ from the installation's; at most `max_resources`
    resources and `max_bytes` bytes, where they are given. `former` are base URLs that it had
    elsewhere: references that begin with one are still its own.
    """

    name: str
    schema: str
    role: str
    state: State = "creating"
    settings: Mapping[str, Any] = field(default_factory=dict)
    max_resources: int | None = None
    max_bytes: int | None = None
    changed_at: datetime | None = None
    former: Sequence[str] = ()


def new(
    name: str,
    settings: Mapping[str, Any] | None = None,
    *,
    max_resources: int | None = None,
    max_bytes: int | None = None,
) -> Tenant:
    """Return a tenant to be made; BadRequest when it cannot be called so.

    Roles belong to all databases of a PostgreSQL, so that the name alone would not do.
    """
    if not _NAME.fullmatch(name) or name == DEFAULT:
        raise BadRequest(
            "A tenant's name has 1 to 40 small letters, digits and hyphens, begins with a "
            f"letter and is not `{DEFAULT}`"
        )
    schema = f"t_{name.replace('-', '_')}_{secrets.token_hex(4)}"
    return Tenant(name, schema, schema, "creating", settings or {}, max_resources, max_bytes)


def of_row(row: Sequence[Any]) -> Tenant:
    """Return the tenant of a row of `LIST`."""
    return Tenant(*row)


def listed(connection: Connection) -> list[Tenant]:
    """Return all tenants by name."""
    return [of_row(row) for row in connection.execute(LIST).fetchall()]


def named(connection: Connection, name: str) -> Tenant:
    """Return the tenant of this name; NotFound when there is none."""
    for one in listed(connection):
        if one.name == name:
            return one
    raise NotFound(f"There is no tenant {name}")


def add(connection: Connection, tenant: Tenant) -> None:
    """Note a tenant that is being made or imported; Conflict when there is one of its name."""
    said = (tenant.name, tenant.schema, tenant.role, tenant.state, Jsonb(dict(tenant.settings)))
    limits = (tenant.max_resources, tenant.max_bytes)
    if not connection.execute(_ADD, (*said, *limits, list(tenant.former))).rowcount:
        raise Conflict(f"There is a tenant {tenant.name} already")


def enter(connection: Connection, name: str, state: State, before: Sequence[State]) -> None:
    """Bring a tenant from one of the states `before` into another; Conflict from others."""
    if not connection.execute(_STATE, (state, name, list(before))).rowcount:
        present = named(connection, name).state
        raise Conflict(f"The tenant {name} is {present}, and cannot become {state}")


def change(connection: Connection, tenant: Tenant) -> None:
    """Write settings and quotas of a tenant; servers follow within seconds."""
    values = (Jsonb(dict(tenant.settings)), tenant.max_resources, tenant.max_bytes, tenant.name)
    connection.execute(_CHANGE, values)


def remove(connection: Connection, name: str) -> None:
    """Forget a tenant of which nothing is left."""
    connection.execute(_REMOVE, (name,))
