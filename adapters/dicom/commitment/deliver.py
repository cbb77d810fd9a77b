"""The job that decides on a storage commitment, and the one that reports it.

Both are one job: what it does follows from the state of the row. A report that the
requester has and that we could not note any more is sent once more.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_J.3.3
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg

from adapters.dicom.commitment import rows
from adapters.dicom.commitment.provide import SAME_SECONDS, callable_
from adapters.dicom.commitment.rows import Commitment
from adapters.dicom.commitment.transaction import (
    Failed,
    Stored,
    delay,
    duplicated,
    event,
    failures,
    information,
    may_come,
)
from adapters.dicom.dataset.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE, is_storage
from adapters.dicom.network.associate import Role
from adapters.dicom.network.classes import COMMITMENT
from adapters.dicom.network.command import Answer, Element
from adapters.dicom.network.pdu import Fault
from adapters.dicom.network.scu import Refusal
from adapters.dicom.network.services import Fixed
from adapters.dicom.network.statuses import CLASS_NOT_SUPPORTED, SUCCESS
from adapters.dicom.network.wire import Closed, TimedOut
from adapters.dicom.query import peers
from adapters.dicom.query.calling import call
from adapters.dicom.query.peers import Known
from adapters.dicom.storage.index import fold_job
from adapters.dicom.storage.tiered import archive_blobs
from fhir_server import jobs
from fhir_server.blobs import Blobs
from fhir_server.config import Settings
from fhir_server.server import Server

_BROKEN = (OSError, Refusal, Closed, TimedOut, Fault)
# How often it is looked whether instances have come that the requester speaks of.
_LOOK_SECONDS = 2.0

_INSTANCES: Final = """
SELECT sop_instance_uid, sop_class_uid, encode(blob, 'hex'), data_set_offset + size,
       study_instance_uid
FROM dicom_instance WHERE sop_instance_uid = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class _Row:
    """An index row, and how long its file is to be."""

    sop_instance_uid: str
    sop_class_uid: str
    digest: str
    size: int
    study: str


async def run(server: Server, payload: dict[str, Any]) -> None:
    """Decide on the commitment of `payload["commitment"]`, or report it.

    No transaction is open while files are read or the requester is called.
    """
    async with server.database.connection() as connection:
        found = await rows.read(connection, int(payload["commitment"]))
    if found is None:
        return
    commitment, age = found
    if commitment.state == "waiting":
        await _decide(server, commitment, age)
    elif commitment.state == "decided":
        await _report(server, commitment)


async def _decide(server: Server, commitment: Commitment, age: float) -> None:
    dicom = server.settings.dicom
    stored = await _stored(server, commitment)
    waits = dicom.commit_wait_seconds - age
    if waits > 0 and not commitment.duplicate and _unknown(server, commitment, stored):
        async with server.database.transaction() as connection:
            later = rows.job(commitment.id, min(_LOOK_SECONDS, waits))
            await jobs.enqueue(connection, [later])
        return
    failed = await _failed(server, commitment, stored)
    grace = await asyncio.to_thread(_grace, server, commitment, age)
    # A study is shown at the latest when its sender has been told that it is safe.
    folds = [fold_job(study, 0) for study in sorted({row.study for row in stored})]
    async with server.database.transaction() as connection:
        await rows.decide(connection, commitment.id, failed, grace)
        await rows.forget(connection, dicom.commit_keep_days)
        await jobs.enqueue(connection, [rows.job(commitment.id, grace), *folds])


def _grace(server: Server, commitment: Commitment, age: float) -> float:
    """Return for how long the report is left to the requester's own association."""
    same = server.settings.dicom.commit_reply == "same"
    if not same:
        with psycopg.connect(server.database.conninfo, autocommit=True) as connection:
            same = not callable_(connection, commitment.calling_ae)
    return max(0.0, SAME_SECONDS - age) if same else 0.0


async def _stored(server: Server, commitment: Commitment) -> list[_Row]:
    """Return the index rows of what is to be committed."""
    uids = [uid for _, uid in commitment.request.references]
    async with server.database.connection() as connection:
        cursor = await connection.execute(_INSTANCES, (uids,))
        return [_Row(*row) for row in await cursor.fetchall()]


def _unknown(server: Server, commitment: Commitment, stored: Sequence[_Row]) -> bool:
    """Return whether instances are not here that may be on their way."""
    known = {row.sop_instance_uid: Stored(row.sop_class_uid, intact=True) for row in stored}
    references = commitment.request.references
    return may_come(failures(references, known, _storage(server, commitment)))


async def _failed(server: Server, commitment: Commitment, stored: Sequence[_Row]) -> list[Failed]:
    """Return what cannot be committed, once the files were looked at."""
    references = commitment.request.references
    if commitment.duplicate:
        return duplicated(references)
    blobs = archive_blobs(server.blobs, server.settings.dicom)
    by_hash = server.settings.dicom.commit_verify == "hash"
    known = await asyncio.to_thread(_examined, blobs, stored, by_hash=by_hash)
    return failures(references, known, _storage(server, commitment))


def _storage(server: Server, commitment: Commitment) -> dict[str, bool]:
    unknown = server.settings.dicom.accept_unknown_sop_classes
    classes = {sop_class for sop_class, _ in commitment.request.references}
    return {one: is_storage(one, accept_unknown=unknown) for one in classes}


def _examined(blobs: Blobs, stored: Sequence[_Row], *, by_hash: bool) -> dict[str, Stored]:
    return {
        row.sop_instance_uid: Stored(
            row.sop_class_uid, intact(blobs, row.digest, row.size, by_hash=by_hash)
        )
        for row in stored
    }


def intact(blobs: Blobs, digest: str, size: int, *, by_hash: bool) -> bool:
    """Return whether the file of a row is there and whole: by its size, or by its content."""
    try:
        with blobs.open(digest) as stream:
            if stream.seek(0, 2) != size:
                return False
            stream.seek(0)
            return not by_hash or hashlib.file_digest(stream, "sha256").hexdigest() == digest
    except OSError:
        return False


async def _report(server: Server, commitment: Commitment) -> None:
    """Report to the requester; what went wrong is noted, and tried again later."""
    why = await asyncio.to_thread(deliver, server.settings, server.database.conninfo, commitment)
    async with server.database.transaction() as connection:
        if why is None:
            await rows.settled(connection, commitment.id)
            return
        again = delay(commitment.attempts + 1)
        await rows.not_reported(connection, commitment.id, why, again)
        await jobs.enqueue(connection, [rows.job(commitment.id, again)])


def deliver(settings: Settings, conninfo: str, commitment: Commitment) -> str | None:
    """Report on an association that we open; return why that failed, None when it arrived."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        peer = peers.get(connection, commitment.calling_ae)
    if peer is None or not peer.port:
        return "It is no peer with a port"
    why = None
    try:
        status = _told(settings, reachable(peer, commitment.peer), commitment)
        if status != SUCCESS:
            why = f"It answered {status:04X}"
    except _BROKEN as error:
        why = peers.why(error)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        peers.reached(connection, peer.ae_title, why)
    return why


def reachable(peer: Known, address: str) -> Known:
    """Return the peer with one host: where it called from, if its row names several."""
    several = peer.host == peers.ANY_HOST or "/" in peer.host
    return replace(peer, host=address) if several else peer


def _told(settings: Settings, peer: Known, commitment: Commitment) -> int:
    """Send the N-EVENT-REPORT as the SCP of this service, and return its status."""
    syntaxes = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
    roles = {COMMITMENT: Role(scu=False, scp=True)}
    failed = commitment.failed or ()
    providing = {COMMITMENT: syntaxes}
    with call(settings.dicom, peer, commitment.called_ae, (), providing, roles) as sender:
        pair = next((one for one in sender.contexts if one[0] == COMMITMENT), None)
        if pair is None:
            return CLASS_NOT_SUPPORTED
        data = information(commitment.request, failed, commitment.called_ae, pair[1])
        sender.send(pair, event(failed), [data])
        response, _ = sender.receive(lambda *_: Fixed(Answer(SUCCESS)))
        return response.number(Element.Status) or SUCCESS
