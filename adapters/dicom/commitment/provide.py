"""N-ACTION: a request for storage commitment, durable before it is answered.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_J.3.2
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import psycopg
from psycopg_pool import PoolTimeout

from adapters.dicom.commitment import rows
from adapters.dicom.commitment.transaction import (
    Refused,
    Request,
    check,
    event,
    information,
    understood,
)
from adapters.dicom.network.command import Answer, Command, Notice
from adapters.dicom.network.negotiate import Agreed
from adapters.dicom.network.peer import Peer
from adapters.dicom.network.services import Fixed, Gathered, Intake
from adapters.dicom.network.statuses import RESOURCE_LIMITATION, SUCCESS
from adapters.dicom.query import peers
from adapters.dicom.query.find import Pool

log = logging.getLogger(__name__)

SAME_SECONDS: Final = 10.0
"""How long a report waits for the requester's own association."""

_WAIT_SECONDS = 10.0
_ASKING_SECONDS = SAME_SECONDS - 2


@dataclass(frozen=True, slots=True)
class Commitments:
    """Where requests are kept; `same`: the report goes to the requester's association first."""

    pool: Pool
    same: bool


def request(commitments: Commitments, peer: Peer, context: Agreed, command: Command) -> Intake:
    """Return the intake that answers an N-ACTION."""
    try:
        check(command)
    except Refused as refused:
        return Fixed(Answer(refused.status, str(refused)))
    return Gathered(partial(_requested, commitments, peer, context), RESOURCE_LIMITATION)


def _requested(commitments: Commitments, peer: Peer, context: Agreed, data: bytes) -> Answer:
    try:
        asked = understood(data, context.transfer_syntax)
        with commitments.pool.connection(timeout=_WAIT_SECONDS) as connection:
            same = commitments.same or not callable_(connection, peer.calling)
            id_ = rows.add(connection, peer, asked)
    except Refused as refused:
        return Answer(refused.status, str(refused))
    except (psycopg.Error, PoolTimeout) as error:
        log.warning("a commitment was not taken: %s", type(error).__name__)
        return Answer(RESOURCE_LIMITATION, "The index is not available")
    later = _report(commitments, peer, context, asked, id_) if same else None
    return Answer(SUCCESS, later=later)


def callable_(connection: rows.Sync, ae_title: str) -> bool:
    """Return whether we can open an association with this AE."""
    known = peers.get(connection, ae_title)
    return known is not None and known.port > 0


def _report(
    commitments: Commitments, peer: Peer, context: Agreed, asked: Request, id_: int
) -> Iterator[Notice | None]:
    """Yield the report once it is decided; after a while it is left to the job."""
    end = time.monotonic() + _ASKING_SECONDS
    while time.monotonic() < end:
        found = _found(commitments, id_)
        if found and found.failed is not None:
            if found.state == "decided":
                data = information(asked, found.failed, peer.called, context.transfer_syntax)
                yield Notice(event(found.failed), data, partial(_settled, commitments, id_))
            return
        yield None


def _found(commitments: Commitments, id_: int) -> rows.Commitment | None:
    try:
        with commitments.pool.connection(timeout=_WAIT_SECONDS) as connection:
            return rows.one(connection, id_)
    except (psycopg.Error, PoolTimeout):
        return None  # The job will report it.


def _settled(commitments: Commitments, id_: int, status: int) -> None:
    """Note that the report has arrived; one that was refused is reported again by the job."""
    if status != SUCCESS:
        return
    try:
        with commitments.pool.connection(timeout=_WAIT_SECONDS) as connection:
            rows.reported(connection, id_)
    except (psycopg.Error, PoolTimeout) as error:
        log.warning("a report was not noted: %s", type(error).__name__)
