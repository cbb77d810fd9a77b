"""A storage commitment as values: what is asked, what is decided, what is reported.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_J.3
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.dicom.dataset.elements import Broken
from adapters.dicom.dataset.head import valid_uid
from adapters.dicom.dataset.identifier import Key, Keys, read, tag_of, vr_of, write
from adapters.dicom.network.classes import COMMITMENT, COMMITMENT_INSTANCE
from adapters.dicom.network.command import Command, Element, Field
from adapters.dicom.network.statuses import (
    CLASS_INSTANCE_CONFLICT,
    CLASS_NOT_SUPPORTED,
    INVALID_ARGUMENT,
    INVALID_INSTANCE,
    MISTYPED_ARGUMENT,
    NO_SUCH_ACTION,
    NO_SUCH_ARGUMENT,
    NO_SUCH_CLASS,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
)

# A failure reason of its own; the others are statuses (PS3.3, C.14.1.1).
DUPLICATE_TRANSACTION: Final = 0x0131

REQUEST: Final = 1
ALL_COMMITTED: Final = 1
SOME_FAILED: Final = 2

_MINUTE = 60.0
_DELAYS = (1, 5, 15, 60, 120, 240, 480, 960, 1440)
_TRANSACTION = tag_of("TransactionUID")
_REFERENCED = tag_of("ReferencedSOPSequence")
_CLASS = tag_of("ReferencedSOPClassUID")
_INSTANCE = tag_of("ReferencedSOPInstanceUID")

Reference = tuple[str, str]
"""SOP class and SOP instance."""

Failed = tuple[str, str, int]
"""SOP class, SOP instance and failure reason."""


class Refused(Exception):
    """A request that is not taken; `status` goes into the response."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """What a requester asks to have committed."""

    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """An instance of the index: its class, and whether its file is whole."""

    sop_class_uid: str
    intact: bool


def check(command: Command) -> None:
    """Refuse an N-ACTION that is not the request of this service."""
    sop_class = command.uid(Element.RequestedSOPClassUID)
    instance = command.uid(Element.RequestedSOPInstanceUID)
    if sop_class != COMMITMENT:
        conflict = instance == COMMITMENT_INSTANCE and valid_uid(sop_class)
        status = CLASS_INSTANCE_CONFLICT if conflict else NO_SUCH_CLASS
        raise Refused(status, "The SOP class is not that of storage commitment")
    if not valid_uid(instance):
        raise Refused(INVALID_INSTANCE, "The SOP instance is not a UID")
    if instance != COMMITMENT_INSTANCE:
        raise Refused(NO_SUCH_INSTANCE, "The SOP instance is not the well-known one")
    if command.number(Element.ActionTypeID) != REQUEST:
        raise Refused(NO_SUCH_ACTION, "The action type is not 1")
    if not command.has_data_set:
        raise Refused(MISTYPED_ARGUMENT, "There is no action information")


def understood(data: bytes, transfer_syntax: str) -> Request:
    """Return the action information as a request. Raises Refused."""
    try:
        keys = read(data, transfer_syntax)
    except Broken as error:
        raise Refused(PROCESSING_FAILURE, "The action information cannot be parsed") from error
    for tag in (_TRANSACTION, _REFERENCED):
        if tag not in keys:
            raise Refused(NO_SUCH_ARGUMENT, "Transaction UID or references are absent")
    transaction_uid = _uid(keys, _TRANSACTION)
    found = tuple((_uid(item, _CLASS), _uid(item, _INSTANCE)) for item in keys[_REFERENCED].values)
    if not found or not all(
        map(valid_uid, (transaction_uid, *(uid for one in found for uid in one)))
    ):
        raise Refused(INVALID_ARGUMENT, "A UID is absent, or is none")
    return Request(transaction_uid, tuple(dict.fromkeys(found)))


def _uid(keys: Keys, tag: int) -> str:
    key = keys.get(tag)
    return str(key.values[0]) if key and key.values else ""


def failures(
    references: Sequence[Reference], known: Mapping[str, Stored], storage: Mapping[str, bool]
) -> list[Failed]:
    """Return what cannot be committed: `known` is what is stored, `storage` which classes are."""
    reasons = (_reason(sop_class, known.get(uid), storage) for sop_class, uid in references)
    pairs = zip(references, reasons, strict=True)
    return [(sop_class, uid, reason) for (sop_class, uid), reason in pairs if reason]


def _reason(sop_class: str, found: Stored | None, storage: Mapping[str, bool]) -> int:
    if found is None:
        return NO_SUCH_INSTANCE if storage[sop_class] else CLASS_NOT_SUPPORTED
    if found.sop_class_uid != sop_class:
        return CLASS_INSTANCE_CONFLICT
    return 0 if found.intact else PROCESSING_FAILURE


def may_come(failed: Sequence[Failed]) -> bool:
    """Return whether some of the failures may end by waiting: instances that are on their way."""
    return any(reason == NO_SUCH_INSTANCE for _, _, reason in failed)


def duplicated(references: Sequence[Reference]) -> list[Failed]:
    """Return the failures of a request whose transaction UID is in use for another one."""
    return [(*one, DUPLICATE_TRANSACTION) for one in references]


def delay(attempts: int) -> float:
    """Return the seconds to wait after so many reports that did not arrive: at most a day."""
    return _DELAYS[min(max(attempts, 1), len(_DELAYS)) - 1] * _MINUTE


def event(failed: Sequence[Failed]) -> dict[int, int | str]:
    """Return the command elements of the N-EVENT-REPORT (PS3.4, J.3.3)."""
    return {
        Element.AffectedSOPClassUID: COMMITMENT,
        Element.CommandField: Field.N_EVENT_REPORT_RQ,
        Element.AffectedSOPInstanceUID: COMMITMENT_INSTANCE,
        Element.EventTypeID: SOME_FAILED if failed else ALL_COMMITTED,
    }


def information(
    request: Request, failed: Sequence[Failed], retrieve_from: str, transfer_syntax: str
) -> bytes:
    """Return the event information (PS3.4, Table J.3-2)."""
    lost = {(sop_class, uid) for sop_class, uid, _ in failed}
    kept = [_item(*one) for one in request.references if one not in lost]
    return write(_elements(request, kept, failed, retrieve_from), transfer_syntax)


def _elements(
    request: Request, kept: Sequence[Any], failed: Sequence[Failed], retrieve_from: str
) -> Iterator[Key]:
    yield _key("TransactionUID", request.transaction_uid)
    if kept:
        yield _key("RetrieveAETitle", retrieve_from)
        yield Key(_REFERENCED, "SQ", tuple(kept))
    if failed:
        items = tuple(_item(*one) for one in failed)
        yield Key(tag_of("FailedSOPSequence"), "SQ", items)


def _item(sop_class: str, uid: str, reason: int | None = None) -> dict[int, Key]:
    keys = [_key("ReferencedSOPClassUID", sop_class), _key("ReferencedSOPInstanceUID", uid)]
    if reason is not None:
        keys.append(_key("FailureReason", reason))
    return {one.tag: one for one in keys}


def _key(keyword: str, value: str | int) -> Key:
    tag = tag_of(keyword)
    return Key(tag, vr_of(tag), (value,))
