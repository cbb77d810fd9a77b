"""The logins of the embedded PostgreSQL: who owns what is stored, and who serves it.

The superuser that `initdb` makes passes every row policy, so that nothing but this module works
as it. Who migrates owns the tables; who serves owns nothing, inherits nothing, and cannot take a
policy away. They come in by a socket that only the server's account may open, without passwords.

https://www.postgresql.org/docs/18/ddl-rowsecurity.html
"""

from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from fhir_server import second_wall
from fhir_server.config import Settings
from fhir_server.tenancy.roles import LOGIN as TENANTS
from fhir_server.tenancy.tables import SCHEMA as TENANCY
from terminology.postgres.tables import SCHEMA as TERMINOLOGY

OWNER: Final = "sangam_owner"
SERVER: Final = "sangam_server"

Connection = psycopg.Connection[tuple[Any, ...]]

_ATTRIBUTES: Final = {
    OWNER: "LOGIN CREATEROLE",
    SERVER: "LOGIN NOINHERIT",
    TENANTS: "LOGIN NOINHERIT",
    second_wall.READER: "NOLOGIN NOINHERIT",
}

# What an older version made as the superuser. Sequences of identity columns go with their tables.
_FOREIGN: Final = f"""
WITH ours AS (
    SELECT oid, nspname FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND nspname !~ '^t_'
)
SELECT format('ALTER SCHEMA %I OWNER TO {OWNER}', n.nspname)
FROM ours JOIN pg_namespace AS n USING (oid) WHERE n.nspowner = to_regrole(current_user)
UNION ALL
SELECT format('ALTER TABLE %s OWNER TO {OWNER}', c.oid::regclass)
FROM pg_class AS c JOIN ours ON ours.oid = c.relnamespace
WHERE c.relowner = to_regrole(current_user) AND c.relkind IN ('r', 'p', 'S', 'v')
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass
                  AND d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))
UNION ALL
SELECT format('ALTER ROUTINE %s OWNER TO {OWNER}', p.oid::regprocedure)
FROM pg_proc AS p JOIN ours ON ours.oid = p.pronamespace
WHERE p.proowner = to_regrole(current_user)
"""

_MEMBER: Final = "SELECT WHERE pg_has_role(%s, %s, 'SET')"

_TENANT_ROLES: Final = f"""
SELECT r.rolname FROM {TENANCY}.tenant AS t JOIN pg_roles AS r ON r.rolname = t.role
WHERE NOT EXISTS (SELECT FROM pg_auth_members AS m WHERE m.roleid = r.oid
                  AND m.member = to_regrole('{OWNER}') AND m.admin_option)
"""

_WRITABLE: Final = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND c.relname <> 'alembic_version' AND NOT has_table_privilege(%s, c.oid, 'TRUNCATE')
"""
_COUNTING: Final = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND CASE c.relkind
    WHEN 'S' THEN NOT has_sequence_privilege(%s, c.oid, 'UPDATE') ELSE false END
"""


def settle(conninfo: str) -> str:
    """Make the logins, give the owner what an older version left, and return his conninfo.

    `conninfo` is the superuser's; all or nothing is done, and nothing where it was before.
    """
    with psycopg.connect(conninfo) as connection:
        for name, attributes in _ATTRIBUTES.items():
            if not _is_any(connection, "SELECT FROM pg_roles WHERE rolname = %s", name):
                connection.execute(_named(f"CREATE ROLE {{}} {attributes}", name))
        if not _is_any(connection, _MEMBER, SERVER, second_wall.READER):
            second_wall.let(connection, second_wall.READER, SERVER)
            _administer(connection, second_wall.READER)
        _own(connection)
    return make_conninfo(conninfo, user=OWNER)


def serving(settings: Settings, conninfo: str) -> str:
    """Return by which conninfo the migrated database is served, which may do so from now on.

    `conninfo` is the owner's. A database that is not ours is served by the login that it is
    reached by.
    """
    if settings.database_url:
        return conninfo
    with psycopg.connect(conninfo) as connection:
        _let(connection)
    return make_conninfo(conninfo, user=SERVER)


def _own(connection: Connection) -> None:
    owned = "SELECT FROM pg_database WHERE datname = current_database() AND datdba = %s::regrole"
    if not _is_any(connection, owned, OWNER):
        database = connection.info.dbname
        connection.execute(_named("ALTER DATABASE {} OWNER TO {}", database, OWNER))
    for (statement,) in connection.execute(_FOREIGN).fetchall():
        connection.execute(statement)
    if not _is_any(
        connection, "SELECT FROM pg_class WHERE oid = to_regclass(%s)", f"{TENANCY}.tenant"
    ):
        return
    for (role,) in connection.execute(_TENANT_ROLES).fetchall():
        _administer(connection, role)


def _administer(connection: Connection, role: str) -> None:
    """Let the owner become a role, and let others become it."""
    how = "WITH ADMIN TRUE, INHERIT FALSE, SET TRUE"
    connection.execute(_named(f"GRANT {{}} TO {{}} {how}", role, OWNER))


def _let(connection: Connection) -> None:
    """Let the server read and write rows, and count; no more."""
    for schema in ("public", TERMINOLOGY, TENANCY):
        connection.execute(_named("GRANT USAGE ON SCHEMA {} TO {}", schema, SERVER))
    for schema in (TERMINOLOGY, TENANCY):
        connection.execute(_named("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}", schema, SERVER))
    connection.execute(_named("GRANT SELECT ON alembic_version TO {}", SERVER))
    rights = "SELECT, INSERT, UPDATE, DELETE, TRUNCATE"
    _grant(connection, f"GRANT {rights} ON TABLE {{}} TO {{}}", _WRITABLE)
    _grant(connection, "GRANT USAGE, SELECT, UPDATE ON SEQUENCE {} TO {}", _COUNTING)


def _grant(connection: Connection, statement: str, missing: str) -> None:
    names = [sql.Identifier(name) for (name,) in connection.execute(missing, (SERVER,)).fetchall()]
    if names:
        said = sql.SQL(statement).format(sql.SQL(", ").join(names), sql.Identifier(SERVER))
        connection.execute(said)


def _is_any(connection: Connection, statement: str, *values: str) -> bool:
    return connection.execute(statement, values).fetchone() is not None


def _named(statement: str, *names: str) -> sql.Composed:
    return sql.SQL(statement).format(*map(sql.Identifier, names))
