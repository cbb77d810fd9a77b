"""The second wall: row policies on the texts of resources.

Searches find keys and hashes; what a restricted caller is shown lies in `body` and is fetched
by key. Sessions of such callers are in the role of a reader, who may read what searches need,
and of `body` what the session was told that the caller may reach: a clause that the first wall
forgot (fhir_server/access) shows nothing. Told nothing, a session fetches nothing.

https://www.postgresql.org/docs/current/ddl-rowsecurity.html
"""

import logging
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import errors, sql

from fhir_server import tables

READER: Final = "sangam_reader"
"""The role of restricted sessions of the installation itself."""

READABLE: Final = (
    tables.resource.name,
    tables.body.name,
    tables.change.name,
    tables.terms.name,
    tables.edge.name,
    tables.business_key.name,
    tables.coding.name,
    tables.search_coverage.name,
    *sorted(name for name in tables.metadata.tables if name.startswith("idx_")),
    tables.consent.name,
    tables.consent_node.name,
    tables.consent_part.name,
)
"""What a reader may read; of bodies what the policy lets through."""

# What it asks is in its name: another text needs another name.
POLICY: Final = "second_wall_3"

# Settings are read once for each statement, in sub-selects of their own. Types are looked at
# first, which is all there is to most callers, and in the text: to read it as an array of a
# hundred numbers takes longer than to fetch a body. A body of a version that is not the present one
# goes with its resource. Who may write texts is no reader, but may inherit from one: a login with
# INHERIT that was granted it by hand, or on PostgreSQL 15; then the policy is looked at for it too.
_REACHED: Final = """
(SELECT has_table_privilege('body'::regclass, 'INSERT')) OR EXISTS (
    SELECT FROM resource r WHERE r.key = body.key
    AND (strpos((SELECT translate(current_setting('sangam.free', true), '{{}}', ',,')),
                ',' || r.type_id || ',') > 0
         OR r.type_id || '/' || r.id
            = ANY ((SELECT nullif(current_setting('sangam.roots', true), '')::text[])::text[]))
) OR EXISTS (
    SELECT FROM terms t WHERE t.key = body.key
    AND t.type_id = ANY ((SELECT nullif(current_setting('sangam.bound', true), '')::smallint[])
                         ::smallint[])
    AND t.terms && (SELECT nullif(current_setting('sangam.keys', true), '')::bigint[])
)
"""

_OURS: Final = f"""
CASE current_schema WHEN 'public' THEN '{READER}' ELSE current_schema || '_reader' END
"""

# From PostgreSQL 16 on, to be a member and to become the role are two things.
_MAY_BECOME: Final = """
pg_has_role(session_user, r.oid,
            CASE WHEN current_setting('server_version_num')::int >= 160000
                 THEN 'SET' ELSE 'MEMBER' END)
"""

STANDS: Final = f"""
SELECT r.rolname, current_setting('role') FROM pg_roles AS r
WHERE r.rolname = {_OURS} AND NOT r.rolsuper AND NOT r.rolbypassrls AND {_MAY_BECOME}
  AND EXISTS (SELECT FROM pg_class AS c JOIN pg_policy AS p ON p.polrelid = c.oid
              WHERE c.oid = to_regclass('body') AND c.relrowsecurity AND c.relforcerowsecurity
                AND p.polname = '{POLICY}' AND NOT p.polpermissive AND p.polroles = ARRAY[r.oid])
"""
"""The reader of the present schema and the present role, no row where the wall does not stand."""

MISSING: Final = f"""
SELECT EXISTS (SELECT FROM pg_roles AS r
               WHERE r.rolname = {_OURS} AND NOT r.rolsuper AND NOT r.rolbypassrls),
       EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = {_OURS} AND {_MAY_BECOME}),
       false
"""
"""Whether there is a reader, and whether the session may become it; the policy is told last."""

TELL: Final = """
SELECT set_config('sangam.free', %s, false), set_config('sangam.bound', %s, false),
       set_config('sangam.keys', %s, false), set_config('sangam.roots', %s, false)
"""
"""Tells a session what it may reach."""

ENTER: Final = """
SELECT set_config('sangam.free', %s, true), set_config('sangam.bound', %s, true),
       set_config('sangam.keys', %s, true), set_config('sangam.roots', %s, true),
       set_config('role', %s, true)
"""
"""Tells a transaction the same, and lets it become the reader."""

LEAVE: Final = "SELECT set_config('role', %s, true)"
"""Lets a transaction become again who it was."""

Connection = psycopg.Connection[tuple[Any, ...]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reach:
    """Which bodies a restricted caller may fetch, each part the text of an array.

    Of the types `free` all; of those `bound` what has one of the terms `keys`; and `roots`,
    as `type id/id`.
    """

    free: str
    bound: str = "{}"
    keys: str = "{}"
    roots: str = "{}"

    @property
    def said(self) -> tuple[str, str, str, str]:
        """Return the values of `TELL` and `ENTER`."""
        return (self.free, self.bound, self.keys, self.roots)


def reader_of(schema: str) -> str:
    """Return the reader of a schema."""
    return READER if schema == "public" else f"{schema}_reader"


def stand(connection: Connection) -> bool:
    """Make what is missing of the second wall of the present schema; return whether it stands.

    In the caller's transaction. Its role owns the tables; where there is no reader and it may
    not make roles, there is no wall.
    """
    with connection.transaction():
        reader = reader_of(_one(connection, "SELECT current_schema"))
        if not _made(connection, reader):
            log.warning("there is no second wall: the database's role may not make %s", reader)
            return False
        # First the policy: until then the reader may read nothing.
        _policy(connection, reader)
        _grants(connection, reader)
    return connection.execute(STANDS).fetchone() is not None


def _made(connection: Connection, reader: str) -> bool:
    """Return whether there is a reader that the session may become, made now if need be."""
    try:
        with connection.transaction():
            if not _one(connection, "SELECT to_regrole(quote_ident(%s)) IS NOT NULL", reader):
                connection.execute(_named("CREATE ROLE {} NOLOGIN NOINHERIT", reader))
    except (errors.DuplicateObject, errors.UniqueViolation):
        pass  # by another database of the cluster, at this moment
    except errors.InsufficientPrivilege:
        return False
    may = f"SELECT {_MAY_BECOME} FROM pg_roles AS r WHERE r.rolname = %s"
    if _one(connection, may, reader):
        return True
    try:
        with connection.transaction():
            let(connection, reader, _one(connection, "SELECT session_user"))
    except errors.InsufficientPrivilege:
        return False
    return True


def let(connection: Connection, role: str, member: str) -> None:
    """Let a role become another by SET ROLE, and inherit nothing of it (from PostgreSQL 16 on)."""
    # A role inherits from one that it was granted only where that was said (PostgreSQL 16).
    said = connection.info.server_version >= 160_000  # noqa: PLR2004
    how = " WITH INHERIT FALSE, SET TRUE" if said else ""
    connection.execute(_named("GRANT {} TO {}" + how, role, member))


def _policy(connection: Connection, reader: str) -> None:
    query = """
        SELECT polname::text, polroles = ARRAY[to_regrole(quote_ident(%s))::oid] FROM pg_policy
        WHERE polrelid = to_regclass('body') AND NOT polpermissive
    """
    found = connection.execute(query, (reader,)).fetchall()
    if found == [(POLICY, True)]:
        return
    for name, _ in found:
        connection.execute(_named("DROP POLICY {} ON body", name))
    statement = f"CREATE POLICY {{}} ON body AS RESTRICTIVE TO {{}} USING ({_REACHED})"
    connection.execute(_named(statement, POLICY, reader))


def _grants(connection: Connection, reader: str) -> None:
    schema = _one(connection, "SELECT current_schema")
    usage = "SELECT has_schema_privilege(%s, current_schema, 'USAGE')"
    if not _one(connection, usage, reader):
        connection.execute(_named("GRANT USAGE ON SCHEMA {} TO {}", schema, reader))
    query = """
        SELECT name FROM unnest(%s::text[]) AS t(name)
        WHERE NOT has_table_privilege(%s, to_regclass(name)::oid, 'SELECT')
    """
    for (name,) in connection.execute(query, (list(READABLE), reader)).fetchall():
        connection.execute(_named("GRANT SELECT ON {} TO {}", name, reader))


def _one(connection: Connection, query: str, *values: object) -> Any:  # noqa: ANN401  (one value)
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return row[0]


def _named(statement: str, *names: str) -> sql.Composed:
    return sql.SQL(statement).format(*map(sql.Identifier, names))
