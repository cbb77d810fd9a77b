"""What became of documents: the rows of `dicom_document`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from adapters.dicom import metrics
from adapters.dicom.storage.index import DOCUMENT_CLASSES
from fhir_server.database import Connection

MAPPED, RENDERED, FAILED = "mapped", "rendered", "failed"
SUPERSEDED, WITHDRAWN, NOTE = "superseded", "withdrawn", "note"
STATES: Final = (MAPPED, RENDERED, FAILED, SUPERSEDED, WITHDRAWN, NOTE)
"""With the first two FHIR has what the document says, whole or as its rendering."""

_COLUMNS: Final = """
sop_instance_uid, state, reason, title, fingerprint, predecessors, resources
"""
_OF_STUDY: Final = """
SELECT sop_instance_uid, sop_class_uid, transfer_syntax_uid, encode(blob, 'hex'),
       data_set_offset, state, received_at, attributes::text, study_instance_uid,
       series_instance_uid
FROM dicom_instance WHERE study_instance_uid = %s AND sop_class_uid LIKE ANY (%s)
ORDER BY received_at, sop_instance_uid
"""
_GONE: Final = f"""
SELECT {_COLUMNS} FROM dicom_document AS d
WHERE study_instance_uid = %s AND state <> 'withdrawn'
  AND NOT EXISTS (SELECT FROM dicom_instance AS i WHERE i.sop_instance_uid = d.sop_instance_uid)
"""
_ONES: Final = f"SELECT {_COLUMNS} FROM dicom_document WHERE sop_instance_uid = ANY (%s)"
_SUCCESSORS: Final = f"""
SELECT {_COLUMNS} FROM dicom_document
WHERE predecessors @> ARRAY[%s]::text[] COLLATE "C" AND state IN ('mapped', 'rendered')
ORDER BY mapped_at
"""
_KEEP: Final = """
INSERT INTO dicom_document (sop_instance_uid, study_instance_uid, sop_class_uid, state, reason,
    title, fingerprint, predecessors, resources, items, unmapped, flags)
VALUES (%(uid)s, %(study)s, %(sop_class)s, %(state)s, %(reason)s, %(title)s, %(fingerprint)s,
    %(predecessors)s, %(resources)s, %(items)s, %(unmapped)s::text::jsonb, %(flags)s)
ON CONFLICT (sop_instance_uid) DO UPDATE
SET study_instance_uid = excluded.study_instance_uid, state = excluded.state,
    reason = excluded.reason, title = excluded.title,
    fingerprint = excluded.fingerprint, predecessors = excluded.predecessors,
    resources = excluded.resources, items = excluded.items, unmapped = excluded.unmapped,
    flags = excluded.flags, mapped_at = clock_timestamp()
"""
_STATE: Final = """
UPDATE dicom_document
SET state = %s, reason = %s, fingerprint = ''::bytea, mapped_at = clock_timestamp()
WHERE sop_instance_uid = ANY (%s) RETURNING study_instance_uid
"""
_CLAIMED: Final = """
SELECT DISTINCT unnest(resources) FROM dicom_document
WHERE resources && %s::text[] AND state IN ('mapped', 'rendered', 'failed')
  AND sop_instance_uid <> ALL (%s)
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """An instance of a document in the archive."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    blob: str
    data_set_offset: int
    state: str
    received_at: datetime
    attributes: dict[str, Any]
    study_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True)
class Known:
    """What became of a document the last time."""

    sop_instance_uid: str
    state: str
    reason: str
    title: str
    fingerprint: bytes
    predecessors: Sequence[str]
    resources: Sequence[str]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a document now."""

    state: str
    reason: str = ""
    title: str = ""
    predecessors: Sequence[str] = ()
    resources: Sequence[str] = ()
    items: int = 0
    unmapped: Sequence[dict[str, Any]] = ()
    flags: Sequence[str] = field(default_factory=tuple)


async def of_study(connection: Connection, study: str) -> list[Stored]:
    """Return the documents of a study, in the order in which they came."""
    patterns = [f"{prefix}%" for prefix in DOCUMENT_CLASSES]
    cursor = await connection.execute(_OF_STUDY, (study, patterns))
    return [_stored(row) for row in await cursor.fetchall()]


def _stored(row: tuple[Any, ...]) -> Stored:
    uid, sop_class, syntax, blob, offset, state, received, attributes, *places = row
    decoded = msgspec.json.decode(attributes)
    return Stored(uid, sop_class, syntax, blob, offset, state, received, decoded, *places)


async def gone(connection: Connection, study: str) -> list[Known]:
    """Return what was made of documents of a study that are no longer in the archive."""
    cursor = await connection.execute(_GONE, (study,))
    return [Known(*row) for row in await cursor.fetchall()]


async def known(connection: Connection, uids: Sequence[str]) -> dict[str, Known]:
    """Return what became of these documents, by UID."""
    cursor = await connection.execute(_ONES, (list(uids),))
    return {row[0]: Known(*row) for row in await cursor.fetchall()}


async def successors(connection: Connection, uid: str) -> list[Known]:
    """Return the documents in FHIR that say to take the place of this one."""
    cursor = await connection.execute(_SUCCESSORS, (uid,))
    return [Known(*row) for row in await cursor.fetchall()]


async def keep(connection: Connection, one: Stored, fingerprint: bytes, result: Result) -> None:
    """Note what became of a document."""
    metrics.documents.labels(result.state).inc()
    await connection.execute(
        _KEEP,
        {
            "uid": one.sop_instance_uid,
            "study": one.study_instance_uid,
            "sop_class": one.sop_class_uid,
            "state": result.state,
            "reason": result.reason,
            "title": result.title,
            "fingerprint": fingerprint,
            "predecessors": list(result.predecessors),
            "resources": list(result.resources),
            "items": result.items,
            "unmapped": msgspec.json.encode(list(result.unmapped)).decode(),
            "flags": list(result.flags),
        },
    )


async def set_state(
    connection: Connection, uids: Sequence[str], state: str, reason: str = ""
) -> list[str]:
    """Set the state of documents, which are looked at again; return their studies."""
    cursor = await connection.execute(_STATE, (state, reason, list(uids)))
    return sorted({row[0] for row in await cursor.fetchall()})


async def claimed(
    connection: Connection, references: Sequence[str], besides: Sequence[str]
) -> set[str]:
    """Return which of these resources another document in FHIR is the source of as well."""
    cursor = await connection.execute(_CLAIMED, (list(references), list(besides)))
    return {row[0] for row in await cursor.fetchall()}
