"""N-CREATE, N-SET and N-GET of performed procedure steps.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_F.7.2
https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_F.8.2
"""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import psycopg
from psycopg_pool import PoolTimeout

from adapters.dicom.dataset.elements import Broken
from adapters.dicom.dataset.head import valid_uid
from adapters.dicom.dataset.identifier import Key, read, terms_of, write
from adapters.dicom.mpps import rows, state
from adapters.dicom.mpps.rows import Message
from adapters.dicom.mpps.state import Verdict
from adapters.dicom.network.classes import MPPS, MPPS_RETRIEVE
from adapters.dicom.network.command import Answer, Command, Element, attribute_tags
from adapters.dicom.network.negotiate import Agreed
from adapters.dicom.network.peer import Peer
from adapters.dicom.network.services import Fixed, Gathered, Intake
from adapters.dicom.network.statuses import (
    CLASS_INSTANCE_CONFLICT,
    DUPLICATE_INSTANCE,
    INVALID_INSTANCE,
    MISTYPED_ARGUMENT,
    NO_SUCH_CLASS,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    RESOURCE_LIMITATION,
)
from adapters.dicom.query.find import Pool

log = logging.getLogger(__name__)


_WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Steps:
    """Where steps are kept, and whether what the standard requires is insisted on."""

    pool: Pool
    strict: bool


def create(steps: Steps, peer: Peer, context: Agreed, command: Command) -> Intake:
    """Return the intake that answers an N-CREATE; without an instance UID we make one."""
    uid = command.uid(Element.AffectedSOPInstanceUID) or _new_uid()
    refusal = _refusal(command, command.uid(Element.AffectedSOPClassUID), uid, {MPPS})
    if refusal:
        return Fixed(refusal)

    def respond(data: bytes) -> Answer:
        sent = read(data, context.transfer_syntax)
        verdict = state.created(sent, strict=steps.strict)
        if verdict.keys is None:
            return _answer(verdict, uid)
        message = Message(data, context.transfer_syntax, peer)
        with steps.pool.connection(timeout=_WAIT_SECONDS) as connection, connection.transaction():
            if not rows.add(connection, uid, verdict.keys, message, verdict.flags):
                return Answer(DUPLICATE_INSTANCE, "There is a step of this UID")
        return _answer(verdict, uid)

    return Gathered(partial(_guarded, respond), RESOURCE_LIMITATION)


def change(steps: Steps, peer: Peer, context: Agreed, command: Command) -> Intake:
    """Return the intake that answers an N-SET."""
    uid = command.uid(Element.RequestedSOPInstanceUID)
    refusal = _refusal(command, command.uid(Element.RequestedSOPClassUID), uid, {MPPS})
    if refusal:
        return Fixed(refusal)

    def respond(data: bytes) -> Answer:
        sent = read(data, context.transfer_syntax)
        message = Message(data, context.transfer_syntax, peer)
        with steps.pool.connection(timeout=_WAIT_SECONDS) as connection, connection.transaction():
            before = rows.locked(connection, uid)
            if before is None:
                return _unknown()
            verdict = state.changed(before, sent, strict=steps.strict)
            if verdict.keys is not None:
                rows.change(connection, uid, verdict.keys, message, verdict.flags)
        return _answer(verdict, uid)

    return Gathered(partial(_guarded, respond), RESOURCE_LIMITATION)


def get(steps: Steps, _peer: Peer, context: Agreed, command: Command) -> Intake:
    """Return the intake that answers an N-GET."""
    uid = command.uid(Element.RequestedSOPInstanceUID)
    sop_class = command.uid(Element.RequestedSOPClassUID)
    refusal = _refusal(command, sop_class, uid, {MPPS, MPPS_RETRIEVE}, wants_data_set=False)
    if refusal:
        return Fixed(refusal)

    def respond(_data: bytes) -> Answer:
        with steps.pool.connection(timeout=_WAIT_SECONDS) as connection:
            keys = rows.read(connection, uid)
        if keys is None:
            return _unknown()
        verdict, found = state.selected(keys, command.tags(Element.AttributeIdentifierList))
        return _answer(verdict, uid, _data_set(keys, found, context.transfer_syntax))

    return Gathered(partial(_guarded, respond), RESOURCE_LIMITATION)


def _refusal(
    command: Command,
    sop_class: str,
    uid: str,
    classes: set[str],
    *,
    wants_data_set: bool = True,
) -> Answer | None:
    """Return why a request cannot be one of this service, None when it can."""
    if sop_class not in classes:
        status = CLASS_INSTANCE_CONFLICT if valid_uid(sop_class) else NO_SUCH_CLASS
        return Answer(status, "The SOP class is not that of the step")
    if not valid_uid(uid):
        return Answer(INVALID_INSTANCE, "The SOP instance is not a UID")
    if command.has_data_set is not wants_data_set:
        return Answer(MISTYPED_ARGUMENT, "There is no data set, or there is one too many")
    return None


def _guarded(respond: Callable[[bytes], Answer], data: bytes) -> Answer:
    """Answer; what cannot be parsed or kept becomes a status."""
    try:
        return respond(data)
    except Broken:
        return Answer(PROCESSING_FAILURE, "The data set cannot be parsed")
    except (psycopg.Error, PoolTimeout) as error:
        log.warning("a performed procedure step was not kept: %s", type(error).__name__)
        return Answer(RESOURCE_LIMITATION, "The index is not available")


def _answer(verdict: Verdict, uid: str, data_set: bytes | None = None) -> Answer:
    elements: dict[int, int | str | bytes] = {Element.AffectedSOPInstanceUID: uid}
    if verdict.error_id:
        elements[Element.ErrorID] = verdict.error_id
    if verdict.tags:
        elements[Element.AttributeIdentifierList] = attribute_tags(verdict.tags)
    return Answer(verdict.status, verdict.comment, data_set, elements)


def _unknown() -> Answer:
    return Answer(NO_SUCH_INSTANCE, "There is no step of this UID")


def _data_set(keys: dict[int, Key], found: dict[int, Key], transfer_syntax: str) -> bytes:
    return write(found.values(), transfer_syntax, terms_of(keys))


def _new_uid() -> str:
    """Return a UID of 128 random bits (PS3.5, B.2)."""
    return f"2.25.{uuid.uuid4().int}"
