"""Closure tables: the concepts that a client has named, and how they stand to one another."""

from collections.abc import Sequence
from dataclasses import dataclass

from fhir_server.database import Connection


@dataclass(frozen=True, slots=True)
class Concept:
    """A code; `version` is that of its system, empty where none was named."""

    system: str
    version: str
    code: str


@dataclass(frozen=True, slots=True)
class Entry:
    """How a code stands to another of its system; `target` is None for an unknown code."""

    concept: Concept
    target: str | None
    equivalence: str


@dataclass(frozen=True, slots=True)
class Closure:
    """A closure table by its id, and its present version."""

    id: int
    version: int


async def begin(connection: Connection, name: str) -> Closure:
    """Make the table, or empty the one there is; its version grows."""
    cursor = await connection.execute(
        "INSERT INTO closure_table (name) VALUES (%s)"
        " ON CONFLICT (name) DO UPDATE SET version = closure_table.version + 1"
        " RETURNING id, version",
        (name,),
    )
    row = await cursor.fetchone()
    assert row is not None
    for statement in (
        "DELETE FROM closure_concept WHERE closure = %s",
        "DELETE FROM closure_entry WHERE closure = %s",
    ):
        await connection.execute(statement, (row[0],))
    return Closure(*row)


async def locked(connection: Connection, name: str) -> Closure | None:
    """Return a table, which nobody else changes before the transaction ends; None: no such."""
    cursor = await connection.execute(
        "SELECT id, version FROM closure_table WHERE name = %s FOR UPDATE", (name,)
    )
    row = await cursor.fetchone()
    return None if row is None else Closure(*row)


async def concepts(connection: Connection, closure: Closure) -> list[Concept]:
    """Return the concepts of a table."""
    cursor = await connection.execute(
        "SELECT system, system_version, code FROM closure_concept WHERE closure = %s",
        (closure.id,),
    )
    return [Concept(*row) for row in await cursor.fetchall()]


async def add(
    connection: Connection, closure: Closure, added: Sequence[Concept], entries: Sequence[Entry]
) -> Closure:
    """Add new concepts with what that tells, in a new version; the table is locked."""
    cursor = await connection.execute(
        "UPDATE closure_table SET version = version + 1 WHERE id = %s RETURNING id, version",
        (closure.id,),
    )
    row = await cursor.fetchone()
    assert row is not None
    changed = Closure(*row)
    await connection.execute(
        "INSERT INTO closure_concept (closure, system, system_version, code)"
        " SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::text[])",
        (changed.id, *_columns(added)),
    )
    targets = [one.target for one in entries], [one.equivalence for one in entries]
    await connection.execute(
        "INSERT INTO closure_entry"
        " (closure, version, system, system_version, code, target, equivalence)"
        " SELECT %s, %s, *"
        " FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[])",
        (changed.id, changed.version, *_columns([one.concept for one in entries]), *targets),
    )
    return changed


async def entries_since(connection: Connection, closure: Closure, version: int) -> list[Entry]:
    """Return what was told of a table after a version."""
    cursor = await connection.execute(
        "SELECT system, system_version, code, target, equivalence FROM closure_entry"
        " WHERE closure = %s AND version > %s"
        " ORDER BY version, system, system_version, code, target",
        (closure.id, version),
    )
    return [Entry(Concept(*row[:3]), *row[3:]) for row in await cursor.fetchall()]


def _columns(found: Sequence[Concept]) -> tuple[list[str], list[str], list[str]]:
    return (
        [one.system for one in found],
        [one.version for one in found],
        [one.code for one in found],
    )
