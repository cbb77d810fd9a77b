"""Acknowledgements that are known only after the checks on receipt."""

import re
from datetime import datetime
from typing import Final, Literal

from adapters.hl7.acknowledgement.ack import (
    Header,
    Problem,
    Response,
    acknowledge,
    header_of,
    wants,
)
from adapters.hl7.acknowledgement.responses import response_form, with_outcome
from adapters.hl7.mapping.context import Refusal
from adapters.hl7.message.tokenizer import Message

OrderResponse = Literal["ack", "orl"]

_PLACE: Final = re.compile(
    r"(?P<segment>[A-Z][A-Z0-9]{2})(?:\[(?P<sequence>\d+)\])?"
    r"(?:-(?P<number>\d+)(?:\[(?P<repetition>\d+)\])?"
    r"(?:\.(?P<component>\d+)(?:\.(?P<subcomponent>\d+))?)?)?\Z"
)


def application(
    message: Message,
    mode: str,
    refusal: Refusal | None,
    now: datetime,
    order_response: OrderResponse = "ack",
) -> bytes | None:
    """Return the acknowledgement of a message's outcome, None where none is due.

    It is due in enhanced mode as MSH-16 says, and in original mode where the
    answer waits for the commit.
    """
    positive = refusal is None
    enhanced = mode == "enhanced"
    if enhanced and not wants(message.header.peek(16), positive=positive):
        return None
    if not enhanced and mode != "committed":
        return None
    header = header_of(message)
    response = _response(header, message, order_response, positive=positive)
    problems = () if refusal is None else (problem_of(refusal),)
    code = "AA" if positive else "AE"
    return acknowledge(header, code, now, problems, response=response, closes=enhanced)


def _response(
    header: Header, message: Message, order_response: OrderResponse, *, positive: bool
) -> Response | None:
    form = response_form(header) if order_response == "orl" else None
    return with_outcome(form, message, positive=positive) if form else None


def problem_of(refusal: Refusal) -> Problem:
    """Return the refusal as ERR says it: `PID[2]-3[1].4` is its place in the message."""
    found = _PLACE.match(refusal.place)
    if found is None:
        return Problem(refusal.text, refusal.code)
    return Problem(
        refusal.text,
        refusal.code,
        found["segment"],
        int(found["sequence"] or 1),
        int(found["number"] or 0),
        int(found["repetition"] or 1),
        int(found["component"] or 1),
        int(found["subcomponent"] or 0),
    )
