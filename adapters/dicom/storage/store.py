"""C-STORE: an instance is durable, with its index row and fold job, before Success.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_B.2
"""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg

from adapters.dicom import metrics
from adapters.dicom.dataset.elements import Broken, MoreNeeded
from adapters.dicom.dataset.filemeta import file_meta
from adapters.dicom.dataset.head import (
    BadUid,
    Head,
    MissingUid,
    head,
    inflated,
    is_deflated,
    stepped_head,
    valid_uid,
)
from adapters.dicom.network.command import Answer, Command, Element
from adapters.dicom.network.negotiate import Agreed
from adapters.dicom.network.peer import Peer
from adapters.dicom.network.services import Fixed, Intake
from adapters.dicom.network.statuses import (
    CANNOT_UNDERSTAND,
    CLASS_NOT_SUPPORTED,
    DOES_NOT_MATCH,
    DUPLICATE_INSTANCE,
    INVALID_INSTANCE,
    NOT_AUTHORIZED,
    OUT_OF_RESOURCES,
    SUCCESS,
)
from adapters.dicom.storage.again import Verdict
from adapters.dicom.storage.defaults import completed
from adapters.dicom.storage.index import Row, Rows
from adapters.dicom.storage.quota import Quota, Reserve
from fhir_server.at_rest.files import pread
from fhir_server.blobs import Arrival, Blobs
from fhir_server.errors import Unavailable
from fhir_server.jobs import Job

log = logging.getLogger(__name__)


HEAD = 256 << 10

_REFUSALS = {
    Verdict.REJECTED: (DOES_NOT_MATCH, "The instance was rejected"),
    Verdict.TAKEN: (DUPLICATE_INSTANCE, "Another content has this SOPInstanceUID"),
}


@dataclass(frozen=True, slots=True)
class Archive:
    """Where instances are kept, the largest one's bytes, and how much there is room for.

    `denied` are the SOP classes that are not taken.
    """

    blobs: Blobs
    index: Rows
    max_object_bytes: int
    reserve: Reserve
    quota: Quota
    denied: frozenset[str] = frozenset()


class Refused(Exception):
    """The instance is not stored; `answer` tells the peer why."""

    def __init__(self, status: int, comment: str) -> None:
        super().__init__(comment)
        self.answer = Answer(status, comment)


def store(archive: Archive, peer: Peer, context: Agreed, command: Command) -> Intake:
    """Return the intake of a C-STORE's data set."""
    sop_class = command.uid(Element.AffectedSOPClassUID)
    sop_instance = command.uid(Element.AffectedSOPInstanceUID)
    if not context.storage or context.abstract_syntax in archive.denied:
        return Fixed(Answer(CLASS_NOT_SUPPORTED, "The SOP class is not stored"))
    if sop_class != context.abstract_syntax:
        return Fixed(Answer(DOES_NOT_MATCH, "The SOP class is not that of the context"))
    if not valid_uid(sop_instance):
        return Fixed(Answer(INVALID_INSTANCE, "AffectedSOPInstanceUID is not a UID"))
    if not command.has_data_set:
        return Fixed(Answer(CANNOT_UNDERSTAND, "There is no data set"))
    return Reception(archive, peer, context, sop_instance)


class Recorded(Protocol):
    """Records that somebody stores to studies, where that is not the archive's daily work."""

    def jobs(self, study: str) -> tuple[Job, ...]:
        """Return what is to be committed with an instance of a study (UID)."""

    def kept(self, study: str) -> None:
        """Know that it is committed."""


class Reception:
    """One instance on its way into the archive.

    `kept` is its head once it is stored. With `study`, it is refused in any other; with
    `may_add`, in a study (UID) of which that says no. With `recorded`, that is committed
    with it.
    """

    def __init__(
        self,
        archive: Archive,
        peer: Peer,
        context: Agreed,
        sop_instance_uid: str,
        study: str | None = None,
        may_add: Callable[[str], bool] | None = None,
        recorded: Recorded | None = None,
    ) -> None:
        self.kept: Head | None = None
        self._study = study
        self._may_add = may_add
        self._recorded = recorded
        self._archive = archive
        self._peer = peer
        self._context = context
        self._sop_instance_uid = sop_instance_uid
        self._arrival: Arrival | None = None
        self._meta = file_meta(
            context.abstract_syntax, sop_instance_uid, context.transfer_syntax, peer.calling
        )
        self._head = bytearray()
        self._size = 0
        self._began = time.monotonic()
        self._room = 0
        self._data_set_hash = hashlib.sha256()
        self._refused: Refused | None = None
        self._attempt(self._create)

    def write(self, fragment: memoryview) -> None:
        """Append to the file; after a refusal, let the rest go by."""
        if self._refused is None:
            self._attempt(self._append, fragment)

    def finish(self) -> Answer:
        """Make the instance durable and known, and return Success; else why not."""
        answer = self._finished()
        kept = self._size if answer.status == SUCCESS else 0
        metrics.answered(self._peer.calling, answer.status, kept)
        return answer

    def _finished(self) -> Answer:
        try:
            self._keep()
        except Refused as refused:
            self.discard()
            return refused.answer
        except (OSError, psycopg.Error, Unavailable) as error:
            log.warning("an instance could not be kept: %s", type(error).__name__)
            self.discard()
            return Answer(OUT_OF_RESOURCES, "The archive is not available")
        except Exception as error:  # noqa: BLE001  (an association outlives any data set)
            log.error("an instance failed: %s", type(error).__name__)  # noqa: TRY400  (no values)
            self.discard()
            return Answer(CANNOT_UNDERSTAND, "The data set cannot be processed")
        return Answer(SUCCESS)

    def discard(self) -> None:
        """Remove what has come so far."""
        if self._arrival:
            self._arrival.drop()

    def _attempt(self, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(*arguments)
        except Refused as refused:
            self._refused = refused
        except OSError as error:
            log.warning("an instance could not be written: %s", type(error).__name__)
            self._refused = Refused(OUT_OF_RESOURCES, "The archive cannot write")
        if self._refused is not None:
            self.discard()

    def _create(self) -> None:
        if self._archive.reserve.free(self._archive.blobs.root) < 0:
            raise Refused(OUT_OF_RESOURCES, "The archive is full")
        self._room = self._archive.quota.room(self._peer.calling)
        if self._room <= 0:
            raise Refused(OUT_OF_RESOURCES, "The quota is used up")
        self._arrival = self._archive.blobs.arrive()
        self._arrival.write(self._meta)

    def _append(self, fragment: memoryview) -> None:
        self._size += len(fragment)
        if self._size > self._archive.max_object_bytes:
            raise Refused(OUT_OF_RESOURCES, "The object is too large")
        if self._size > self._room:
            raise Refused(OUT_OF_RESOURCES, "The quota is used up")
        self._arriving().write(fragment)
        self._data_set_hash.update(fragment)
        missing = HEAD - len(self._head)
        if missing > 0:
            self._head += fragment[:missing]

    def _keep(self) -> None:
        """The order is binding: file synced, renamed, directory synced, row committed."""
        if self._refused is not None:
            raise self._refused
        since = metrics.stepped("receive", self._began)
        found = self._read_head()
        since = metrics.stepped("parse", since)
        self._check(found)
        digest = self._arriving().keep().digest
        since = metrics.stepped("fsync", since)
        verdict, needed = self._archive.index.add(self._row(found))
        metrics.stepped("commit", since)
        if verdict is Verdict.CONFLICT:
            log.warning("another content came for instance %s", self._sop_instance_uid)
        if not needed:
            self._archive.blobs.remove(digest)
        if verdict in _REFUSALS:
            raise Refused(*_REFUSALS[verdict])
        if verdict is not Verdict.DUPLICATE:
            self._archive.quota.charge(self._peer.calling, self._size)
        if self._recorded:
            self._recorded.kept(found.study_instance_uid)
        self.kept = found

    def _check(self, found: Head) -> None:
        """Refuse what is not what the command and the request said, or not the sender's to add."""
        if found.sop_class_uid != self._context.abstract_syntax:
            raise Refused(DOES_NOT_MATCH, "SOPClassUID is not that of the command")
        if found.sop_instance_uid != self._sop_instance_uid:
            raise Refused(DOES_NOT_MATCH, "SOPInstanceUID is not that of the command")
        if self._study is not None and found.study_instance_uid != self._study:
            raise Refused(DOES_NOT_MATCH, "StudyInstanceUID is not that of the request")
        if self._may_add is not None and not self._may_add(found.study_instance_uid):
            raise Refused(NOT_AUTHORIZED, "The sender may not add to this study")

    def _row(self, found: Head) -> Row:
        return Row(
            sop_instance_uid=found.sop_instance_uid,
            study_instance_uid=found.study_instance_uid,
            series_instance_uid=found.series_instance_uid,
            sop_class_uid=found.sop_class_uid,
            transfer_syntax_uid=self._context.transfer_syntax,
            blob=self._arriving().digest(),
            data_set_hash=self._data_set_hash.digest(),
            size=self._size,
            data_set_offset=len(self._meta),
            pixel_offset=found.pixel_offset,
            calling_ae=self._peer.calling,
            peer=self._peer.address,
            flags=sorted(found.flags),
            attributes=completed(found.attributes, self._peer.issuer, self._peer.timezone),
            recorded=self._recorded.jobs(found.study_instance_uid) if self._recorded else (),
        )

    def _read_head(self) -> Head:
        """Return the head of the data set; Refused when the instance cannot be indexed."""
        syntax = self._context.transfer_syntax
        try:
            if is_deflated(syntax):
                return self._inflated_head()
            try:
                return head(self._head, self._size, syntax)
            except MoreNeeded:
                return self._long_head()
        except (Broken, MoreNeeded) as error:
            raise Refused(CANNOT_UNDERSTAND, str(error) or "The data set is cut off") from None
        except MissingUid as error:
            raise Refused(DOES_NOT_MATCH, str(error)) from None
        except BadUid as error:
            raise Refused(INVALID_INSTANCE, str(error)) from None

    def _long_head(self) -> Head:
        """Read the head from the file, as values before the last wanted one are long."""
        start = len(self._meta)
        with self._arriving().stored().open() as file:
            return stepped_head(
                lambda length: pread(file, start, start + length),
                self._size,
                self._context.transfer_syntax,
            )

    def _inflated_head(self) -> Head:
        with self._arriving().stored().open() as file:
            file.seek(len(self._meta))
            plain = inflated(file.read, self._size, self._archive.max_object_bytes)
        return head(plain, len(plain), self._context.transfer_syntax)

    def _arriving(self) -> Arrival:
        assert self._arrival is not None, "nothing was refused, so the file is there"
        return self._arrival


def archive_root(blobs: Path) -> Path:
    """Return the archive's own directory, as its sweeper knows only its own blobs."""
    return blobs / "dicom"
