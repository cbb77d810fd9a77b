"""The messages in a file, as senders and laboratories keep them.

HL7 v2.9 chapter 2, section 2.10.3 (batch files).
"""

import re

from adapters.hl7.message.charsets import wide_codec

_START = re.compile(rb"(?:\A|(?<=[\r\n\x0b]))(MSH|FHS|BHS|BTS|FTS)(?=[^A-Za-z0-9\s])")
_BLOCK_END = re.compile(rb"[\x1c\r\n\s]*\Z")
_FIELD_18 = 17  # counted from 0, and MSH-1 is the separator itself
_UTF_8 = "UNICODE UTF-8"


def messages(content: bytes) -> list[bytes]:
    """Return the messages of a file, each from its MSH to before the next.

    Block bytes, lines before the first MSH, and the envelopes of batches are no part
    of them. Lines may end in CR, LF or both; each message gets the CR that the standard
    asks for. What was in UTF-16 or UTF-32 is so again, each message with a mark of its
    byte order.
    """
    codec = wide_codec(content)
    if codec is None:
        return _split(content.removeprefix(b"\xef\xbb\xbf"))
    text = content.decode(codec, errors="replace").removeprefix("\ufeff").encode()
    return [f"\ufeff{one.decode()}".encode(_ordered(codec, content)) for one in _split(text)]


def framed(message: bytes) -> bytes:
    """Return a message as it can go in a frame: of UTF-16 and UTF-32 as UTF-8, as MSH-18 says."""
    codec = wide_codec(message)
    if codec is None:
        return message
    text = message.decode(codec).removeprefix("\ufeff")
    header, end, rest = text.partition("\r")
    separator = header[3:4]
    fields = header.split(separator)
    fields += [""] * (_FIELD_18 + 1 - len(fields))
    fields[_FIELD_18] = _UTF_8
    return (separator.join(fields) + end + rest).encode()


def _ordered(codec: str, content: bytes) -> str:
    """Return the codec with the byte order of the file."""
    if codec.endswith(("-le", "-be")):
        return codec
    return f"{codec}-{'le' if content[:1] == bytes((0xFF,)) else 'be'}"


def _split(content: bytes) -> list[bytes]:
    found = list(_START.finditer(content))
    ends = [*(match.start() for match in found[1:]), len(content)][: len(found)]
    kept = []
    for match, end in zip(found, ends, strict=True):
        if match[1] == b"MSH":
            message = _BLOCK_END.sub(b"", content[match.start() : end].rstrip(b"\x0b"))
            kept.append(message.replace(b"\r\n", b"\r").replace(b"\n", b"\r") + b"\r")
    return kept
