"""What is recorded of peers: what they were answered, and that they were refused.

https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_A.5.3
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Final

import psycopg

from adapters.dicom.network.peer import Note, Peer
from fhir_server.audit.peers import Refusals, System, question, refusal
from fhir_server.audit.record import keep_beside, written

log = logging.getLogger(__name__)

Session = psycopg.Connection[tuple[Any, ...]]
Connect = Callable[..., AbstractContextManager[Session]]

_WAIT_SECONDS: Final = 5.0


def system(peer: Peer) -> System:
    """Return a peer as it is recorded, by the AE title that it says it has."""
    return System(peer.calling, "dicom", peer.address)


def answered(
    session: Session, peer: Peer, code: str, identifier: bytes, places: Iterable[tuple[str, str]]
) -> None:
    """Record a query with what (type, id) it is about to be answered; raises psycopg.Error."""
    keep_beside(session, [written(question(system(peer), code, identifier, places))])


def noting(connect: Connect) -> Note:
    """Return what records that a peer was refused; `connect` lends a connection.

    Where it cannot be recorded it is refused all the same.
    """
    refusals = Refusals()

    def note(peer: Peer, reason: str) -> None:
        known = system(peer)
        if not refusals.is_news(known, reason):
            return
        try:
            with connect(timeout=_WAIT_SECONDS) as session:
                keep_beside(session, [written(refusal(known, reason))])
        except psycopg.Error as error:
            log.error("a refusal was not recorded: %s", type(error).__name__)  # noqa: TRY400  (no values)

    return note
