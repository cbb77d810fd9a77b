"""The rows of `dicom_commitment`.

waiting ──decided──> decided ──the requester knows──> reported
   └──────────────────┴──an operator──> dismissed
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg.types.json import Jsonb

from adapters.dicom.commitment.transaction import Failed, Reference, Request
from adapters.dicom.network.peer import Peer
from fhir_server import jobs
from fhir_server.database import OWN, Connection

KIND: Final = "dicom.commitment"

Sync = psycopg.Connection[tuple[Any, ...]]

# Two requests of one transaction UID meet here.
_LOCK: Final = (
    f"SELECT pg_advisory_xact_lock(hashtextextended('dicom.commitment ' || %s, 0) # {OWN})"
)
_KNOWN: Final = """
SELECT id, instances FROM dicom_commitment
WHERE transaction_uid = %s AND calling_ae = %s AND NOT duplicate AND state <> 'dismissed'
ORDER BY id DESC LIMIT 1
"""
_ADD: Final = """
INSERT INTO dicom_commitment (transaction_uid, calling_ae, called_ae, peer, instances, duplicate)
VALUES (%s, %s, %s, %s, %s, %s) RETURNING id
"""
# Asked once more, it is decided once more: instances may have come since.
_AGAIN: Final = """
UPDATE dicom_commitment
SET state = 'waiting', requested_at = clock_timestamp(), called_ae = %s, peer = %s,
    failed = NULL, decided_at = NULL, report_at = NULL, reported_at = NULL, attempts = 0,
    failure = NULL
WHERE id = %s
"""
_COLUMNS: Final = """
id, transaction_uid, calling_ae, called_ae, peer, instances, duplicate, state, failed, attempts,
failure, requested_at, report_at, reported_at
"""
_ONE: Final = f"SELECT {_COLUMNS} FROM dicom_commitment WHERE id = %s"
_LIST: Final = f"""
SELECT {_COLUMNS} FROM dicom_commitment
WHERE %(all)s OR state IN ('waiting', 'decided') ORDER BY id DESC LIMIT %(limit)s
"""
_AGE: Final = """
SELECT extract(epoch FROM clock_timestamp() - requested_at)::float8
FROM dicom_commitment WHERE id = %s
"""
_DECIDED: Final = """
UPDATE dicom_commitment
SET state = 'decided', failed = %s, decided_at = clock_timestamp(),
    report_at = clock_timestamp() + %s * interval '1 second'
WHERE id = %s AND state = 'waiting'
"""
_REPORTED: Final = """
UPDATE dicom_commitment
SET state = 'reported', reported_at = clock_timestamp(), report_at = NULL, failure = NULL,
    attempts = attempts + 1
WHERE id = %s AND state = 'decided'
"""
_FAILED: Final = """
UPDATE dicom_commitment
SET attempts = attempts + 1, failure = %s,
    report_at = clock_timestamp() + %s * interval '1 second'
WHERE id = %s AND state = 'decided'
"""
_DISMISSED: Final = """
UPDATE dicom_commitment SET state = 'dismissed', report_at = NULL
WHERE id = %s AND state IN ('waiting', 'decided')
"""
_FORGET: Final = """
DELETE FROM dicom_commitment
WHERE state IN ('reported', 'dismissed') AND requested_at < now() - %s * interval '1 day'
"""
_DUE: Final = """
UPDATE dicom_commitment SET state = CASE WHEN failed IS NULL THEN 'waiting' ELSE 'decided' END,
    report_at = clock_timestamp()
WHERE id = %s
"""


@dataclass(frozen=True, slots=True)
class Commitment:
    """A request, and how far it has come."""

    id: int
    request: Request
    calling_ae: str
    called_ae: str
    peer: str
    duplicate: bool
    state: str
    failed: tuple[Failed, ...] | None
    attempts: int
    failure: str | None
    requested_at: datetime
    report_at: datetime | None
    reported_at: datetime | None


def job(id_: int, delay_seconds: float = 0.0) -> jobs.Job:
    """Return the job that decides on a commitment, or reports what was decided."""
    return jobs.Job(KIND, {"commitment": id_}, str(id_), delay_seconds)


def add(connection: Sync, peer: Peer, request: Request) -> int:
    """Write a request and its job in one transaction, and return its id.

    The same request once more is the same row, decided and reported again; another one
    under a transaction UID that is in use fails.
    """
    with connection.transaction():
        connection.execute(_LOCK, (request.transaction_uid,))
        given = (request.transaction_uid, peer.calling)
        known = connection.execute(_KNOWN, given).fetchone()
        if known and _references(known[1]) == request.references:
            connection.execute(_AGAIN, (peer.called, peer.address, known[0]))
            id_ = int(known[0])
        else:
            values = (*given, peer.called, peer.address, Jsonb(request.references), bool(known))
            row = connection.execute(_ADD, values).fetchone()
            assert row is not None
            id_ = int(row[0])
        jobs.enqueue_sync(connection, [job(id_)])
    return id_


def one(connection: Sync, id_: int) -> Commitment | None:
    """Return a commitment."""
    row = connection.execute(_ONE, (id_,)).fetchone()
    return _commitment(row) if row else None


def listed(connection: Sync, *, everything: bool, limit: int) -> list[Commitment]:
    """Return the newest commitments, those that are not reported unless `everything`."""
    rows = connection.execute(_LIST, {"all": everything, "limit": limit}).fetchall()
    return [_commitment(row) for row in rows]


def reported(connection: Sync, id_: int) -> None:
    """Note that the requester knows."""
    connection.execute(_REPORTED, (id_,))


def dismiss(connection: Sync, id_: int) -> bool:
    """End a commitment without a report; return whether it was open."""
    return bool(connection.execute(_DISMISSED, (id_,)).rowcount)


def report_again(connection: Sync, id_: int) -> bool:
    """Have a commitment decided or reported now; return whether there is one."""
    with connection.transaction():
        if not connection.execute(_DUE, (id_,)).rowcount:
            return False
        jobs.enqueue_sync(connection, [job(id_)])
    return True


async def newest(connection: Connection, *, everything: bool, limit: int) -> list[Commitment]:
    """Return the newest commitments, those that are not reported unless `everything`."""
    cursor = await connection.execute(_LIST, {"all": everything, "limit": limit})
    return [_commitment(row) for row in await cursor.fetchall()]


async def dismissed(connection: Connection, id_: int) -> bool:
    """End a commitment without a report; return whether it was open."""
    return bool((await connection.execute(_DISMISSED, (id_,))).rowcount)


async def due(connection: Connection, id_: int) -> bool:
    """Have a commitment decided or reported now; return whether there is one."""
    if not (await connection.execute(_DUE, (id_,))).rowcount:
        return False
    await jobs.enqueue(connection, [job(id_)])
    return True


async def read(connection: Connection, id_: int) -> tuple[Commitment, float] | None:
    """Return a commitment and its age in seconds."""
    row = await (await connection.execute(_ONE, (id_,))).fetchone()
    age = await (await connection.execute(_AGE, (id_,))).fetchone()
    return (_commitment(row), float(age[0])) if row and age else None


async def decide(
    connection: Connection, id_: int, failed: Sequence[Failed], report_in: float
) -> None:
    """Write what was decided, and when it is to be reported."""
    await connection.execute(_DECIDED, (Jsonb(failed), report_in, id_))


async def not_reported(connection: Connection, id_: int, why: str, again_in: float) -> None:
    """Note that a report did not arrive, and when the next one leaves."""
    await connection.execute(_FAILED, (why, again_in, id_))


async def settled(connection: Connection, id_: int) -> None:
    """Note that the requester knows."""
    await connection.execute(_REPORTED, (id_,))


async def forget(connection: Connection, days: int) -> None:
    """Delete what was reported or dismissed, and was asked before so many days."""
    await connection.execute(_FORGET, (days,))


def _references(values: Sequence[Sequence[str]]) -> tuple[Reference, ...]:
    return tuple((str(sop_class), str(uid)) for sop_class, uid in values)


def _commitment(row: Sequence[Any]) -> Commitment:
    id_, transaction, calling, called, peer, instances, duplicate, state, failed, *rest = row
    return Commitment(
        id_,
        Request(transaction, _references(instances)),
        calling,
        called,
        peer,
        duplicate,
        state,
        None if failed is None else tuple((str(c), str(u), int(r)) for c, u, r in failed),
        *rest,
    )
