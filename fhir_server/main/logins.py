"""The logins of the embedded PostgreSQL: who owns what is stored, and who serves it.

The superuser that `initdb` makes passes every row policy, so that nothing but this module works
as it. Who migrates owns the tables; who serves owns nothing, inherits nothing, and cannot take a
policy away. They come in by a socket that only the server's account may open, without passwords.

https://www.postgresql.org/docs/18/ddl-rowsecurity.html
"""

from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fhir_server import second_wall
from fhir_server.audit import tables as audit
from fhir_server.config import Settings
from fhir_server.main.refused import Refused
from fhir_server.tenancy.roles import LOGIN as TENANTS
from fhir_server.tenancy.tables import SCHEMA as TENANCY
from terminology.postgres.tables import SCHEMA as TERMINOLOGY

OWNER: Final = "sangam_owner"
SERVER: Final = "sangam_server"
SERVING: Final = (SERVER, TENANTS)

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
_BELONGS: Final = "SELECT WHERE pg_has_role(%s, %s, 'MEMBER')"

_TENANT_ROLES: Final = f"""
SELECT r.rolname FROM {TENANCY}.tenant AS t JOIN pg_roles AS r ON r.rolname = t.role
WHERE NOT EXISTS (SELECT FROM pg_auth_members AS m WHERE m.roleid = r.oid
                  AND m.member = to_regrole('{OWNER}') AND m.admin_option)
"""

APPENDED: Final = (
    *(audit.audit_record.name, *audit.PARTITIONS),
    *(audit.audit_link.name, audit.erased.name),
)
"""Tables to which who serves adds rows, and in which he changes none."""

_WRITABLE: Final = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND c.relname <> 'alembic_version' AND c.relname <> ALL (%s)
  AND NOT has_table_privilege(%s, c.oid, 'DELETE')
"""
_APPENDABLE: Final = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (%s)
  AND NOT has_table_privilege(%s, c.oid, 'INSERT')
"""
# What versions before gave.
_EMPTIABLE: Final = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND has_table_privilege(%s, c.oid, 'TRUNCATE')
"""
_CHANGEABLE: Final = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (%s)
  AND has_table_privilege(%s, c.oid, 'UPDATE, DELETE')
"""
_COUNTING: Final = """
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND CASE c.relkind
    WHEN 'S' THEN NOT has_sequence_privilege(%s, c.oid, 'UPDATE') ELSE false END
"""


# The role of a tenant owns what it serves; its sessions could else take triggers and policies away.
_DEFINITIONS: Final = "sangam_definitions"
_REFUSE: Final = f"""
CREATE OR REPLACE FUNCTION {_DEFINITIONS}() RETURNS event_trigger LANGUAGE plpgsql
  SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF session_user IN ('{SERVER}', '{TENANTS}') THEN
        RAISE EXCEPTION 'who serves defines nothing' USING ERRCODE = '42501';
    END IF;
END
$$;
CREATE EVENT TRIGGER {_DEFINITIONS} ON ddl_command_start EXECUTE FUNCTION {_DEFINITIONS}()
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
        if not _is_any(connection, "SELECT FROM pg_event_trigger WHERE evtname = %s", _DEFINITIONS):
            connection.execute(_REFUSE)
        _own(connection)
    return make_conninfo(conninfo, user=OWNER)


def serving(settings: Settings, conninfo: str) -> str:
    """Return by which conninfo the migrated database is served, which may do so from now on.

    `conninfo` is the owner's. A database that is not ours is served by the login that it is
    reached by, unless the settings name one for it: Refused where that is the owner's.
    """
    if settings.database_url and not settings.serving_url:
        return conninfo
    serves = settings.serving_url or make_conninfo(conninfo, user=SERVER)
    with psycopg.connect(conninfo) as connection, psycopg.connect(serves) as served:
        login = served.info.user
        if login == connection.info.user:
            raise Refused("serving_url is to name another login than database_url, which owns")
        if not _is_any(connection, _BELONGS, login, second_wall.READER):
            # Where it may not, there is no second wall, and main/walls.py says so.
            with suppress(errors.InsufficientPrivilege), connection.transaction():
                second_wall.let(connection, second_wall.READER, login)
        _let(connection, login)
    return serves


def keeper(settings: Settings, conninfo: str) -> str:
    """Return by which conninfo the owner lets go of what was audited, where `conninfo` serves.

    A tenant's has the tenant's role and schema, as that which serves it.
    """
    said = conninfo_to_dict(conninfo)
    if settings.database_url:
        options = said.get("options")
        own = {"options": options} if options else {}
        return make_conninfo(settings.database_url, **own)
    return make_conninfo(conninfo, user=OWNER) if said.get("user") in SERVING else conninfo


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


def _let(connection: Connection, login: str) -> None:
    """Let who serves read and write rows, and count; no more."""
    for schema in ("public", TERMINOLOGY, TENANCY):
        connection.execute(_named("GRANT USAGE ON SCHEMA {} TO {}", schema, login))
    for schema in (TERMINOLOGY, TENANCY):
        connection.execute(_named("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}", schema, login))
    connection.execute(_named("GRANT SELECT ON alembic_version TO {}", login))
    appended = list(APPENDED)
    for statement, tables, values in (
        ("REVOKE TRUNCATE ON TABLE {} FROM {}", _EMPTIABLE, (login,)),
        ("REVOKE UPDATE, DELETE ON TABLE {} FROM {}", _CHANGEABLE, (appended, login)),
        ("GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE {} TO {}", _WRITABLE, (appended, login)),
        ("GRANT SELECT, INSERT ON TABLE {} TO {}", _APPENDABLE, (appended, login)),
        ("GRANT USAGE, SELECT, UPDATE ON SEQUENCE {} TO {}", _COUNTING, (login,)),
    ):
        named = [sql.Identifier(row[0]) for row in connection.execute(tables, values).fetchall()]
        if named:
            said = sql.SQL(statement).format(sql.SQL(", ").join(named), sql.Identifier(login))
            connection.execute(said)


def _is_any(connection: Connection, statement: str, *values: str) -> bool:
    return connection.execute(statement, values).fetchone() is not None


def _named(statement: str, *names: str) -> sql.Composed:
    return sql.SQL(statement).format(*map(sql.Identifier, names))
