"""Acknowledgements that are known only after the checks on receipt."""

from datetime import datetime

from adapters.hl7.acknowledgement.ack import Problem, acknowledge, header_of, wants
from adapters.hl7.mapping.context import Refusal
from adapters.hl7.message.tokenizer import Message


def application(
    message: Message, mode: str, refusal: Refusal | None, now: datetime
) -> bytes | None:
    """Return the acknowledgement of a message's outcome, None where none is due.

    It is due in enhanced mode as MSH-16 says, and in original mode where the
    answer waits for the commit.
    """
    positive = refusal is None
    if mode == "enhanced":
        if not wants(message.header.peek(16), positive=positive):
            return None
    elif mode != "committed":
        return None
    if refusal is None:
        return acknowledge(header_of(message), "AA", now)
    segment, _, number = refusal.place.partition("-")
    place = int(number) if number.isdecimal() else 0
    problem = Problem(refusal.text, refusal.code, segment, 1, place)
    return acknowledge(header_of(message), "AE", now, (problem,))
