"""The sub-operations of a retrieval: their counts, their contexts, their pieces.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_C.4.2
https://dicom.nema.org/medical/dicom/current/output/html/part07.html#sect_9.1.4
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from adapters.dicom.dataset.identifier import Key, tag_of, write
from adapters.dicom.dataset.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from adapters.dicom.network.associate import MAX_CONTEXTS
from adapters.dicom.network.command import Answer, Element
from adapters.dicom.network.statuses import CANCELLED, PENDING, SUCCESS

WITH_FAILURES = 0xB000
UNREACHABLE = 0xA702
_WARNING = 0xB

UNCOMPRESSED = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)

Pair = tuple[str, str]
"""An abstract and a transfer syntax."""


@dataclass(frozen=True, slots=True)
class Held:
    """An instance as it is stored: its data set is `size` bytes from `offset` of its blob.

    `overlay` is what was corrected of its study, JSON as text; `pixel_offset` counts in the
    data set, None where it has no pixels.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    blob: str
    offset: int
    size: int
    overlay: str | None = None
    pixel_offset: int | None = None
    study_instance_uid: str = ""


@dataclass(slots=True)
class Tally:
    """How many of the sub-operations are done; what is neither remains."""

    total: int
    completed: int = 0
    warned: int = 0
    failed: list[str] = field(default_factory=list)

    def count(self, sop_instance_uid: str, status: int) -> None:
        """Count a sub-operation by the status that it had."""
        if status == SUCCESS:
            self.completed += 1
        elif status >> 12 == _WARNING:
            self.warned += 1
        else:
            self.failed.append(sop_instance_uid)

    def pending(self) -> Answer:
        """Return the response that tells how far it is."""
        return Answer(PENDING, elements={**self._counts(), **self._remaining()})

    def final(self, status: int, transfer_syntax: str, comment: str = "") -> Answer:
        """Return the last response; what remains is told only of a cancelled one.

        Anything but success names the instances that failed (PS3.4, C.4.2.1.4.2).
        """
        elements = self._counts()
        if status == CANCELLED:
            elements |= self._remaining()
        data_set = None if status == SUCCESS else self._failures(transfer_syntax)
        return Answer(status, comment, data_set, elements)

    def outcome(self) -> int:
        """Return the status of a retrieval that came to its end."""
        return WITH_FAILURES if self.failed or self.warned else SUCCESS

    def _counts(self) -> dict[int, int | str]:
        return {
            Element.NumberOfCompletedSuboperations: _short(self.completed),
            Element.NumberOfFailedSuboperations: _short(len(self.failed)),
            Element.NumberOfWarningSuboperations: _short(self.warned),
        }

    def _remaining(self) -> dict[int, int | str]:
        done = self.completed + self.warned + len(self.failed)
        return {Element.NumberOfRemainingSuboperations: _short(self.total - done)}

    def _failures(self, transfer_syntax: str) -> bytes:
        tag = tag_of("FailedSOPInstanceUIDList")
        return write([Key(tag, "UI", tuple(self.failed))], transfer_syntax)


def _short(count: int) -> int:
    """Return a count as its element can hold it, an unsigned short."""
    return min(count, 0xFFFF)


def batches(instances: Sequence[Held]) -> Iterator[tuple[list[Held], list[Pair]]]:
    """Yield instances with the contexts to propose for them, at most 128 at a time.

    Each class is proposed as it is stored, and uncompressed besides.
    """
    batch: list[Held] = []
    pairs: dict[Pair, None] = {}
    for one in instances:
        own = (one.transfer_syntax_uid, *UNCOMPRESSED)
        needed = dict.fromkeys((one.sop_class_uid, syntax) for syntax in own)
        if len(pairs | needed) > MAX_CONTEXTS:
            yield batch, list(pairs)
            batch, pairs = [], {}
        batch.append(one)
        pairs |= needed
    if batch:
        yield batch, list(pairs)


def chosen(one: Held, accepted: Sequence[Pair] | set[Pair]) -> str | None:
    """Return the transfer syntax to send an instance in, None when there is no context for it."""
    syntaxes = (one.transfer_syntax_uid, *UNCOMPRESSED)
    return next((uid for uid in syntaxes if (one.sop_class_uid, uid) in accepted), None)
