"""Schemas and roles of tenants in PostgreSQL.

Who serves a tenant connects as a login that owns nothing and inherits nothing, and is from
the first statement on in the role of the tenant, with its schema as the only one in the
path. That role reads the loaded code systems besides, and nothing else.

https://www.postgresql.org/docs/current/role-membership.html
"""

import logging
from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fhir_server import second_wall
from fhir_server.config import Settings
from fhir_server.tenancy.tenant import Tenant
from terminology.postgres.tables import SCHEMA as TERMINOLOGY

LOGIN: Final = "sangam_tenants"
"""The login of the embedded PostgreSQL by which tenants are served."""

# A role inherits from one that it was granted only where that was said (PostgreSQL 16).
_SAYS_INHERIT: Final = 160_000

Connection = psycopg.Connection[tuple[Any, ...]]

log = logging.getLogger(__name__)


def login(settings: Settings, conninfo: str) -> str:
    """Return by which conninfo tenants of this installation's database are served."""
    if settings.tenants.login_url:
        return settings.tenants.login_url
    if settings.database_url:
        return settings.serving_url or conninfo
    return make_conninfo(conninfo, user=LOGIN)


def as_tenant(conninfo: str, tenant: Tenant) -> str:
    """Return the conninfo by which a session is the tenant's from its first statement on.

    What PostgreSQL is given at the start is also what RESET ROLE and DISCARD ALL lead back to.
    """
    before = conninfo_to_dict(conninfo).get("options") or ""
    options = f"{before} -c role={tenant.role} -c search_path={tenant.schema}".strip()
    return make_conninfo(conninfo, options=options)


def make(connection: Connection, tenant: Tenant, serving: str) -> None:
    """Make role and schema of a tenant, as far as they are not there; in autocommit.

    `serving` is the conninfo of the login that becomes the tenant. The connection's own role
    needs CREATEROLE, CREATE on the database, and to own the schema of code systems.
    """
    with suppress(errors.DuplicateObject):
        connection.execute(_named("CREATE ROLE {} NOLOGIN NOINHERIT", tenant.role))
    _let(connection, tenant.role, sql.SQL("CURRENT_USER"))
    user = _user(serving)
    if user is not None and user != _current(connection):
        _let(connection, tenant.role, sql.Identifier(user))
    make_reader(connection, tenant, serving)
    connection.execute(
        _named("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}", tenant.schema, tenant.role)
    )
    connection.execute(_named("GRANT USAGE ON SCHEMA {} TO {}", TERMINOLOGY, tenant.role))
    connection.execute(
        _named("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}", TERMINOLOGY, tenant.role)
    )


def make_reader(connection: Connection, tenant: Tenant, serving: str) -> None:
    """Make the reader of a tenant, if it is not there, and let who serves the tenant become it.

    Its policy and grants are made by the migration of the tenant's schema. Who may not make
    roles leaves the tenant without a second wall, as `sangam status` says.
    """
    reader = second_wall.reader_of(tenant.schema)
    try:
        if not _exists(connection, reader):
            connection.execute(_named("CREATE ROLE {} NOLOGIN NOINHERIT", reader))
        for user in {_user(serving), _current(connection)} - {None}:
            second_wall.let(connection, reader, str(user))
    except errors.InsufficientPrivilege:
        log.warning("the tenant %s has no second wall: its reader cannot be made", tenant.name)


def make_login(connection: Connection) -> None:
    """Make the login of an embedded PostgreSQL, if it is not there."""
    with suppress(errors.DuplicateObject, errors.UniqueViolation):
        connection.execute(
            _named("CREATE ROLE {} LOGIN NOINHERIT NOSUPERUSER NOCREATEROLE NOBYPASSRLS", LOGIN)
        )


def drop(connection: Connection, tenant: Tenant) -> None:
    """Drop all that the tenant's role owns or may, its schema first, and its roles."""
    if _exists(connection, tenant.role):
        _drop_role(connection, tenant)
    connection.execute(_named("DROP ROLE IF EXISTS {}", second_wall.reader_of(tenant.schema)))


def exists(connection: Connection, tenant: Tenant) -> bool:
    """Return whether there is the role of a tenant, which may have been dropped already."""
    return _exists(connection, tenant.role)


def _drop_role(connection: Connection, tenant: Tenant) -> None:
    connection.execute(_named("SET ROLE {}", tenant.role))
    try:
        connection.execute("DROP OWNED BY CURRENT_USER CASCADE")
    finally:
        connection.execute("RESET ROLE")
    # Who granted takes back.
    connection.execute(
        _named("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}", TERMINOLOGY, tenant.role)
    )
    connection.execute(_named("REVOKE ALL ON SCHEMA {} FROM {}", TERMINOLOGY, tenant.role))
    connection.execute(_named("DROP ROLE {}", tenant.role))


def _let(connection: Connection, role: str, member: sql.Composable) -> None:
    """Let a role become the tenant's by SET ROLE, and inherit nothing of it."""
    how = " WITH INHERIT FALSE, SET TRUE" if _inheritance_is_said(connection) else ""
    statement = sql.SQL("GRANT {} TO {}" + how).format(sql.Identifier(role), member)
    connection.execute(statement)


def _inheritance_is_said(connection: Connection) -> bool:
    return connection.info.server_version >= _SAYS_INHERIT


def _named(statement: str, *names: str) -> sql.Composed:
    return sql.SQL(statement).format(*map(sql.Identifier, names))


def _user(conninfo: str) -> str | None:
    user = conninfo_to_dict(conninfo).get("user")
    return None if user is None else str(user)


def _current(connection: Connection) -> str:
    row = connection.execute("SELECT current_user").fetchone()
    assert row is not None
    return str(row[0])


def _exists(connection: Connection, role: str) -> bool:
    query = "SELECT FROM pg_roles WHERE rolname = %s"
    return connection.execute(query, (role,)).fetchone() is not None
