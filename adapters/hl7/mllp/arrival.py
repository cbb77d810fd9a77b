"""What becomes of a frame: one message, or all those of a batch.

HL7 v2.9 chapter 2, section 2.10.3.
"""

import hashlib
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from adapters.hl7.acknowledgement.ack import POSITIVE, Problem, acknowledge
from adapters.hl7.acknowledgement.batch_ack import acknowledge_batch
from adapters.hl7.inbox.received import Received
from adapters.hl7.message.batch import Batch, BatchHeader, is_batch, split
from adapters.hl7.message.charsets import wide_codec
from adapters.hl7.message.files import messages
from adapters.hl7.mllp.examine import examine, leftover
from adapters.hl7.mllp.framing import OVERSIZE_KEPT, Frame, Framer, Kind
from adapters.hl7.mllp.opening import open_message
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.profiles.read import Profiles
from fhir_server.hl7_settings import Hl7Settings

_MISMATCH: Final = "BTS-1 or FTS-1 is not the number of what came"
_INCOMPLETE: Final = "The batch has no end"
# Their rows and answers are held until all are stored, and nobody else is heard meanwhile.
_MOST_MESSAGES: Final = 10_000
_TOO_MANY: Final = f"A frame has at most {_MOST_MESSAGES} messages"


@dataclass(frozen=True, slots=True)
class Arrival:
    """The rows of a frame; those of one with a `batch` header are answered together."""

    received: tuple[Received, ...]
    batch: BatchHeader | None = None
    comment: str = ""


@dataclass(slots=True)
class Desk:
    """What the checks on receipt go by: the channel's settings, and who sends what.

    `expected` is the next sequence number by sender, kept up to date here; `profiles`
    are those that serve now; `dialogue` tells that queries are answered.
    """

    settings: Hl7Settings
    origin: Origin
    profiles: Profiles
    expected: MutableMapping[str, int]
    dialogue: bool = False

    def take(self, frame: Frame, now: datetime) -> Received:
        """Return what becomes of one message."""
        received = examine(
            frame,
            self.settings,
            now,
            origin=self.origin,
            profiles=self.profiles,
            expected=self.expected,
            dialogue=self.dialogue,
        )
        if received.sequence is not None:
            self.expected[received.sender] = received.sequence + 1
        return received


def file_arrivals(content: bytes, desk: Desk, now: datetime) -> list[Arrival]:
    """Return what becomes of a file: of its frames, its batch or its one message.

    It may be in UTF-16 or UTF-32, which frames cannot hold.
    """
    if content[:1] == b"\x0b":
        framer = Framer(len(content))
        frames = framer.feed(content) + framer.end()
        return [arrival(frame, desk, now) for frame in frames]
    codec = wide_codec(content)
    if codec is None:
        return [arrival(Frame(Kind.WHOLE, content.lstrip()), desk, now)]
    batch = split(content.decode(codec, errors="replace").removeprefix("\ufeff").encode())
    if batch is None:
        return [arrival(Frame(Kind.WHOLE, content), desk, now)]
    return [_batch(content, replace(batch, messages=tuple(messages(content))), desk, now)]


def arrival(frame: Frame, desk: Desk, now: datetime) -> Arrival:
    """Return what becomes of a frame; never raises for what a sender may send."""
    if frame.kind is Kind.WHOLE and is_batch(frame.content):
        batch = split(frame.content)
        if batch is not None:
            return _batch(frame.content, batch, desk, now)
    return Arrival((desk.take(frame, now),))


def _batch(content: bytes, batch: Batch, desk: Desk, now: datetime) -> Arrival:
    if desk.origin.framed and len(batch.messages) > _MOST_MESSAGES:
        return Arrival((_too_many(content, batch, desk, now),))
    if batch.finding == "BATCH_INCOMPLETE":
        return Arrival((_cut(content, batch, desk, now),))
    # The same bytes are the same batch again.
    number = int.from_bytes(hashlib.sha256(content).digest()[:8]) >> 1
    messages = [desk.take(Frame(Kind.WHOLE, one), now) for one in batch.messages]
    rows = [replace(one, batch_id=number) for one in messages]
    if batch.envelope:
        sender = rows[0].sender if rows else "-"
        rows.append(replace(_envelope(batch), batch_id=number, sender=sender))
    return Arrival(tuple(rows), batch.header, _MISMATCH if batch.finding else "")


def _envelope(batch: Batch) -> Received:
    """Return the row of the segments around the messages; it flags what is wrong with them."""
    kept = leftover(batch.envelope, batch.finding, _MISMATCH)
    said = replace(kept, type="BATCH")
    return said if batch.finding else replace(said, state="done", reason=None, detail=None)


def _cut(content: bytes, batch: Batch, desk: Desk, now: datetime) -> Received:
    """Return the one row of a batch that was cut; its messages are awaited again.

    None of them is taken, as the last may be cut as well: each is told so.
    """
    problem = Problem(_INCOMPLETE, "100")
    acks = []
    for one in batch.messages:
        opened = open_message(one, desk.settings, desk.origin, desk.profiles)
        acks.append(acknowledge(opened.header, "AE", now, (problem,)))
    answer = acknowledge_batch(batch.header or BatchHeader(), acks, now, _INCOMPLETE)
    kept = leftover(content, batch.finding, _INCOMPLETE)
    return replace(kept, type="BATCH", state="rejected", ack_mode="original", ack=answer)


def _too_many(content: bytes, batch: Batch, desk: Desk, now: datetime) -> Received:
    """Return the one row of a batch that is refused whole, in the name of its first message."""
    opened = open_message(batch.messages[0], desk.settings, desk.origin, desk.profiles)
    ack = acknowledge(opened.header, "AR", now, (Problem(_TOO_MANY, "207"),))
    kept = leftover(content[:OVERSIZE_KEPT], "OVERSIZE", _TOO_MANY)
    return replace(kept, type="BATCH", state="rejected", ack_mode="original", ack=ack)


def answers(
    whole: Arrival, acks: Sequence[bytes | None], settings: Hl7Settings, now: datetime
) -> list[bytes]:
    """Return what is sent for the acknowledgements of the rows, in their order.

    A sender that wants none of them (MSH-15) gets no batch either.
    """
    due = [ack for ack in acks if ack is not None]
    if whole.batch is None or settings.batch_ack == "each" or (acks and not due):
        return due
    if settings.batch_ack == "errors":
        due = [ack for ack in due if code_of(ack) not in POSITIVE]
    return [acknowledge_batch(whole.batch, due, now, whole.comment)]


def code_of(ack: bytes) -> str:
    """Return MSA-1 of an acknowledgement that this server wrote."""
    at = ack.find(b"\rMSA") + 5
    return ack[at : at + 2].decode("ascii", "replace")
