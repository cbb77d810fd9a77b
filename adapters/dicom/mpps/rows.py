"""The rows of `dicom_mpps`, written by the listener and read by who follows.

A message, the step as it is then, and the job that brings FHIR up to date are one
transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from adapters.dicom.dataset.identifier import Key, Keys
from adapters.dicom.mpps import state
from adapters.dicom.mpps.content import by_keyword, distinct, packed, scheduled, unpacked
from adapters.dicom.network.peer import Peer
from fhir_server import jobs
from fhir_server.database import Connection

KIND: Final = "dicom.mpps"

Sync = psycopg.Connection[tuple[Any, ...]]

_ADD: Final = """
INSERT INTO dicom_mpps (sop_instance_uid, state, attributes, studies, accessions, calling_ae,
    called_ae, peer, issuer, timezone, flags)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
_LOCKED: Final = "SELECT attributes::text FROM dicom_mpps WHERE sop_instance_uid = %s FOR UPDATE"
_READ: Final = "SELECT attributes::text FROM dicom_mpps WHERE sop_instance_uid = %s"
_CHANGE: Final = """
UPDATE dicom_mpps
SET state = %s, attributes = %s, withdrawn = %s, version = version + 1,
    flags = ARRAY(SELECT DISTINCT unnest(flags || %s::text[]) ORDER BY 1),
    changed_at = clock_timestamp()
WHERE sop_instance_uid = %s
"""
_MESSAGE: Final = """
INSERT INTO dicom_mpps_message (sop_instance_uid, version, transfer_syntax_uid, data_set,
    calling_ae)
SELECT sop_instance_uid, version, %s, %s, %s FROM dicom_mpps WHERE sop_instance_uid = %s
"""
_COLUMNS: Final = """
sop_instance_uid, state, attributes::text, studies, calling_ae, called_ae, issuer, timezone,
version, applied, procedure, withdrawn, flags, created_at, changed_at
"""
_ONE: Final = f"SELECT {_COLUMNS} FROM dicom_mpps WHERE sop_instance_uid = %s"
_LIST: Final = f"SELECT {_COLUMNS} FROM dicom_mpps ORDER BY created_at DESC LIMIT %s"
_APPLIED: Final = """
UPDATE dicom_mpps
SET applied = %s, procedure = %s,
    flags = ARRAY(
        SELECT DISTINCT unnest(array_remove(flags, 'patient') || %s::text[]) ORDER BY 1)
WHERE sop_instance_uid = %s
"""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came, and who sent it."""

    data_set: bytes
    transfer_syntax: str
    peer: Peer


@dataclass(frozen=True, slots=True)
class Performed:
    """A performed procedure step.

    `attributes` are by keyword; `version` counts its messages, `applied` those that FHIR
    shows by the Procedure whose id is `procedure`.
    """

    sop_instance_uid: str
    state: str
    attributes: Mapping[str, Any]
    studies: tuple[str, ...]
    calling_ae: str
    called_ae: str
    issuer: str
    timezone: str
    version: int
    applied: int
    procedure: str | None
    withdrawn: bool
    flags: tuple[str, ...]
    created_at: datetime
    changed_at: datetime


def job(sop_instance_uid: str) -> jobs.Job:
    """Return the job that brings FHIR up to date with a step."""
    return jobs.Job(KIND, {"mpps": sop_instance_uid}, sop_instance_uid)


def add(
    connection: Sync, uid: str, keys: Keys, message: Message, flags: Sequence[str] = ()
) -> bool:
    """Write a new step, in the caller's transaction; return whether there was none of its UID."""
    peer = message.peer
    steps = scheduled(by_keyword(keys))
    values = (
        uid,
        state.state(keys),
        Jsonb(packed(keys)),
        distinct(steps, "StudyInstanceUID"),
        distinct(steps, "AccessionNumber"),
        peer.calling,
        peer.called,
        peer.address,
        peer.issuer,
        peer.timezone,
        list(flags),
    )
    if not connection.execute(_ADD, values).rowcount:
        return False
    _noted(connection, uid, message)
    return True


def locked(connection: Sync, uid: str) -> dict[int, Key] | None:
    """Return the elements of a step, which nobody else changes until the transaction ends."""
    return _keys(connection.execute(_LOCKED, (uid,)).fetchone())


def read(connection: Sync, uid: str) -> dict[int, Key] | None:
    """Return the elements of a step."""
    return _keys(connection.execute(_READ, (uid,)).fetchone())


def change(
    connection: Sync, uid: str, keys: Keys, message: Message, flags: Sequence[str] = ()
) -> None:
    """Write a step as it is after a message, in the caller's transaction."""
    withdrawn = state.is_withdrawn(keys)
    values = (state.state(keys), Jsonb(packed(keys)), withdrawn, list(flags), uid)
    connection.execute(_CHANGE, values)
    _noted(connection, uid, message)


def listed(connection: Sync, limit: int) -> list[Performed]:
    """Return the newest steps."""
    return [_performed(row) for row in connection.execute(_LIST, (limit,)).fetchall()]


def one(connection: Sync, uid: str) -> Performed | None:
    """Return a step."""
    row = connection.execute(_ONE, (uid,)).fetchone()
    return _performed(row) if row else None


async def newest(connection: Connection, limit: int) -> list[Performed]:
    """Return the newest steps."""
    cursor = await connection.execute(_LIST, (limit,))
    return [_performed(row) for row in await cursor.fetchall()]


async def to_apply(connection: Connection, uid: str) -> Performed | None:
    """Return a step as it is now.

    It is not locked, so that its modality never waits; jobs of one step run one by one.
    """
    row = await (await connection.execute(_ONE, (uid,))).fetchone()
    return _performed(row) if row else None


async def applied(
    connection: Connection, step: Performed, procedure: str, flags: Sequence[str]
) -> None:
    """Note that FHIR shows a step, as this Procedure."""
    values = (step.version, procedure, list(flags), step.sop_instance_uid)
    await connection.execute(_APPLIED, values)


def _noted(connection: Sync, uid: str, message: Message) -> None:
    values = (message.transfer_syntax, message.data_set, message.peer.calling, uid)
    connection.execute(_MESSAGE, values)
    jobs.enqueue_sync(connection, [job(uid)])


def _keys(row: tuple[Any, ...] | None) -> dict[int, Key] | None:
    return unpacked(msgspec.json.decode(row[0])) if row else None


def _performed(row: Sequence[Any]) -> Performed:
    uid, status, attributes, studies, *rest = row
    calling, called, issuer, timezone, version, done, procedure, withdrawn, flags, *times = rest
    return Performed(
        uid,
        status,
        by_keyword(unpacked(msgspec.json.decode(attributes))),
        tuple(studies),
        calling,
        called,
        issuer,
        timezone,
        version,
        done,
        procedure,
        withdrawn,
        tuple(flags),
        *times,
    )
