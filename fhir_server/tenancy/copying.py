"""The rows of a tenant as they leave one PostgreSQL and come into another.

Every table of its schema goes, but for what belongs to where it was: sessions, tokens and keys.
Rows are in the text form of COPY. Transaction ids mean nothing in another PostgreSQL, so that
what is ordered by them leaves in that order, all of one transaction.

https://www.postgresql.org/docs/current/sql-copy.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, BinaryIO, Final

import msgspec
import psycopg
from psycopg import sql

from fhir_server.errors import BadRequest

LEFT: Final = frozenset(
    (
        "alembic_version",
        "data_key",
        "data_key_rotation",
        "access_change",
        "identity_signing_key",
        "identity_session",
        "identity_grant",
        "identity_code",
        "identity_refresh",
        "identity_issued",
        "identity_launch",
        "identity_assertion",
        "identity_challenge",
        "request_rate",
    )
)
"""Tables that stay: keys are made anew, and nobody is logged in where he did not log in."""

_OLDEST: Final = "'1'::xid8"
_NUMBERED: Final = {
    "feed_xid": _OLDEST,
    "position": "row_number() OVER (ORDER BY t.feed_xid, t.position)",
}
_PLACE: Final = """
CASE t.name WHEN 'audit' THEN (
    SELECT count(*) FROM audit_record AS a
    WHERE (a.feed_xid, a.position) <= (t.feed_xid, t.position)
) ELSE (
    SELECT count(*) FROM change AS c WHERE (c.feed_xid, c.position) <= (t.feed_xid, t.position)
) END
"""

CHANGED: Final[Mapping[str, Mapping[str, str | None]]] = {
    "change": _NUMBERED,
    # Its slot is the day on which it is written: that of the import.
    "audit_record": {**_NUMBERED, "slot": None},
    "feed_reader": {"feed_xid": _OLDEST, "position": _PLACE},
    "resource": {"feed_xid": _OLDEST},
    "coding": {"since": _OLDEST},
    # The worker that has it lives elsewhere; another takes it up.
    "job": {"worker": "NULL", "published_at": "NULL"},
}
"""Columns that leave otherwise than they are, as SQL of the row `t`; None: not at all."""

# Rows of partitions are their table's; what is generated is generated again.
TABLES: Final = """
SELECT c.relname::text, array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema)
  AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
GROUP BY 1 ORDER BY 1
"""
"""The tables of the present schema, with their columns."""

_NEEDED: Final = """
SELECT c.conrelid::regclass::text, c.confrelid::regclass::text FROM pg_constraint AS c
WHERE c.contype = 'f' AND c.conrelid <> c.confrelid
  AND c.connamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema)
"""
SEQUENCES: Final = """
SELECT sequencename::text, last_value FROM pg_sequences WHERE schemaname = current_schema
"""
"""The sequences of the present schema, with the last number of each, NULL for none."""

REVISION: Final = "SELECT version_num FROM alembic_version"
"""The revision of the present schema."""

# COPY refuses a table whose policies hold for who copies (second_wall.py); an owner's
# transaction puts them aside where it may see no one's rows but its own.
_FORCED: Final = """
SELECT c.relname::text FROM pg_class AS c
WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema)
  AND c.relforcerowsecurity
"""
_LARGE: Final = "SELECT pg_relation_size(to_regclass(quote_ident(%s))) > 1 << 20"
_COUNTED: Final = """
SELECT setval(s.oid, greatest(%(last)s, coalesce(pg_sequence_last_value(s.oid), 0)))
FROM (SELECT quote_ident(%(name)s)::regclass AS oid) AS s
"""
_PIECE: Final = 1 << 18

Connection = psycopg.Connection[tuple[Any, ...]]


class Tables(msgspec.Struct):
    """What an export says of its rows: their schema's revision, tables, columns, sequences."""

    revision: str
    tables: dict[str, list[str]]
    sequences: dict[str, int]


@dataclass(frozen=True, slots=True)
class Leaving:
    """A table on its way out: its name, the columns that go, the statement that copies them."""

    name: str
    columns: Sequence[str]
    statement: sql.Composed


def leaving(found: Sequence[tuple[str, list[str]]]) -> list[Leaving]:
    """Return the tables that go, of rows of `TABLES`."""
    return [_leaving(name, columns) for name, columns in found if name not in LEFT]


def _leaving(name: str, columns: Sequence[str]) -> Leaving:
    changed = CHANGED.get(name, {})
    going = [one for one in columns if changed.get(one, "") is not None]
    said = [_said(one, changed.get(one)) for one in going]
    query = sql.SQL("COPY (SELECT {} FROM {} AS t) TO STDOUT")
    return Leaving(name, going, query.format(sql.SQL(", ").join(said), sql.Identifier(name)))


def _said(column: str, changed: str | None) -> sql.Composable:
    # What stands there instead is of this module, never of the database.
    return sql.Identifier("t", column) if changed is None else sql.SQL(changed)


def check(connection: Connection, said: Tables) -> None:
    """Raise BadRequest unless tables and columns are those of the present schema."""
    there = {one.name: list(one.columns) for one in leaving(connection.execute(TABLES).fetchall())}
    if {name: sorted(columns) for name, columns in said.tables.items()} != {
        name: sorted(columns) for name, columns in there.items()
    }:
        raise BadRequest("The tables of the export are not those of its revision")
    sequences = {name for name, _ in connection.execute(SEQUENCES).fetchall()}
    if not said.sequences.keys() <= sequences:
        raise BadRequest("The sequences of the export are not those of its revision")


def in_order(connection: Connection, said: Tables) -> list[str]:
    """Return the tables, each after those that its rows refer to."""
    needed: dict[str, set[str]] = {name: set() for name in said.tables}
    for name, other in connection.execute(_NEEDED).fetchall():
        if name in needed and other in needed:
            needed[name].add(other)
    return list(TopologicalSorter(needed).static_order())


def unforced(connection: Connection) -> list[str]:
    """Put row policies aside in this transaction, and return of which tables.

    The connection is the owner's; nobody else sees the tables until `forced`.
    """
    found = [name for (name,) in connection.execute(_FORCED).fetchall()]
    for name in found:
        connection.execute(_altered(name, "NO FORCE"))
    return found


def forced(connection: Connection, tables: Sequence[str]) -> None:
    """Put row policies in force again."""
    for name in tables:
        connection.execute(_altered(name, "FORCE"))


def _altered(name: str, how: str) -> sql.Composed:
    text = {
        "FORCE": sql.SQL("ALTER TABLE {} FORCE ROW LEVEL SECURITY"),
        "NO FORCE": sql.SQL("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY"),
    }[how]
    return text.format(sql.Identifier(name))


def fill(connection: Connection, name: str, columns: Sequence[str], rows: BinaryIO) -> None:
    """Copy rows into an empty table; BadRequest when PostgreSQL does not take them.

    Its own words could quote a record, so they are left out.
    """
    said = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(name), said)
    try:
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            while piece := rows.read(_PIECE):
                copy.write(piece)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        kind = type(error).__name__
        raise BadRequest(f"The rows of {name} cannot be brought back ({kind})") from None


def analyse(connection: Connection, said: Tables) -> None:
    """Let PostgreSQL learn what is in the larger tables, before anybody asks of them."""
    for name in said.tables:
        row = connection.execute(_LARGE, (name,)).fetchone()
        if row and row[0]:
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(name)))


def count(connection: Connection, said: Tables) -> None:
    """Let the sequences go on where they were, or further: rows had triggers make others."""
    for name, last in said.sequences.items():
        connection.execute(_COUNTED, {"name": name, "last": last})
