"""The answer to a message that could not be stored."""

from datetime import datetime

from adapters.hl7.acknowledgement.ack import Problem, acknowledge, header_of, is_enhanced
from adapters.hl7.inbox.received import Received
from adapters.hl7.message.charsets import Undecodable, UnsupportedCharset, decode
from adapters.hl7.message.tokenizer import BadHeader, parse
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
