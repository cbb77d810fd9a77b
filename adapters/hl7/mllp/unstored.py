"""The answer to a message that could not be stored."""

from datetime import datetime

from adapters.hl7.acknowledgement.ack import Problem, acknowledge, is_enhanced
from adapters.hl7.inbox.received import Received
from adapters.hl7.mllp.arrival import Desk
from adapters.hl7.mllp.opening import open_message


def storage_failed(received: Received, desk: Desk, now: datetime) -> bytes | None:
    """Return the rejection of a message that could not be stored, None for what is no message."""
    if received.control_id is None:
        return None
    opened = open_message(received.raw, desk.settings, desk.origin, desk.profiles)
    if opened.message is None:
        return None
    code = "CR" if is_enhanced(opened.message) else "AR"
    problem = Problem("The message could not be stored", "207")
    return acknowledge(opened.header, code, now, (problem,))
