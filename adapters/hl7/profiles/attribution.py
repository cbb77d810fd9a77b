"""Which sender a message is of."""

from adapters.hl7.mapping.context import slug
from adapters.hl7.message.tokenizer import Message


def sender_of(message: Message) -> str:
    """Return the sender's name: MSH-3 and MSH-4 as a path segment of a URI."""
    msh = message.header
    return slug("-".join(part for part in (msh.peek(3), msh.peek(4)) if part)) or "-"
