"""The messages in a file, as senders and laboratories keep them."""

import re

_START = re.compile(rb"(?:\A|(?<=[\r\n\x0b]))MSH(?=[^A-Za-z0-9\s])")
_BLOCK_END = re.compile(rb"[\x1c\r\n\s]*\Z")


def messages(content: bytes) -> list[bytes]:
    """Return the messages of a file, each from its MSH to before the next.

    Block bytes, and lines before the first MSH, are no part of them. Lines may
    end in CR, LF or both; each message gets the CR that the standard asks for.
    """
    starts = [match.start() for match in _START.finditer(content)]
    ends = [*starts[1:], len(content)][: len(starts)]
    found = []
    for start, end in zip(starts, ends, strict=True):
        message = _BLOCK_END.sub(b"", content[start:end].rstrip(b"\x0b"))
        found.append(message.replace(b"\r\n", b"\r").replace(b"\n", b"\r") + b"\r")
    return found
