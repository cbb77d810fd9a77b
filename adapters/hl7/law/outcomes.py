"""ORL^O34: what an analyzer says of the work that it was given.

IHE Laboratory Technical Framework, volume 2b, transaction LAB-28; table 0119.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from adapters.hl7.message.charsets import Undecodable, UnsupportedCharset, decode
from adapters.hl7.message.tokenizer import BadHeader, Message, parse

State = Literal["accepted", "rejected", "cancelled", "in-progress"]
_STATES: Final[Mapping[str, State]] = {
    "OK": "accepted",
    "UA": "rejected",
    "CR": "cancelled",
    "UC": "in-progress",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is said of a message: MSA-1 and 2, and the state of each step that is named.

    `steps` is empty where nothing is said of single steps.
    """

    code: str
    control_id: str
    steps: Mapping[str, State]


def outcome(raw: bytes) -> Outcome | None:
    """Return what a reply says, None where it cannot be read."""
    try:
        message = parse(decode(raw, fallback="latin-1").text)
    except (BadHeader, Undecodable, UnsupportedCharset):
        return None
    msa = next(iter(message.named("MSA")), None)
    if msa is None:
        return None
    return Outcome(msa.peek(1), msa.peek(2), _steps(message))


def _steps(message: Message) -> dict[str, State]:
    """Return the state of each step by its number (ORC-2)."""
    return {
        orc.peek(2): _STATES[orc.peek(1)]
        for orc in message.named("ORC")
        if orc.peek(1) in _STATES and orc.peek(2)
    }
