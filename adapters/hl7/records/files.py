"""The messages in a file, as analyzers and laboratories keep them."""

import re
from typing import Final

from adapters.hl7.records import transmission

_LINE: Final = re.compile(rb"[^\r\n]*[^\s][^\r\n]*")


def messages(content: bytes) -> list[bytes]:
    """Return the messages of a file, each record ended by CR.

    Lines that begin with # are remarks of whoever keeps the file, and no record.
    """
    records = [line for line in _LINE.findall(content) if not line.startswith(b"#")]
    return transmission.messages(b"".join(record + b"\r" for record in records))


def records(message: bytes) -> list[bytes]:
    """Return the records of a message, each with its CR."""
    return [line + b"\r" for line in message.split(b"\r") if line]
