"""Search parameters of a site: which are in force, and how far their index has come.

A row of `search_coverage` is a version of a parameter on a resource type. Every change
of what is written or searched counts `search_registry` up; a process that works by
another count than the database's has to read the rows again.

https://hl7.org/fhir/R4/searchparameter.html
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from fhir_server.database import OWN, Connection
from fhir_server.search.parameter import Parameter
from fhir_server.search.registry import Custom, Registry
from fhir_server.server import Server

AWAITED = frozenset(("pending", "indexing", "failed"))
"""States of a parameter that is written and not yet searchable."""
DROPPING = "dropping"
"""The state in which its rows are no longer written."""

EVERYTHING = 0
"""Stands for a coverage in the errors of a walk that makes all rows anew."""

# All who change search parameters wait for one another.
_LOCK = 7_261_965


@dataclass(frozen=True, slots=True)
class Coverage:
    """A version of a parameter on a type; `parameter` is the key of its SearchParameter.

    `reindex` is the walk that it is in, or was in last.
    """

    id: int
    parameter: int
    version: int
    state: str
    reindex: int | None
    definition: Parameter


_VERSION = "coalesce((SELECT version FROM search_registry), 0)"

_REFRESH = f"""
SELECT {_VERSION}, CASE WHEN {_VERSION} <> %s THEN (
    SELECT coalesce(jsonb_agg(jsonb_build_array(state, definition) ORDER BY id), '[]')
    FROM search_coverage WHERE state <> '{DROPPING}'
) END
"""

_COVERED = "SELECT id, parameter, version, state, reindex, definition FROM search_coverage"


async def refresh(server: Server, connection: Connection, *, after: float) -> Registry:
    """Return the registry in force, asked for unless it was less than `after` seconds ago."""
    held = server.in_force
    if time.monotonic() - held.checked < after:
        return held.registry
    asked = time.monotonic()
    cursor = await connection.execute(_REFRESH, (held.registry.version,))
    row = await cursor.fetchone()
    assert row is not None
    version, found = row
    # Not an older one: another may have asked later and been answered first.
    if found is not None and version > held.registry.version:
        customs = [_custom(state, _parameter(given)) for state, given in found]
        held.registry = held.registry.having(customs, version)
    held.checked = asked
    return held.registry


def registry(server: Server, covered: Iterable[Coverage], version: int = 0) -> Registry:
    """Return the registry that these rows make."""
    customs = [_custom(one.state, one.definition) for one in covered if one.state != DROPPING]
    return server.registry.having(customs, version)


def _custom(state: str, parameter: Parameter) -> Custom:
    return Custom(parameter, searchable=state == "complete", awaited=state in AWAITED)


def _parameter(given: Any) -> Parameter:  # noqa: ANN401  (JSON)
    return msgspec.convert(given, Parameter)


async def lock(connection: Connection) -> None:
    """Be the only one who changes search parameters, until the transaction ends."""
    await connection.execute(f"SELECT pg_advisory_xact_lock(%s # {OWN})", (_LOCK,))


async def key(connection: Connection, type_id: int, id_: str) -> int | None:
    """Return the key of a SearchParameter (its type's id, its id) that is stored."""
    cursor = await connection.execute(
        "SELECT key FROM resource WHERE type_id = %s AND id = %s AND NOT deleted", (type_id, id_)
    )
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def covered(connection: Connection) -> list[Coverage]:
    """Return all rows, in the order in which they were added."""
    cursor = await connection.execute(f"{_COVERED} ORDER BY id")
    return [_row(row) for row in await cursor.fetchall()]


async def walked(connection: Connection, reindex: int) -> list[Coverage]:
    """Return what a walk is to index (`indexing`) and to take away (`dropping`)."""
    cursor = await connection.execute(
        f"{_COVERED} WHERE reindex = %s AND state IN ('indexing', '{DROPPING}') ORDER BY id",
        (reindex,),
    )
    return [_row(row) for row in await cursor.fetchall()]


def _row(row: tuple[Any, ...]) -> Coverage:
    id_, parameter, version, state, reindex, given = row
    return Coverage(id_, parameter, version, state, reindex, _parameter(given))


async def changed(connection: Connection) -> None:
    """Have every process read the rows again; before it does, none of its writes is taken."""
    await connection.execute(
        "INSERT INTO search_registry (id, version) VALUES (1, 1)"
        " ON CONFLICT (id) DO UPDATE SET version = search_registry.version + 1"
    )


async def add(
    connection: Connection, parameter: int, version: int, found: Sequence[tuple[int, Parameter]]
) -> None:
    """Add the definitions (type id, parameter) of a version of a SearchParameter, pending."""
    await connection.execute(
        "INSERT INTO search_coverage (parameter, version, type_id, param, definition)"
        " SELECT %s, %s, * FROM unnest(%s::smallint[], %s::bigint[], %s::jsonb[])",
        (
            parameter,
            version,
            [type_id for type_id, _ in found],
            [one.id for _, one in found],
            [Jsonb(msgspec.to_builtins(one)) for _, one in found],
        ),
    )


async def redefine(connection: Connection, id_: int, version: int, definition: Parameter) -> None:
    """Let a row stand for a later version whose index rows are the same."""
    await connection.execute(
        "UPDATE search_coverage SET version = %s, definition = %s WHERE id = %s",
        (version, Jsonb(msgspec.to_builtins(definition)), id_),
    )


async def move(connection: Connection, ids: Sequence[int], state: str) -> None:
    """Bring rows to a state."""
    await connection.execute(
        # What a walk indexed before is taken away by a walk of its own.
        "UPDATE search_coverage SET state = %s, since = now(),"
        " reindex = CASE WHEN %s THEN NULL ELSE reindex END WHERE id = ANY(%s)",
        (state, state == DROPPING, list(ids)),
    )
