"""The parts of a store request on their way into the archive.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_10.5
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from adapters.dicom.dataset.elements import Broken
from adapters.dicom.dataset.head import valid_uid
from adapters.dicom.dataset.part10 import identity, opened
from adapters.dicom.dataset.syntaxes import is_kept, is_storage
from adapters.dicom.network.negotiate import Agreed
from adapters.dicom.network.peer import Peer
from adapters.dicom.network.statuses import (
    CANNOT_UNDERSTAND,
    CLASS_NOT_SUPPORTED,
    DOES_NOT_MATCH,
    INVALID_INSTANCE,
)
from adapters.dicom.storage.store import HEAD, Archive, Reception, Recorded

SYNTAX_NOT_SUPPORTED = 0xC122


@dataclass(frozen=True, slots=True)
class Rules:
    """Where instances go, whom they come from, and which are taken.

    `study`, where the path names one, is the only one; `transfer_syntaxes` are private ones
    that are kept too; `may_add` says of a study whether the caller may add to it, where not
    everything is his to change; `recorded` records who stores.
    """

    archive: Archive
    peer: Peer
    study: str | None
    accept_unknown: bool
    transfer_syntaxes: frozenset[str]
    may_add: Callable[[str], bool] | None = None
    recorded: Recorded | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an instance: a status of C-STORE; its UIDs, as far as they are known."""

    status: int
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""


class Part:
    """An instance as it comes in one part: `write` its pieces, then `finish` or `discard` it.

    `syntax` is what the part's header says of its transfer syntax.
    """

    def __init__(self, rules: Rules, syntax: str = "") -> None:
        self._rules = rules
        self._syntax = syntax
        self._head = bytearray()
        self._reception: Reception | None = None
        self._named: tuple[str, str] = ("", "")
        self._refused = 0

    def write(self, piece: bytes) -> None:
        """Take the next piece; after a refusal, let the rest go by."""
        if self._refused:
            return
        if self._reception:
            self._reception.write(memoryview(piece))
            return
        self._head += piece
        if len(self._head) >= HEAD:
            self._begin(whole=False)

    def finish(self) -> Outcome:
        """Store the instance and return what became of it."""
        if self._reception is None and not self._refused:
            self._begin(whole=True)
        if self._reception is None:
            return Outcome(self._refused, *self._named)
        return finished(self._reception, *self._named)

    def discard(self) -> None:
        """Forget a part that will not be complete."""
        if self._reception:
            self._reception.discard()

    def _begin(self, *, whole: bool) -> None:
        """Find out what the part holds, and begin to store it or refuse it."""
        try:
            opening = opened(self._head, self._syntax)
            self._named = (opening.sop_class_uid, opening.sop_instance_uid)
            data = bytes(memoryview(self._head)[opening.offset :])
            self._named = identity(data, opening.transfer_syntax, whole=whole)
        except Broken:
            self._refused = CANNOT_UNDERSTAND
        else:
            found = begun(self._rules, *self._named, opening.transfer_syntax)
            if isinstance(found, int):
                self._refused = found
            else:
                self._reception = found
                found.write(memoryview(data))
        self._head.clear()


def begun(rules: Rules, sop_class_uid: str, sop_instance_uid: str, syntax: str) -> Reception | int:
    """Return the reception of an instance, or the status with which it is refused."""
    if not sop_class_uid or not sop_instance_uid:
        return DOES_NOT_MATCH
    if not valid_uid(sop_instance_uid) or not valid_uid(sop_class_uid):
        return INVALID_INSTANCE
    storage = is_storage(sop_class_uid, accept_unknown=rules.accept_unknown)
    if not storage or sop_class_uid in rules.archive.denied:
        return CLASS_NOT_SUPPORTED
    if not is_kept(syntax) and syntax not in rules.transfer_syntaxes:
        return SYNTAX_NOT_SUPPORTED
    context = Agreed(0, sop_class_uid, syntax, storage=True)
    return Reception(
        *(rules.archive, rules.peer, context, sop_instance_uid),
        study=rules.study,
        may_add=rules.may_add,
        recorded=rules.recorded,
    )


def finished(reception: Reception, sop_class_uid: str, sop_instance_uid: str) -> Outcome:
    """Store what a reception got, and return what became of it."""
    status = reception.finish().status
    kept = reception.kept
    return Outcome(
        status,
        sys.intern(sop_class_uid),
        sop_instance_uid,
        sys.intern(kept.study_instance_uid) if kept else "",
        sys.intern(kept.series_instance_uid) if kept else "",
    )
