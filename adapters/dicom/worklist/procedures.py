"""The rows of the catalogue of procedures."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from adapters.dicom.worklist.catalogue import Procedure
from fhir_server.database import Connection

_COLUMNS = "system, code, modality, description, requested, protocols, stations, minutes"
_OF_CODES = f"""
SELECT {_COLUMNS} FROM dicom_procedure
WHERE (system, code) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""
_ALL = f"SELECT {_COLUMNS} FROM dicom_procedure ORDER BY system, code"
_PUT = f"""
INSERT INTO dicom_procedure ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (system, code) DO UPDATE SET modality = excluded.modality,
    description = excluded.description, requested = excluded.requested,
    protocols = excluded.protocols, stations = excluded.stations, minutes = excluded.minutes
WHERE (dicom_procedure.*) IS DISTINCT FROM (excluded.*)
"""
_REMOVE = "DELETE FROM dicom_procedure WHERE system = %s AND code = %s"


async def of_codes(connection: Connection, codes: Sequence[tuple[str, str]]) -> list[Procedure]:
    """Return the procedures of these codes, each a system and a code."""
    if not codes:
        return []
    systems, values = zip(*codes, strict=True)
    cursor = await connection.execute(_OF_CODES, (list(systems), list(values)))
    return [_procedure(row) for row in await cursor.fetchall()]


def everything(connection: psycopg.Connection[tuple[Any, ...]]) -> list[Procedure]:
    """Return the whole catalogue."""
    return [_procedure(row) for row in connection.execute(_ALL).fetchall()]


def put(connection: psycopg.Connection[tuple[Any, ...]], procedures: Sequence[Procedure]) -> int:
    """Write procedures, in place of those of the same code; return how many are new or changed."""
    return sum(connection.execute(_PUT, _row(one)).rowcount for one in procedures)


async def put_on(connection: Connection, procedures: Sequence[Procedure]) -> int:
    """Write procedures on a connection of the server, as `put` does."""
    return sum([(await connection.execute(_PUT, _row(one))).rowcount for one in procedures])


def remove(connection: psycopg.Connection[tuple[Any, ...]], system: str, code: str) -> bool:
    """Take a procedure out; return whether there was one."""
    return bool(connection.execute(_REMOVE, (system, code)).rowcount)


def _row(one: Procedure) -> tuple[Any, ...]:
    return (
        one.system,
        one.code,
        one.modality,
        one.description,
        Jsonb(one.requested) if one.requested else None,
        Jsonb(list(one.protocols)),
        list(one.stations),
        one.minutes,
    )


def _procedure(row: Sequence[Any]) -> Procedure:
    system, code, modality, description, requested, protocols, stations, minutes = row
    return Procedure(
        system,
        code,
        modality,
        description,
        requested,
        tuple(protocols),
        tuple(stations),
        minutes,
    )
