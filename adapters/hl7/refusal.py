"""Acknowledgements that are known only after the checks on receipt."""

from datetime import datetime

from adapters.hl7.ack import Problem, acknowledge
from adapters.hl7.charsets import Undecodable, UnsupportedCharset, decode
from adapters.hl7.context import Refusal
from adapters.hl7.examine import Received, header_of, is_enhanced, wants
from adapters.hl7.tokenizer import BadHeader, Message, parse
from fhir_server.config import Hl7Settings


def storage_failed(received: Received, settings: Hl7Settings, now: datetime) -> bytes | None:
    """Return the rejection of a message that could not be stored, None for what is no message."""
    if received.control_id is None:
        return None
    try:
        decoded = decode(
            received.raw, fallback=settings.fallback_charset, override=settings.charset_override
        )
        message = parse(decoded.text, decoded.codec)
    except (UnsupportedCharset, Undecodable, BadHeader):
        return None
    code = "CR" if is_enhanced(message) else "AR"
    problem = Problem("The message could not be stored", "207")
    return acknowledge(header_of(message), code, now, (problem,))


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
