"""C-MOVE and C-GET: stored instances sent to a peer, or to the requester itself.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_C.4.2
https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_C.4.3
"""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import psycopg

from adapters.dicom import metrics
from adapters.dicom.dataset.identifier import Keys, tag_of
from adapters.dicom.dataset.levels import UNIQUE
from adapters.dicom.network.command import DATA_SET, Answer, Command, Element, Field
from adapters.dicom.network.negotiate import Agreed
from adapters.dicom.network.pdu import Fault
from adapters.dicom.network.peer import Peer
from adapters.dicom.network.scu import Refusal, Sender
from adapters.dicom.network.services import Exchange, Fixed, Intake, Operation, Streamed
from adapters.dicom.network.statuses import (
    CANCELLED,
    DOES_NOT_MATCH,
    NOT_AUTHORIZED,
    UNABLE_TO_PROCESS,
)
from adapters.dicom.network.wire import Closed, TimedOut
from adapters.dicom.query import models, peers
from adapters.dicom.query.find import RELATIONAL, Pool, agreed_on, rows
from adapters.dicom.query.matching import Malformed, criteria
from adapters.dicom.query.peers import Known
from adapters.dicom.query.statement import instances
from adapters.dicom.query.suboperations import UNREACHABLE, Held, Pair, Tally, batches, chosen
from adapters.dicom.query.transcode import Transcode, Undecodable
from adapters.dicom.studies import disclosing, output, overlay, transferred
from adapters.dicom.studies.disclosing import Permit
from adapters.dicom.studies.overlay import Overlay
from fhir_server import jobs
from fhir_server.at_rest.files import Openable
from fhir_server.blobs import Blobs

log = logging.getLogger(__name__)

CANNOT_CALCULATE = 0xA701
DESTINATION_UNKNOWN = 0xA801
_MEDIUM = 0
_PIECE = 128 << 10
_BROKEN = (OSError, Refusal, Closed, TimedOut, Fault)

Call = Callable[[Known, str, Iterable[Pair]], Sender]
"""Opens an association with a peer, calling as this AE title, for these contexts."""


@dataclass(frozen=True, slots=True)
class Retrievals:
    """Where instances are found and read, how peers are called, and who decodes.

    `permit` says what may go to another organisation.
    """

    pool: Pool
    blobs: Blobs
    call: Call
    transcode: Transcode
    permit: Permit = disclosing.nothing

    def pieces(self, one: Held, transfer_syntax: str) -> Iterator[bytes]:
        """Return a data set in pieces; see `pieces`."""
        return pieces(self.blobs, one, transfer_syntax, self.transcode)


def move(
    retrievals: Retrievals, peer: Peer, context: Agreed, command: Command
) -> Intake | Operation:
    """Return the operation that answers a C-MOVE."""
    if not command.has_data_set:
        return Fixed(Answer(DOES_NOT_MATCH, "There is no identifier"))
    to = command.text(Element.MoveDestination)

    def moved(data: bytes, exchange: Exchange) -> Iterator[Answer]:
        try:
            wanted = understood(context, data)
            destination = _peer(retrievals.pool, to)
            if destination is None or not destination.port:
                yield Answer(DESTINATION_UNKNOWN, "The move destination is not a known peer")
                return
            found, kept = _sorted(retrievals, destination, _held(retrievals.pool, wanted))
            _record(retrievals.pool, found, f"{_name(peer)} to {to}", "move")
        except Malformed as error:
            yield Answer(DOES_NOT_MATCH, str(error))
            return
        except psycopg.Error:
            yield Answer(CANNOT_CALCULATE, "The index is not available")
            return
        origin: dict[int, int | str] = {
            Element.MoveOriginatorApplicationEntityTitle: peer.calling,
            Element.MoveOriginatorMessageID: command.message_id,
        }
        mover = _Mover(retrievals, destination, peer.called, origin)
        yield from _ended(mover.send(found, exchange, kept), context)

    return Streamed(moved)


def get(
    retrievals: Retrievals, peer: Peer, context: Agreed, command: Command
) -> Intake | Operation:
    """Return the operation that answers a C-GET."""
    if not command.has_data_set:
        return Fixed(Answer(DOES_NOT_MATCH, "There is no identifier"))

    def got(data: bytes, exchange: Exchange) -> Iterator[Answer]:
        try:
            wanted = understood(context, data)
            requester = _peer(retrievals.pool, peer.calling)
            found, kept = _sorted(retrievals, requester, _held(retrievals.pool, wanted))
            _record(retrievals.pool, found, _name(peer), "get")
        except Malformed as error:
            yield Answer(DOES_NOT_MATCH, str(error))
            return
        except psycopg.Error:
            yield Answer(CANNOT_CALCULATE, "The index is not available")
            return
        yield from _ended(_sent_back(retrievals, found, exchange, kept), context)

    return Streamed(got)


def understood(context: Agreed, data: bytes) -> Keys:
    """Return the unique keys of an identifier. Raises Malformed.

    Others say nothing in a retrieval (PS3.4, C.4.2.1.4.1).
    """
    keys = models.identifier(data, context.transfer_syntax)
    level = models.level_of(keys, context.abstract_syntax)
    relational = agreed_on(context, RELATIONAL)
    models.unique_keys(keys, context.abstract_syntax, level, relational=relational)
    model = models.levels(context.abstract_syntax)
    tags = [tag_of(UNIQUE[one]) for one in model[: model.index(level) + 1]]
    return {tag: keys[tag] for tag in tags if tag in keys}


def _peer(pool: Pool, ae_title: str) -> Known | None:
    with pool.connection() as connection:
        return peers.get(connection, ae_title)


def _held(pool: Pool, keys: Keys) -> list[Held]:
    with closing(rows(pool, instances(criteria(keys)))) as found:
        return [Held(*row) for row in found]


def _sorted(
    retrievals: Retrievals, to: Known | None, found: list[Held]
) -> tuple[list[Held], list[Held]]:
    """Return what may go to a peer, and what is kept from it, as it is of another organisation."""
    if to is None or to.discloses_to is None or not found:
        return found, []
    studies = {one.study_instance_uid for one in found}
    may = retrievals.permit(to.discloses_to, studies)
    return (
        [one for one in found if one.study_instance_uid in may],
        [one for one in found if one.study_instance_uid not in may],
    )


def _begun(found: list[Held], kept: list[Held]) -> Tally:
    """Return the count of a retrieval: what is kept back has failed before it begins."""
    tally = Tally(len(found) + len(kept))
    for one in kept:
        tally.count(one.sop_instance_uid, NOT_AUTHORIZED)
        metrics.sent(NOT_AUTHORIZED)
    return tally


def _record(pool: Pool, found: list[Held], actor: str, what: str) -> None:
    """Have it recorded which studies leave, before the first instance does."""
    if found:
        studies = {one.study_instance_uid for one in found}
        with pool.connection() as connection:
            jobs.enqueue_sync(connection, [transferred.job(studies, actor, what)])


def _name(peer: Peer) -> str:
    return f"{peer.calling} at {peer.address}"


@dataclass(frozen=True, slots=True)
class _Step:
    """How a retrieval stands: after a sub-operation, cancelled, or over with a status."""

    tally: Tally
    status: int | None = None


def _ended(steps: Iterator[_Step], context: Agreed) -> Iterator[Answer]:
    """Yield the responses of a retrieval's steps, the last of which has a status."""
    for step in steps:
        if step.status is None:
            yield step.tally.pending()
        else:
            yield step.tally.final(step.status, context.transfer_syntax)


class _Mover:
    """Sub-operations on associations of their own with one destination."""

    def __init__(
        self,
        retrievals: Retrievals,
        destination: Known,
        calling: str,
        origin: Mapping[int, int | str],
    ) -> None:
        self._retrievals = retrievals
        self._destination = destination
        self._calling = calling
        self._origin = origin
        self._reached = False

    def send(self, found: list[Held], exchange: Exchange, kept: list[Held]) -> Iterator[_Step]:
        """Send everything but what is `kept` back, and yield how it stands after each."""
        tally = _begun(found, kept)
        for batch, pairs in batches(found):
            left = list(batch)
            while left:
                before = len(left)
                with closing(self._on_one(left, pairs, tally)) as sent:
                    for _ in sent:
                        if exchange.cancelled():
                            yield _Step(tally, CANCELLED)
                            return
                        yield _Step(tally)
                if len(left) == before:
                    self._give_up(left, tally)
        unreachable = bool(found) and not self._reached
        yield _Step(tally, UNREACHABLE if unreachable else tally.outcome())

    def _on_one(self, left: list[Held], pairs: list[Pair], tally: Tally) -> Generator[None]:
        """Send from the front of `left` on one association until it is empty or that breaks."""
        try:
            sender = self._retrievals.call(self._destination, self._calling, pairs)
        except _BROKEN as error:
            self._note(peers.why(error))
            return
        self._reached = True
        broken = True
        try:
            self._note(None)
            while left:
                one = left.pop(0)
                status = UNABLE_TO_PROCESS
                try:
                    status = self._store(sender, one)
                finally:
                    tally.count(one.sop_instance_uid, status)
                    metrics.sent(status)
                yield
            broken = False
        except _BROKEN as error:
            log.warning("the association of a retrieval broke: %s", type(error).__name__)
        finally:
            _close(sender, broken=broken)

    def _store(self, sender: Sender, one: Held) -> int:
        syntax = chosen(one, set(sender.contexts))
        if syntax is None:
            return UNABLE_TO_PROCESS
        try:
            data_set = self._retrievals.pieces(one, syntax)
        except Undecodable:
            return UNABLE_TO_PROCESS
        pair = (one.sop_class_uid, syntax)
        return sender.store_pieces(pair, one.sop_instance_uid, data_set, self._origin)

    def _give_up(self, left: list[Held], tally: Tally) -> None:
        """Count what no association could be opened for as failed."""
        for one in left:
            tally.count(one.sop_instance_uid, UNABLE_TO_PROCESS)
            metrics.sent(UNABLE_TO_PROCESS)
        left.clear()

    def _note(self, failure: str | None) -> None:
        with self._retrievals.pool.connection() as connection:
            peers.reached(connection, self._destination.ae_title, failure)


def _close(sender: Sender, *, broken: bool) -> None:
    try:
        if broken:
            sender.abandon()
        else:
            sender.release()
    except _BROKEN:
        return  # All was answered.


def _sent_back(
    retrievals: Retrievals, found: list[Held], exchange: Exchange, kept: list[Held]
) -> Iterator[_Step]:
    """Send everything but what is `kept` back on the requester's own association."""
    able = {
        (one.abstract_syntax, one.transfer_syntax): one
        for one in exchange.contexts.values()
        if one.provides and one.storage
    }
    tally = _begun(found, kept)
    for one in found:
        if exchange.cancelled():
            yield _Step(tally, CANCELLED)
            return
        syntax = chosen(one, set(able))
        status = UNABLE_TO_PROCESS
        if syntax is not None:
            status = _one_back(retrievals, one, able[one.sop_class_uid, syntax], exchange)
        tally.count(one.sop_instance_uid, status)
        metrics.sent(status)
        yield _Step(tally)
    yield _Step(tally, tally.outcome())


def _one_back(retrievals: Retrievals, one: Held, context: Agreed, exchange: Exchange) -> int:
    try:
        data_set = retrievals.pieces(one, context.transfer_syntax)
    except (Undecodable, OSError):
        return UNABLE_TO_PROCESS
    response = exchange.request(context, store_command(one), data_set)
    status = response.number(Element.Status)
    return UNABLE_TO_PROCESS if status is None else status


def store_command(one: Held) -> dict[int, int | str]:
    """Return the command set of the C-STORE of an instance, without its message id."""
    return {
        Element.AffectedSOPClassUID: one.sop_class_uid,
        Element.CommandField: Field.C_STORE_RQ,
        Element.Priority: _MEDIUM,
        Element.CommandDataSetType: DATA_SET,
        Element.AffectedSOPInstanceUID: one.sop_instance_uid,
    }


def pieces(blobs: Blobs, one: Held, transfer_syntax: str, transcode: Transcode) -> Iterator[bytes]:
    """Return the data set in pieces: the stored bytes, or transcoded where they differ.

    What was corrected of the study is in it. Raises Undecodable, and OSError when the blob
    cannot be opened.
    """
    path, over = blobs.stored(one.blob), overlay.parsed(one.overlay)
    if transfer_syntax != one.transfer_syntax_uid:
        plain = transcode(path, one.size, transfer_syntax)
        return iter((output.with_overlay(plain, transfer_syntax, over) if over else plain,))
    if over:
        stored = (one.offset, one.size, transfer_syntax, one.pixel_offset)
        return _corrected(path, *stored, over)
    stream = path.open("rb")
    stream.seek(one.offset)

    def read() -> Iterator[bytes]:
        with stream:
            while piece := stream.read(_PIECE):
                yield piece

    return read()


def _corrected(
    path: Openable, offset: int, size: int, syntax: str, pixels: int | None, over: Overlay
) -> Iterator[bytes]:
    try:
        return output.pieces(path, offset, size, syntax, pixels, over)
    except OSError:
        raise
    except Exception as error:  # an instance whose head cannot be written again
        raise Undecodable(type(error).__name__) from error
