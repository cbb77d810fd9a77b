"""A message as it goes into the inbox."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

_CONTROL_ID_KEPT: Final = 200  # an index entry has a limit; the hash tells messages apart
AckMode = Literal["none", "original", "committed", "enhanced", "query", "reply"]


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it goes into the inbox.

    `ack` answers it at once, None where nothing is to be said now; `ack_mode` tells
    what follows: "committed" waits for the outcome to answer at all, "enhanced"
    may owe an application acknowledgement, "query" is answered by a response, and
    "reply" is an answer to a message of ours. `control_id` is None for what is no
    message. What came in one batch has one `batch_id`; `sequence` is the number of
    MSH-13 where it was checked and taken.
    """

    raw: bytes
    sha256: bytes
    state: Literal["stored", "rejected", "dead", "done"]
    sender: str
    partition_keys: tuple[str, ...]
    content_sha256: bytes | None = None
    control_id: str | None = None
    type: str = ""
    event: str = ""
    version: str = ""
    charset: str = ""
    processing_id: str = ""
    reason: str | None = None
    detail: str | None = None
    ack_mode: AckMode = "none"
    ack: bytes | None = None
    warnings: Mapping[str, int] = field(default_factory=dict)
    batch_id: int | None = None
    sequence: int | None = None


def kept_control_id(text: str) -> str:
    """Return a control id as the inbox keeps it: shortened, and without NUL."""
    return text.replace("\x00", "")[:_CONTROL_ID_KEPT]
