"""The sequence number protocol of MSH-13 and MSA-4.

HL7 v2.9 chapter 2, section 2.10.1.
"""

import re
from collections.abc import Mapping
from typing import Final

from adapters.hl7.acknowledgement.ack import Problem
from adapters.hl7.message.tokenizer import Message
from adapters.hl7.mllp.opening import Finding

UNKNOWN: Final = -1
"""In MSA-4: nothing was taken yet, so the first number that comes is right."""
_NO_CHECK: Final = -1
_NUMBER: Final = re.compile(r"-1|\d{1,15}\Z")
_UNREADABLE: Final = -2


def sequence_number(message: Message) -> int | None:
    """Return MSH-13, None where it is empty: the message does not take part."""
    said = message.header.peek(13)
    if not said:
        return None
    return int(said) if _NUMBER.match(said) else _UNREADABLE


def check_sequence(message: Message, sender: str, expected: Mapping[str, int]) -> Finding | None:
    """Return why the number is not the one that is awaited: a message is missing, or old."""
    number = sequence_number(message)
    awaited = expected.get(sender, UNKNOWN)
    if number is None or number == _NO_CHECK or (number > 0 and awaited in {number, UNKNOWN}):
        return None
    # Table 0357 has no code for it: MSA-4 tells all.
    problem = Problem("The sequence number is not the expected one", "", "MSH", 1, 13)
    return Finding("AE", "CE", "BAD_MSH", problem, awaited)
